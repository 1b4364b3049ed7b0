"""Lineage: walks over the edges, up and down, none of them without a bound."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlalchemy.types import UserDefinedType

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.errors import PlanTooLarge
from app.lineage import tables as t
from app.lineage.access import can_read_version, values_of
from app.lineage.codec import load_base
from app.lineage.prepared import Prepared

most_catalogued = 20_000
"""Versions that one plan may have to look at: far above what anybody stacks, and still read in a second or two."""


class Node(NamedTuple):
    """A version in a lineage answer. Of a hidden one only that it is there may be told."""

    repository: str
    kind: Kind
    number: VersionNumber
    digest: Digest
    state: VersionState
    rank: int | None
    is_readable: bool

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.number}"


class Line(NamedTuple):
    """An edge in a lineage answer; its ends by their digests."""

    child: Digest
    parent: Digest
    relation: Relation
    weight: float
    role: Role | None


@dataclass(frozen=True, slots=True)
class Traced:
    """One direction of a lineage answer."""

    nodes: list[Node]
    """Nearest first, the root before all."""
    lines: list[Line]
    is_truncated: bool
    """There is more than an answer may hold."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a walk has led to."""

    root: UUID
    ids: str
    """A `uuid[]` as Postgres writes it: it goes from one statement to the next without a value of Python's for each of the
    thousands in it, which would cost more than the statements."""
    count: int
    """The root included."""
    is_more: bool
    """There is more than was asked for."""


class WrittenUuids(UserDefinedType[str]):
    """A `uuid[]` that Python holds as Postgres writes it."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        return "uuid[]"


uuids = ARRAY(Uuid)
given_ids = bindparam("ids", type_=WrittenUuids())
"""In a statement that is given `Reached.ids` as `ids`."""


def among(column: InstrumentedAttribute[UUID], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """As `in_`, with all the ids as one parameter: a statement has at most 65,535 of them."""
    return column == any_(bindparam(None, list(ids), uuids))


Step = Callable[[Callable[[InstrumentedAttribute[UUID]], ColumnElement[bool]], Caller], "Select[UUID]"]
"""From versions to their neighbours: what leads on from those for whose end of an edge the condition holds, for such a caller."""


def up_from(level: Callable[[InstrumentedAttribute[UUID]], ColumnElement[bool]], caller: Caller) -> "Select[UUID]":
    """The parents of the versions that `level` (a condition on the child) holds for: nothing stands behind a hidden one."""
    e, v, r = t.Edge, t.Version, t.Repository
    step = select(e.parent_id).join(v, v.id == e.child_id).join(r, r.id == v.repository_id)
    return step.where(level(e.child_id), can_read_version(caller))


def up_from_any(level: Callable[[InstrumentedAttribute[UUID]], ColumnElement[bool]], _: Caller) -> "Select[UUID]":
    """The same whoever may read the versions."""
    return select(t.Edge.parent_id).where(level(t.Edge.child_id))


def down_from(level: Callable[[InstrumentedAttribute[UUID]], ColumnElement[bool]], caller: Caller) -> "Select[UUID]":
    """The children of the versions that `level` holds for: what the caller may not read is not there, nor what is behind it."""
    e, v, r = t.Edge, t.Version, t.Repository
    step = select(e.child_id).join(v, v.id == e.child_id).join(r, r.id == v.repository_id)
    return step.where(level(e.parent_id), can_read_version(caller))


@cache
def whole_walk(step: Step, is_admin: bool, sees_public: bool) -> Prepared:
    """Everything that steps lead such callers to from a `root`, at most `most`, of which `kept` are named."""
    walked = select(t.Version.id).where(t.Version.id == bindparam("root")).cte("walked", recursive=True)
    further = step(lambda end: end == walked.c.id, Caller(is_admin=is_admin, sees_public=sees_public))
    walked = walked.union(further.join(walked, true()))
    met = select(walked.c.id).limit(bindparam("most", type_=Integer)).subquery()
    place = func.row_number().over().label("place")
    numbered = select(met.c.id, place).subquery()
    named = func.array_agg(numbered.c.id).filter(numbered.c.place <= bindparam("kept", type_=Integer))
    return Prepared(select(cast(named, Text).label("ids"), func.count().label("count")).select_from(numbered))


def reach(tx: Connection, root: UUID, step: Step, caller: Caller, limit: int) -> Reached:
    """Everything that steps lead to from the root, and whether there is more than the limit. One recursive statement."""
    walk = whole_walk(step, caller.is_admin, caller.sees_public)
    row = walk.first(tx, {"root": root, "most": limit + 1, "kept": limit, **values_of(caller)})
    return Reached(root, row.ids, min(row.count, limit), row.count > limit)


def walk(tx: Connection, root: UUID, step: Step, caller: Caller, depth: int, limit: int) -> Reached:
    """What so many steps lead to from the root. A level is one statement, so that each version is met once."""
    statement = step(lambda end: end == any_(bindparam("level", type_=uuids)), caller).distinct()
    found, level = {root: None}, {root}
    is_more = False
    for _ in range(depth):
        level = set(tx.execute(statement, {"level": list(level)}).scalars()) - found.keys()
        is_more = len(found) + len(level) > limit
        found |= dict.fromkeys(sorted(level)[: limit - len(found)])
        if is_more or not level:
            break
    return Reached(root, "{" + ",".join(map(str, found)) + "}", len(found), is_more)


@cache
def nodes_and_lines(is_admin: bool, sees_public: bool) -> Prepared:
    """The versions among `ids`, the older ones first, each once for every edge to a parent, which need not be among them."""
    v, r, n, e = t.Version, t.Repository, t.Namespace, t.Edge
    return Prepared(
        select(
            # as text: as values of their own they would cost more than all the rest
            cast(v.id, Text).label("id"),
            (n.name + "/" + r.name).label("repository"),
            r.kind,
            v.major,
            v.minor,
            v.patch,
            v.digest,
            v.state,
            v.summary["rank"].as_integer().label("rank"),
            can_read_version(Caller(is_admin=is_admin, sees_public=sees_public)).label("is_readable"),
            cast(e.parent_id, Text).label("parent"),
            e.relation,
            e.weight,
            e.role,
        )
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .outerjoin(e, e.child_id == v.id)
        .where(v.id == any_(given_ids))
        .order_by(v.created_at, v.id, e.position)
    )


kinds = {kind.value: kind for kind in Kind}
states = {state.value: state for state in VersionState}
relations = {relation.value: relation for relation in Relation}
roles: dict[str | None, Role | None] = {None: None, **{role.value: role for role in Role}}


def traced(tx: Connection, reached: Reached, caller: Caller, *, is_up: bool) -> Traced:
    """What a walk has led to, with the edges between; of what the caller may not read only that it is there."""
    statement = nodes_and_lines(caller.is_admin, caller.sees_public)
    rows = statement.all(tx, {"ids": reached.ids, **values_of(caller)})
    nodes = {
        row.id: Node(
            row.repository,
            kinds[row.kind],
            VersionNumber(row.major, row.minor, row.patch),
            row.digest,
            states[row.state],
            row.rank,
            row.is_readable,
        )
        for row in rows
    }
    shown = [row for row in rows if row.is_readable and row.parent in nodes]
    lines = [
        Line(row.digest, nodes[row.parent].digest, relations[row.relation], row.weight, roles[row.role])
        for row in shown
    ]
    steps = [(row.id, row.parent) if is_up else (row.parent, row.id) for row in shown]
    return Traced(nearest_first(str(reached.root), nodes, steps), lines, reached.is_more)


def nearest_first(root: str, nodes: Mapping[str, Node], steps: Iterable[tuple[str, str]]) -> list[Node]:
    """The nodes by their distance from the root along the steps (from, to); what the bounds cut off from it comes last."""
    ways: dict[str, list[str]] = {}
    for start, end in steps:
        ways.setdefault(start, []).append(end)
    distances, queue = {root: 0}, deque([root])
    while queue:
        here = queue.popleft()
        for end in ways.get(here, ()):
            if end not in distances:
                distances[end] = distances[here] + 1
                queue.append(end)
    return [nodes[id] for id in sorted(nodes, key=lambda id: distances.get(id, len(distances)))]


def ancestors(tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int) -> Traced:
    """What a version stands on, comes from and is made of; hidden ancestors as such, and nothing behind them."""
    if depth is None:
        # mostly nothing is hidden, and a walk that does not look costs half
        reached = reach(tx, root, up_from_any, caller, limit)
        found = traced(tx, reached, caller, is_up=True)
        if not reached.is_more and all(node.is_readable for node in found.nodes):
            return found
    return traced(tx, found_by(up_from, tx, root, caller, depth, limit), caller, is_up=True)


def descendants(tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int) -> Traced:
    """What the caller may read of what builds on a version, continues it or is made of it."""
    return traced(tx, found_by(down_from, tx, root, caller, depth, limit), caller, is_up=False)


def found_by(step: Step, tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int) -> Reached:
    if depth is None:
        return reach(tx, root, step, caller, limit)
    return walk(tx, root, step, caller, depth, limit)


def above(tx: Connection, roots: Iterable[UUID], limit: int) -> list[UUID]:
    """The roots and everything above them, over all relations, whoever may read it.

    Raises: PlanTooLarge.
    """
    e = aliased(t.Edge)
    up = select(t.Version.id).where(among(t.Version.id, roots)).cte("up", recursive=True)
    up = up.union(select(e.parent_id).join(up, up.c.id == e.child_id))
    found = list(tx.execute(select(up.c.id).limit(limit + 1)).scalars())
    if len(found) > limit:
        raise PlanTooLarge("versions in the lineage", limit, len(found))
    return found


def catalogue(
    tx: Connection, roots: Iterable[UUID], caller: Caller, limit: int = most_catalogued
) -> dict[UUID, LineageVersion]:
    """Every version above the roots over all relations, hidden and deleted ones too: what planning needs.

    Raises: PlanTooLarge.
    """
    roots = list(roots)
    if not roots:
        return {}
    ids = above(tx, roots, limit)
    v, r, n, e = t.Version, t.Repository, t.Namespace, t.Edge
    versions = (
        select(
            v.id,
            v.repository_id,
            (n.name + "/" + r.name).label("repository"),
            r.kind,
            v.major,
            v.minor,
            v.patch,
            v.digest,
            v.content_digest,
            v.state,
            v.base_model,
            v.is_exact_linear,
            can_read_version(caller).label("is_readable"),
        )
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(among(v.id, ids))
    )
    rows: list[Any] = list(tx.execute(versions).all())
    edges: dict[UUID, list[Edge]] = {id: [] for id in ids}
    lines = select(e.child_id, e.parent_id, e.relation, e.weight, e.role).where(among(e.child_id, ids))
    for row in tx.execute(lines.order_by(e.child_id, e.position)):
        role = None if row.role is None else Role(row.role)
        edges[row.child_id].append(Edge(row.parent_id, Relation(row.relation), row.weight, role))
    return {
        row.id: LineageVersion(
            id=row.id,
            repository=row.repository_id,
            repository_name=row.repository,
            kind=Kind(row.kind),
            number=VersionNumber(row.major, row.minor, row.patch),
            digest=row.digest,
            content_digest=row.content_digest,
            state=VersionState(row.state),
            is_readable=row.is_readable,
            base_model=load_base(row.base_model),
            edges=tuple(edges[row.id]),
            is_exact_linear=row.is_exact_linear,
        )
        for row in rows
    }


def bases_of(tx: Connection, ids: Iterable[UUID]) -> list[BaseModel]:
    """The base models that these versions name."""
    v = t.Version
    found = tx.execute(select(v.base_model).where(among(v.id, ids), v.base_model.is_not(None))).scalars()
    return [base for row in found if (base := load_base(row)) is not None]


def names_of(tx: Connection, ids: Iterable[UUID], caller: Caller) -> list[tuple[UUID, str, bool]]:
    """(id, reference, whether the caller may read it) of each version."""
    v, r, n = t.Version, t.Repository, t.Namespace
    statement = (
        select(
            v.id,
            (n.name + "/" + r.name).label("repository"),
            v.major,
            v.minor,
            v.patch,
            can_read_version(caller).label("is_readable"),
        )
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(among(v.id, ids))
    )
    return [
        (row.id, f"{row.repository}@{VersionNumber(row.major, row.minor, row.patch)}", row.is_readable)
        for row in tx.execute(statement)
    ]
