"""Lineage: walks over the edges, up and down, none of them without a bound."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Uuid, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.domain.caller import Caller
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.errors import PlanTooLarge
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.codec import load_base

deepest = 1_000
"""Levels of a walk; each is a statement."""
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


def one_up(caller: Caller) -> Select[UUID]:
    """The parents of the versions in `level`: nothing stands behind a hidden one."""
    e, v, r = t.Edge, t.Version, t.Repository
    step = select(e.parent_id).join(v, v.id == e.child_id).join(r, r.id == v.repository_id)
    return step.where(e.child_id == any_(bindparam("level", type_=uuids)), can_read_version(caller)).distinct()


def one_down(caller: Caller) -> Select[UUID]:
    """The children of the versions in `level`: what the caller may not read is not there at all, nor what is behind it."""
    e, v, r = t.Edge, t.Version, t.Repository
    step = select(e.child_id).join(v, v.id == e.child_id).join(r, r.id == v.repository_id)
    return step.where(e.parent_id == any_(bindparam("level", type_=uuids)), can_read_version(caller)).distinct()


def walk(tx: Connection, root: UUID, step: Select[UUID], depth: int | None, limit: int) -> tuple[dict[UUID, int], bool]:
    """How far each version is from the root, nearest first; and whether versions within the depth that was asked for are
    missing, beyond the limit or the deepest level.

    A level is one statement, so that each version is met once, however many ways lead to it.
    """
    distances = {root: 0}

    def next_level(level: Iterable[UUID]) -> set[UUID]:
        return {id for id in tx.execute(step, {"level": list(level)}).scalars() if id not in distances}

    level = {root}
    for distance in range(1, (deepest if depth is None else depth) + 1):
        level = next_level(level)
        if not level:
            return distances, False
        distances |= dict.fromkeys(sorted(level)[: limit - len(distances)], distance)
        if not level <= distances.keys():
            return distances, True
    return distances, depth is None and bool(next_level(level))


def nodes_of(tx: Connection, distances: Mapping[UUID, int], caller: Caller) -> list[Node]:
    """The versions of a walk, nearest first, the older ones first among equally near ones."""
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
        .where(among(v.id, distances))
        .order_by(v.created_at, v.id)
    )
    nodes = [
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
    return sorted(nodes, key=lambda node: distances[node.id])


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
    distances, is_truncated = walk(tx, root, one_up(caller), depth, limit)
    nodes = nodes_of(tx, distances, caller)
    readable = [node.id for node in nodes if node.is_readable]
    return Traced(nodes, lines_between(tx, readable, distances), is_truncated)


def descendants(tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int) -> Traced:
    """What the caller may read of what builds on a version, continues it or is made of it."""
    distances, is_truncated = walk(tx, root, one_down(caller), depth, limit)
    return Traced(nodes_of(tx, distances, caller), lines_between(tx, distances, distances), is_truncated)


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
