"""Aliases: movable names of versions, with their history."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.names import key_of
from app.domain.number import VersionNumber
from app.lineage import tables as t
from app.lineage.access import can_read_version


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """Where an alias points, or pointed from `moved_at` on; no number: it was removed."""

    name: str
    number: VersionNumber | None
    digest: str | None
    moved_by: str
    moved_at: datetime


def point(tx: Connection, repository: UUID, name: str, version: UUID, by: UUID) -> None:
    statement = insert(t.Alias).values(
        repository_id=repository, key=key_of(name), name=name, version_id=version, updated_by=by
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["repository_id", "key"],
            set_={
                "name": statement.excluded.name,
                "version_id": statement.excluded.version_id,
                "updated_by": statement.excluded.updated_by,
                "updated_at": func.now(),
            },
        )
    )
    tx.execute(insert(t.AliasEvent).values(repository_id=repository, key=key_of(name), version_id=version, moved_by=by))


def remove(tx: Connection, repository: UUID, name: str, by: UUID) -> UUID | None:
    """Returns: the version that it named; None if there was no such alias."""
    statement = delete(t.Alias).where(t.Alias.repository_id == repository, t.Alias.key == key_of(name))
    left = tx.execute(statement.returning(t.Alias.version_id)).scalar()
    if left is None:
        return None
    tx.execute(insert(t.AliasEvent).values(repository_id=repository, key=key_of(name), version_id=None, moved_by=by))
    return left


def target(tx: Connection, repository: UUID, name: str) -> UUID | None:
    """The version that an alias names."""
    statement = select(t.Alias.version_id).where(t.Alias.repository_id == repository, t.Alias.key == key_of(name))
    return tx.execute(statement).scalar()


def list_aliases(tx: Connection, repository: UUID, caller: Caller, after: str | None, limit: int) -> list[AliasRecord]:
    """The aliases of versions that the caller may read, by name."""
    a, v, r, n = t.Alias, t.Version, t.Repository, t.Namespace
    statement = (
        select(a.name, v.major, v.minor, v.patch, v.digest, n.name.label("moved_by"), a.updated_at)
        .join(v, v.id == a.version_id)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == a.updated_by)
        .where(a.repository_id == repository, can_read_version(caller))
        .order_by(a.key)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(a.key > after)
    return [
        AliasRecord(row.name, VersionNumber(row.major, row.minor, row.patch), row.digest, row.moved_by, row.updated_at)
        for row in tx.execute(statement)
    ]


def history(
    tx: Connection, repository: UUID, name: str, caller: Caller, before: int | None, limit: int
) -> list[tuple[int, AliasRecord]]:
    """Every move of an alias that the caller may see, newest first, each with its place among them, counted from the oldest.

    A move is seen by whoever may read the version that it led to, a removal by whoever may read the one that it left.
    """
    a, v, r, n = t.AliasEvent, t.Version, t.Repository, t.Namespace
    earlier = aliased(a)
    left = (
        select(earlier.version_id)
        .where(earlier.repository_id == a.repository_id, earlier.key == a.key, earlier.id < a.id)
        .order_by(earlier.id.desc())
        .limit(1)
        .correlate(a)
        .scalar_subquery()
    )
    removed = a.version_id.is_(None).label("removed")
    # not the event's own number: it would tell how much is moved in this registry
    place = func.row_number().over(order_by=a.id).label("place")
    seen = (
        select(place, v.major, v.minor, v.patch, v.digest, removed, n.name.label("moved_by"), a.moved_at)
        .select_from(a)
        .join(v, v.id == func.coalesce(a.version_id, left))
        .join(r, r.id == a.repository_id)
        .join(n, n.id == a.moved_by)
        .where(a.repository_id == repository, a.key == key_of(name), can_read_version(caller))
        .subquery()
    )
    statement = select(seen).order_by(seen.c.place.desc()).limit(limit)
    if before is not None:
        statement = statement.where(seen.c.place < before)
    return [
        (
            row.place,
            AliasRecord(
                name,
                None if row.removed else VersionNumber(row.major, row.minor, row.patch),
                None if row.removed else row.digest,
                row.moved_by,
                row.moved_at,
            ),
        )
        for row in tx.execute(statement)
    ]
