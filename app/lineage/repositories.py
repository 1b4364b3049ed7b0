"""Repositories: names, settings, deletion, moves."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.lineage import Kind
from app.domain.names import RepositoryName, key_of
from app.domain.recall import OnRecall
from app.domain.repository import Derivatives, Repository, Visibility
from app.lineage import tables as t
from app.lineage.access import can_read_repository, values_of
from app.lineage.codec import load_base
from app.lineage.prepared import Prepared

Creator = aliased(t.Namespace)


def selection() -> Select[Any]:
    r, n = t.Repository, t.Namespace
    return (
        select(
            r.id,
            r.namespace_id,
            n.name.label("namespace"),
            r.name,
            r.kind,
            r.visibility,
            r.derivatives,
            r.on_recall,
            r.base_model,
            r.description,
            r.license,
            r.tags,
            Creator.name.label("created_by"),
            r.created_at,
            r.updated_at,
            r.deleted_at,
        )
        .join(n, n.id == r.namespace_id)
        .join(Creator, Creator.id == r.created_by)
    )


def repository_of(row: Any) -> Repository:
    return Repository(
        id=row.id,
        namespace_id=row.namespace_id,
        namespace=row.namespace,
        name=row.name,
        kind=Kind(row.kind),
        visibility=Visibility(row.visibility),
        derivatives=Derivatives(row.derivatives),
        on_recall=OnRecall(row.on_recall),
        base_model=load_base(row.base_model),
        description=row.description,
        license=row.license,
        tags=tuple(row.tags),
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
    )


@cache
def at_name(is_admin: bool, sees_public: bool) -> Prepared:
    """What such callers may read at this `namespace` and `name`."""
    n, r = t.Namespace, t.Repository
    caller = Caller(is_admin=is_admin, sees_public=sees_public)
    is_there = and_(n.key == bindparam("namespace"), r.key == bindparam("name"))
    return Prepared(selection().where(is_there, can_read_repository(caller)))


@cache
def moved_from(is_admin: bool, sees_public: bool) -> Prepared:
    """As `at_name`, of what once was there."""
    n, r = t.Namespace, t.Repository
    caller = Caller(is_admin=is_admin, sees_public=sees_public)
    moved = (
        select(t.Redirect.repository_id)
        .join(n, n.id == t.Redirect.namespace_id)
        .where(n.key == bindparam("namespace"), t.Redirect.key == bindparam("name"))
        .scalar_subquery()
    )
    return Prepared(selection().where(r.id == moved, can_read_repository(caller)))


def find(tx: Connection, name: RepositoryName, caller: Caller) -> Repository | None:
    """A repository that the caller may read, living or deleted; a name that a move left behind leads to it."""
    values = {"namespace": key_of(name.namespace), "name": key_of(name.name), **values_of(caller)}
    row = at_name(caller.is_admin, caller.sees_public).first(tx, values)
    if row is None:
        row = moved_from(caller.is_admin, caller.sees_public).first(tx, values)
    return None if row is None else repository_of(row)


at_id = Prepared(selection().where(t.Repository.id == bindparam("id")))


def get(tx: Connection, id: UUID) -> Repository:
    """By uuid, whoever asks; it is there."""
    return repository_of(at_id.first(tx, {"id": id}))


def find_by_id(tx: Connection, id: UUID) -> Repository | None:
    """By uuid, whoever asks: for one that a client was told."""
    row = at_id.first(tx, {"id": id})
    return None if row is None else repository_of(row)


def occupant(tx: Connection, namespace: UUID, name: str) -> tuple[UUID, bool] | None:
    """Who holds a name, whoever asks: (repository, whether it is deleted). A redirect holds its name too."""
    r = t.Repository
    row = tx.execute(select(r.id, r.deleted_at).where(r.namespace_id == namespace, r.key == key_of(name))).first()
    if row is not None:
        return row.id, row.deleted_at is not None
    redirect = select(t.Redirect.repository_id).where(
        t.Redirect.namespace_id == namespace, t.Redirect.key == key_of(name)
    )
    moved = tx.execute(redirect).scalar()
    return None if moved is None else (moved, False)


def insert_repository(tx: Connection, id: UUID, namespace: UUID, name: str, values: Mapping[str, Any]) -> bool:
    """False if the name is taken."""
    statement = (
        insert(t.Repository)
        .values(id=id, namespace_id=namespace, name=name, key=key_of(name), **values)
        .on_conflict_do_nothing(index_elements=["namespace_id", "key"])
        .returning(t.Repository.id)
    )
    return tx.execute(statement).first() is not None


def change(tx: Connection, id: UUID, values: Mapping[str, Any]) -> None:
    tx.execute(update(t.Repository).where(t.Repository.id == id).values(updated_at=func.now(), **values))


def touching() -> Prepared:
    r, c, member, holder = t.Repository, t.VersionContent, aliased(t.Version), aliased(t.Repository)
    hidden = (
        select(c.member_id)
        .join(member, member.id == c.member_id)
        .join(holder, holder.id == member.repository_id)
        .where(
            c.version_id == bindparam("version"),
            holder.visibility == "private",
            holder.derivatives != "open",
            or_(r.visibility == "public", holder.namespace_id != r.namespace_id),
        )
        .correlate(r)
    )
    # not the time of the transaction: one merge may become versions of several repositories, and they are listed in an order
    now = func.clock_timestamp()
    return Prepared(update(r).where(r.id == bindparam("touched"), ~hidden.exists()).values(updated_at=now))


touch_repository = touching()


def touch(tx: Connection, id: UUID, version: UUID) -> None:
    """It was updated by this version; not where some of its readers may not read the version, for they must not notice."""
    touch_repository.run(tx, {"touched": id, "version": version})


def move(tx: Connection, repository: Repository, namespace: UUID, name: str) -> None:
    """The old name becomes a redirect; the caller has seen that the new one is free."""
    tx.execute(
        update(t.Repository)
        .where(t.Repository.id == repository.id)
        .values(namespace_id=namespace, name=name, key=key_of(name), updated_at=func.now())
    )
    if (namespace, key_of(name)) != (repository.namespace_id, key_of(repository.name)):
        tx.execute(
            insert(t.Redirect).values(
                namespace_id=repository.namespace_id, key=key_of(repository.name), repository_id=repository.id
            )
        )


def drop_redirect(tx: Connection, namespace: UUID, name: str, repository: UUID) -> bool:
    """Whether this repository's own redirect stood at the name, and is gone now."""
    statement = t.Redirect.__table__.delete().where(  # type: ignore[attr-defined]  # Declarative types the table as FromClause
        t.Redirect.namespace_id == namespace, t.Redirect.key == key_of(name), t.Redirect.repository_id == repository
    )
    return bool(tx.execute(statement).rowcount)


by_id = select(t.Repository.id).where(t.Repository.id == bindparam("id"))
# rows that refer to the repository may be written meanwhile, unless the name that they find it by changes
lock_to_write = Prepared(by_id.with_for_update(key_share=True))
lock_to_move = Prepared(by_id.with_for_update())


def lock(tx: Connection, id: UUID, *, to_move: bool = False) -> Repository:
    """One writer at a time in a repository: numbers, refs and aliases move under this lock. The answer is the repository as
    it is under the lock; what was read of it before may have changed while the lock was waited for.

    Whoever locks a namespace too locks that first.
    """
    (lock_to_move if to_move else lock_to_write).run(tx, {"id": id})
    return get(tx, id)


all_base_model_aliases = Prepared(select(t.BaseModelAlias.key, t.BaseModelAlias.canonical))


def base_model_aliases(tx: Connection) -> dict[str, str]:
    """Lower-case name → canonical name."""
    return {row.key: row.canonical for row in all_base_model_aliases.all(tx)}


def list_base_model_aliases(tx: Connection) -> list[tuple[str, str, datetime]]:
    a = t.BaseModelAlias
    return [
        (row.name, row.canonical, row.created_at)
        for row in tx.execute(select(a.name, a.canonical, a.created_at).order_by(a.key))
    ]


def set_base_model_alias(tx: Connection, name: str, canonical: str) -> None:
    """Names that led to `name` lead to `canonical` too, so that one look-up is always enough."""
    a = t.BaseModelAlias
    tx.execute(update(a).where(func.lower(a.canonical) == name.lower()).values(canonical=canonical))
    statement = insert(t.BaseModelAlias).values(key=name.lower(), name=name, canonical=canonical)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["key"], set_={"name": statement.excluded.name, "canonical": statement.excluded.canonical}
        )
    )


def remove_base_model_alias(tx: Connection, name: str) -> bool:
    statement = t.BaseModelAlias.__table__.delete().where(t.BaseModelAlias.key == name.lower())  # type: ignore[attr-defined]  # as above
    return bool(tx.execute(statement).rowcount)


def mark_deleted(tx: Connection, id: UUID) -> None:
    """Under its lock."""
    tx.execute(update(t.Repository).where(t.Repository.id == id).values(deleted_at=func.now(), updated_at=func.now()))
