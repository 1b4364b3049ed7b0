"""Impact: what contains a version or stands on it, as a caller may see it. Every list and every count has a bound."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select, tuple_

from app.domain.caller import Caller
from app.domain.number import VersionNumber
from app.lineage import merge_tables as mt
from app.lineage import stack_tables as s
from app.lineage import tables as t
from app.lineage.access import can_read_repository, can_read_version
from app.lineage.graph import among, down_from, nodes_of, reach

Key = tuple[Any, ...]


def affected(tx: Connection, root: UUID, caller: Caller, limit: int) -> tuple[set[UUID], bool]:
    """The version and what the caller may read of its descendants, and whether there are more."""
    return reach(tx, root, down_from, caller, limit)


def bounded_count(tx: Connection, statement: Any, limit: int) -> tuple[int, bool]:
    """How many rows there are, and whether there are more than the limit."""
    found = int(tx.execute(select(func.count()).select_from(statement.limit(limit + 1).subquery())).scalar_one())
    return min(found, limit), found > limit


def versions(
    tx: Connection, ids: Collection[UUID], caller: Caller, after: Key | None, limit: int
) -> list[dict[str, Any]]:
    """By time of publication, oldest first; each with the key behind which the next page begins."""
    v = t.Version
    statement = select(v.id, v.created_at).where(among(v.id, ids)).order_by(v.created_at, v.id).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(v.created_at, v.id) > after)
    keys = {row.id: (row.created_at, row.id) for row in tx.execute(statement)}
    nodes = {node.id: node for node in nodes_of(tx, keys, caller)}
    return [
        {
            "reference": nodes[id].reference,
            "digest": nodes[id].digest,
            "kind": nodes[id].kind.value,
            "state": nodes[id].state.value,
            "key": key,
        }
        for id, key in keys.items()
    ]


full_name = t.Namespace.name + "/" + t.Repository.name


def readable_stacks(caller: Caller) -> ColumnElement[bool]:
    return can_read_repository(caller) & t.Repository.deleted_at.is_(None)


def locks_statement(ids: Collection[UUID], caller: Caller) -> Any:
    """Locks that name any of the versions."""
    m, r, n = s.LockMember, t.Repository, t.Namespace
    return (
        select(full_name.label("stack"), m.number)
        .join(r, r.id == m.stack_id)
        .join(n, n.id == r.namespace_id)
        .where(among(m.version_id, ids), readable_stacks(caller))
        .group_by(full_name, m.number)
    )


def locks(tx: Connection, ids: Collection[UUID], caller: Caller, after: Key | None, limit: int) -> list[dict[str, Any]]:
    """By stack, newest first."""
    number = s.LockMember.number
    statement = locks_statement(ids, caller).order_by(full_name, number.desc()).limit(limit)
    if after is not None:
        statement = statement.where((full_name > after[0]) | ((full_name == after[0]) & (number < after[1])))
    return [{"stack": row.stack, "lock": row.number, "key": (row.stack, row.number)} for row in tx.execute(statement)]


def stacks_statement(ids: Collection[UUID], caller: Caller) -> Any:
    """Stacks whose last lock names any of the versions."""
    m, k, r, n = s.LockMember, s.Lock, t.Repository, t.Namespace
    last = select(func.max(k.number)).where(k.stack_id == m.stack_id).correlate(m).scalar_subquery()
    return (
        select(full_name.label("stack"), m.number)
        .join(r, r.id == m.stack_id)
        .join(n, n.id == r.namespace_id)
        .where(among(m.version_id, ids), readable_stacks(caller), m.number == last)
        .group_by(full_name, m.number)
    )


def stacks(
    tx: Connection, ids: Collection[UUID], caller: Caller, after: Key | None, limit: int
) -> list[dict[str, Any]]:
    """By name."""
    statement = stacks_statement(ids, caller).order_by(full_name).limit(limit)
    if after is not None:
        statement = statement.where(full_name > after[0])
    return [{"stack": row.stack, "lock": row.number, "key": (row.stack,)} for row in tx.execute(statement)]


def merges_statement(ids: Collection[UUID], caller: Caller) -> Any:
    """The caller's own merges into whose results any of the versions went."""
    i, q = mt.RequestInput, mt.MergeRequest
    return (
        select(q.id, q.created_at)
        .join(i, i.request_id == q.id)
        .where(among(i.version_id, ids), q.user_id == caller.user_id)
        .group_by(q.id, q.created_at)
    )


def merges(
    tx: Connection, ids: Collection[UUID], caller: Caller, after: Key | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first."""
    q = mt.MergeRequest
    statement = merges_statement(ids, caller).order_by(q.created_at.desc(), q.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(q.created_at, q.id) < after)
    return [
        {"merge": str(row.id), "created_at": row.created_at.isoformat(), "key": (row.created_at, row.id)}
        for row in tx.execute(statement)
    ]


def aliases_statement(ids: Collection[UUID], caller: Caller) -> Any:
    """Aliases of the versions; the versions themselves are the caller's to read."""
    a, v, r, n = t.Alias, t.Version, t.Repository, t.Namespace
    return (
        select(full_name.label("repository"), a.key, a.name, v.major, v.minor, v.patch)
        .join(v, v.id == a.version_id)
        .join(r, r.id == a.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(among(a.version_id, ids), can_read_version(caller), r.deleted_at.is_(None))
    )


def aliases(
    tx: Connection, ids: Collection[UUID], caller: Caller, after: Key | None, limit: int
) -> list[dict[str, Any]]:
    """By repository and name."""
    key = t.Alias.key
    statement = aliases_statement(ids, caller).order_by(full_name, key).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(full_name, key) > after)
    return [
        {
            "alias": f"{row.repository}@{row.name}",
            "version": str(VersionNumber(row.major, row.minor, row.patch)),
            "key": (row.repository, row.key),
        }
        for row in tx.execute(statement)
    ]
