"""Impact: what contains a version or stands on it, as a caller may see it. Every list and every count has a bound."""

from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Integer, any_, bindparam, func, select, tuple_

from app.domain.caller import Caller
from app.domain.number import VersionNumber
from app.lineage import merge_tables as mt
from app.lineage import stack_tables as s
from app.lineage import tables as t
from app.lineage.access import can_read_repository, can_read_version, values_of
from app.lineage.graph import Reached, down_from, given_ids, reach
from app.lineage.prepared import Prepared

Key = tuple[Any, ...]
is_affected = any_(given_ids)
"""The version that was asked about, and what was found below it; given as `ids`."""


def affected(tx: Connection, root: UUID, caller: Caller, limit: int) -> Reached:
    """The version and what the caller may read of its descendants."""
    return reach(tx, root, down_from, caller, limit)


def counts(tx: Connection, found: Reached, caller: Caller, limit: int) -> dict[str, tuple[int, bool]]:
    """How many stacks, locks, merges and aliases there are of these versions, and whether there are more than the limit."""
    counting = bounded_counts(caller.is_admin, caller.sees_public)
    row = counting.first(tx, {"ids": found.ids, "user": caller.user_id, "most": limit + 1, **values_of(caller)})
    return {name: (min(count, limit), count > limit) for name, count in row._asdict().items()}


@cache
def bounded_counts(is_admin: bool, sees_public: bool) -> Prepared:
    caller = Caller(is_admin=is_admin, sees_public=sees_public)
    counted = {
        name: statement(caller).limit(bindparam("most", type_=Integer)) for name, statement in statements.items()
    }
    return Prepared(
        select(
            *(
                select(func.count()).select_from(statement.subquery()).scalar_subquery().label(name)
                for name, statement in counted.items()
            )
        )
    )


def versions(tx: Connection, found: Reached, caller: Caller, after: Key | None, limit: int) -> list[dict[str, Any]]:
    """What was found below the version, by time of publication, oldest first; each with the key behind which the next page
    begins."""
    v, r, n = t.Version, t.Repository, t.Namespace
    statement = (
        select(v.id, full_name.label("repository"), v.major, v.minor, v.patch, v.digest, r.kind, v.state, v.created_at)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(v.id == is_affected, v.id != found.root)
        .order_by(v.created_at, v.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(v.created_at, v.id) > after)
    return [
        {
            "reference": f"{row.repository}@{VersionNumber(row.major, row.minor, row.patch)}",
            "digest": row.digest,
            "kind": row.kind,
            "state": row.state,
            "key": (row.created_at, row.id),
        }
        for row in tx.execute(statement, {"ids": found.ids}).all()
    ]


full_name = t.Namespace.name + "/" + t.Repository.name


def readable_stacks(caller: Caller) -> ColumnElement[bool]:
    return can_read_repository(caller) & t.Repository.deleted_at.is_(None)


def locks_statement(caller: Caller) -> Any:
    """Locks that name any of the versions."""
    m, r, n = s.LockMember, t.Repository, t.Namespace
    return (
        select(full_name.label("stack"), m.number)
        .join(r, r.id == m.stack_id)
        .join(n, n.id == r.namespace_id)
        .where(m.version_id == is_affected, readable_stacks(caller))
        .group_by(full_name, m.number)
    )


def locks(tx: Connection, found: Reached, caller: Caller, after: Key | None, limit: int) -> list[dict[str, Any]]:
    """By stack, newest first."""
    number = s.LockMember.number
    statement = locks_statement(caller).order_by(full_name, number.desc()).limit(limit)
    if after is not None:
        statement = statement.where((full_name > after[0]) | ((full_name == after[0]) & (number < after[1])))
    rows = tx.execute(statement, {"ids": found.ids})
    return [{"stack": row.stack, "lock": row.number, "key": (row.stack, row.number)} for row in rows]


def stacks_statement(caller: Caller) -> Any:
    """Stacks whose last lock names any of the versions."""
    m, k, r, n = s.LockMember, s.Lock, t.Repository, t.Namespace
    last = select(func.max(k.number)).where(k.stack_id == m.stack_id).correlate(m).scalar_subquery()
    return (
        select(full_name.label("stack"), m.number)
        .join(r, r.id == m.stack_id)
        .join(n, n.id == r.namespace_id)
        .where(m.version_id == is_affected, readable_stacks(caller), m.number == last)
        .group_by(full_name, m.number)
    )


def stacks(tx: Connection, found: Reached, caller: Caller, after: Key | None, limit: int) -> list[dict[str, Any]]:
    """By name."""
    statement = stacks_statement(caller).order_by(full_name).limit(limit)
    if after is not None:
        statement = statement.where(full_name > after[0])
    rows = tx.execute(statement, {"ids": found.ids})
    return [{"stack": row.stack, "lock": row.number, "key": (row.stack,)} for row in rows]


def merges_statement(_: Caller) -> Any:
    """The `user`'s own merges into whose results any of the versions went."""
    i, q = mt.RequestInput, mt.MergeRequest
    return (
        select(q.id, q.created_at)
        .join(i, i.request_id == q.id)
        .where(i.version_id == is_affected, q.user_id == bindparam("user"))
        .group_by(q.id, q.created_at)
    )


def merges(tx: Connection, found: Reached, caller: Caller, after: Key | None, limit: int) -> list[dict[str, Any]]:
    """Newest first."""
    q = mt.MergeRequest
    statement = merges_statement(caller).order_by(q.created_at.desc(), q.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(q.created_at, q.id) < after)
    return [
        {"merge": str(row.id), "created_at": row.created_at.isoformat(), "key": (row.created_at, row.id)}
        for row in tx.execute(statement, {"ids": found.ids, "user": caller.user_id})
    ]


def aliases_statement(caller: Caller) -> Any:
    """Aliases of the versions; the versions themselves are the caller's to read."""
    a, v, r, n = t.Alias, t.Version, t.Repository, t.Namespace
    return (
        select(full_name.label("repository"), a.key, a.name, v.major, v.minor, v.patch)
        .join(v, v.id == a.version_id)
        .join(r, r.id == a.repository_id)
        .join(n, n.id == r.namespace_id)
        .where(a.version_id == is_affected, can_read_version(caller), r.deleted_at.is_(None))
    )


def aliases(tx: Connection, found: Reached, caller: Caller, after: Key | None, limit: int) -> list[dict[str, Any]]:
    """By repository and name."""
    key = t.Alias.key
    statement = aliases_statement(caller).order_by(full_name, key).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(full_name, key) > after)
    return [
        {
            "alias": f"{row.repository}@{row.name}",
            "version": str(VersionNumber(row.major, row.minor, row.patch)),
            "key": (row.repository, row.key),
        }
        for row in tx.execute(statement, {"ids": found.ids})
    ]


statements: dict[str, Callable[[Caller], Any]] = {
    "stacks": stacks_statement,
    "locks": locks_statement,
    "merges": merges_statement,
    "aliases": aliases_statement,
}
