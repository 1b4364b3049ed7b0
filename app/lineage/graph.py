"""Lineage: walks over the edges, up and down, with recursive queries."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, Connection, and_, func, literal, select
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.codec import load_base


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


def walk_up(roots: Iterable[UUID], caller: Caller | None, depth: int | None) -> CTE:
    """Everything above the roots, over all relations; with a caller, nothing that stands behind a hidden version."""
    e, v, r = aliased(t.Edge), t.Version, t.Repository
    start = select(t.Version.id, literal(0).label("depth")).where(t.Version.id.in_(list(roots)))
    up = start.cte("up", recursive=True)
    step = select(e.parent_id, literal(0) if depth is None else up.c.depth + 1).join(up, up.c.id == e.child_id)
    if depth is not None:
        step = step.where(up.c.depth < depth)
    if caller is not None:
        step = step.join(v, v.id == e.child_id).join(r, r.id == v.repository_id).where(can_read_version(caller))
    return up.union(step)


def walk_down(root: UUID, caller: Caller, depth: int | None) -> CTE:
    """The readable versions below a root: what the caller may not read is not there at all, nor what stands behind it."""
    e, v, r = aliased(t.Edge), t.Version, t.Repository
    start = select(t.Version.id, literal(0).label("depth")).where(t.Version.id == root)
    down = start.cte("down", recursive=True)
    step = (
        select(e.child_id, literal(0) if depth is None else down.c.depth + 1)
        .join(down, down.c.id == e.parent_id)
        .join(v, v.id == e.child_id)
        .join(r, r.id == v.repository_id)
        .where(can_read_version(caller))
    )
    if depth is not None:
        step = step.where(down.c.depth < depth)
    return down.union(step)


def nodes_of(tx: Connection, walk: CTE, caller: Caller, limit: int) -> list[Node]:
    """The nodes of a walk, nearest first."""
    v, r, n = t.Version, t.Repository, t.Namespace
    found = select(walk.c.id, func.min(walk.c.depth).label("depth")).group_by(walk.c.id).subquery()
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
        .join(found, found.c.id == v.id)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .order_by(found.c.depth, v.created_at, v.id)
        .limit(limit)
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
        .where(and_(e.child_id.in_(list(children)), e.parent_id.in_(list(parents))))
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


def ancestors(
    tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int
) -> tuple[list[Node], list[Line]]:
    """What a version stands on, comes from and is made of; hidden ancestors as such, and nothing behind them."""
    nodes = nodes_of(tx, walk_up([root], caller, depth), caller, limit)
    readable = [node.id for node in nodes if node.is_readable]
    return nodes, lines_between(tx, readable, [node.id for node in nodes])


def descendants(
    tx: Connection, root: UUID, caller: Caller, depth: int | None, limit: int
) -> tuple[list[Node], list[Line]]:
    """What the caller may read of what builds on a version, continues it or is made of it."""
    nodes = nodes_of(tx, walk_down(root, caller, depth), caller, limit)
    ids = [node.id for node in nodes]
    return nodes, lines_between(tx, ids, ids)


def catalogue(tx: Connection, roots: Iterable[UUID], caller: Caller) -> dict[UUID, LineageVersion]:
    """Every version above the roots over all relations, hidden and deleted ones too: what planning needs."""
    roots = list(roots)
    if not roots:
        return {}
    up = walk_up(roots, None, None)
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
        .where(v.id.in_(select(up.c.id)))
    )
    rows: list[Any] = list(tx.execute(versions).all())
    edges: dict[UUID, list[Edge]] = {row.id: [] for row in rows}
    lines = select(e.child_id, e.parent_id, e.relation, e.weight, e.role).where(e.child_id.in_(list(edges)))
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
        .where(v.id.in_(list(ids)))
    )
    return [
        (row.id, f"{row.repository}@{VersionNumber(row.major, row.minor, row.patch)}", row.is_readable)
        for row in tx.execute(statement)
    ]
