"""Lineage: walks over the edges, up and down, none of them without a bound."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Uuid, any_, bindparam, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.domain.caller import Caller
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.errors import PlanTooLarge
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.codec import load_base

most_catalogued = 20_000
"""Versions that one plan may have to look at: far above what anybody stacks, and still read in a second or two."""


@dataclass(frozen=True, slots=True)
class Node:
    """A version in a lineage answer. Of a hidden one only that it is there may be told."""

    id: UUID
    repository: str
    kind: Kind
    number: VersionNumber
    digest: str
    state: VersionState
    rank: int | None
    is_readable: bool

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.number}"


@dataclass(frozen=True, slots=True)
class Line:
    """An edge in a lineage answer."""

    child: UUID
    parent: UUID
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


uuids = ARRAY(Uuid)


def among(column: InstrumentedAttribute[UUID], ids: Iterable[UUID]) -> ColumnElement[bool]:
    """As `in_`, with all the ids as one parameter: a statement has at most 65,535 of them."""
    return column == any_(bindparam(None, list(ids), uuids))


def up_from(level: Any, caller: Caller) -> Select[UUID]:
    """The parents of the versions that `level` (a condition on the child) holds for: nothing stands behind a hidden one."""
    e, v, r = t.Edge, t.Version, t.Repository
    step = select(e.parent_id).join(v, v.id == e.child_id).join(r, r.id == v.repository_id)
    return step.where(level(e.child_id), can_read_version(caller))


def down_from(level: Any, caller: Caller) -> Select[UUID]:
    """The children of the versions that `level` holds for: what the caller may not read is not there, nor what is behind it."""
    e, v, r = t.Edge, t.Version, t.Repository
    step = select(e.child_id).join(v, v.id == e.child_id).join(r, r.id == v.repository_id)
    return step.where(level(e.parent_id), can_read_version(caller))


def reach(tx: Connection, root: UUID, step: Any, caller: Caller, limit: int) -> tuple[set[UUID], bool]:
    """Everything that steps lead to from the root, and whether there is more than the limit. One recursive statement."""
    walked = select(t.Version.id).where(t.Version.id == root).cte("walked", recursive=True)
    walked = walked.union(step(lambda end: end == walked.c.id, caller).join(walked, true()))
    found = list(tx.execute(select(walked.c.id).limit(limit + 1)).scalars())
    return set(found[:limit]) | {root}, len(found) > limit


def walk(tx: Connection, root: UUID, step: Any, caller: Caller, depth: int, limit: int) -> tuple[set[UUID], bool]:
    """What so many steps lead to from the root. A level is one statement, so that each version is met once."""
    statement = step(lambda end: end == any_(bindparam("level", type_=uuids)), caller).distinct()
    found, level = {root}, {root}
    for _ in range(depth):
        level = set(tx.execute(statement, {"level": list(level)}).scalars()) - found
        if not level:
            break
        if len(found) + len(level) > limit:
            return found | set(sorted(level)[: limit - len(found)]), True
        found |= level
    return found, False


def nearest_first(root: UUID, nodes: Iterable[Node], steps: Iterable[tuple[UUID, UUID]]) -> list[Node]:
    """The nodes by their distance from the root along the steps (from, to); what the bounds cut off from it comes last."""
    ways: dict[UUID, list[UUID]] = {}
    for start, end in steps:
        ways.setdefault(start, []).append(end)
    distances, queue = {root: 0}, deque([root])
    while queue:
        here = queue.popleft()
        for end in ways.get(here, ()):
            if end not in distances:
                distances[end] = distances[here] + 1
                queue.append(end)
    return sorted(nodes, key=lambda node: distances.get(node.id, len(distances)))


def nodes_of(tx: Connection, ids: Iterable[UUID], caller: Caller) -> list[Node]:
    """The versions of a walk, the older ones first."""
    v, r, n = t.Version, t.Repository, t.Namespace
    statement = (
        select(
            v.id,
            (n.name + "/" + r.name).label("repository"),
            r.kind,
            v.major,
            v.minor,
            v.patch,
            v.digest,
            v.state,
            v.summary["rank"].as_integer().label("rank"),
            can_read_version(caller).label("is_readable"),
        )
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(among(v.id, ids))
        .order_by(v.created_at, v.id)
    )
    return [
        Node(
            row.id,
            row.repository,
            Kind(row.kind),
            VersionNumber(row.major, row.minor, row.patch),
            row.digest,
            VersionState(row.state),
            row.rank,
            row.is_readable,
        )
        for row in tx.execute(statement)
    ]


def lines_between(tx: Connection, children: Iterable[UUID], parents: Iterable[UUID]) -> list[Line]:
    e = t.Edge
    statement = (
        select(e.child_id, e.parent_id, e.relation, e.weight, e.role)
        .where(among(e.child_id, children), among(e.parent_id, parents))
        .order_by(e.child_id, e.position)
    )
    return [
        Line(
            row.child_id,
            row.parent_id,
            Relation(row.relation),
            row.weight,
            None if row.role is None else Role(row.role),
        )
        for row in tx.execute(statement)
    ]


def ancestors(tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int) -> Traced:
    """What a version stands on, comes from and is made of; hidden ancestors as such, and nothing behind them."""
    ids, is_truncated = found_by(up_from, tx, root, caller, depth, limit)
    nodes = nodes_of(tx, ids, caller)
    lines = lines_between(tx, [node.id for node in nodes if node.is_readable], ids)
    return Traced(nearest_first(root, nodes, ((line.child, line.parent) for line in lines)), lines, is_truncated)


def descendants(tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int) -> Traced:
    """What the caller may read of what builds on a version, continues it or is made of it."""
    ids, is_truncated = found_by(down_from, tx, root, caller, depth, limit)
    lines = lines_between(tx, ids, ids)
    nodes = nearest_first(root, nodes_of(tx, ids, caller), ((line.parent, line.child) for line in lines))
    return Traced(nodes, lines, is_truncated)


def found_by(
    step: Any, tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int
) -> tuple[set[UUID], bool]:
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
