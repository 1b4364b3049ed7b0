"""Blobs, receipts and unfinished uploads."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Interval, Text, any_, bindparam, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.digest import Digest
from app.lineage import tables as t
from app.lineage.access import can_read_commit, values_of
from app.lineage.prepared import Prepared, inserting


@dataclass(frozen=True, slots=True)
class BlobRecord:
    digest: Digest
    size_bytes: int
    inspection: dict[str, Any]
    """What was seen while the bytes streamed in; `formats` reads it."""


@dataclass(frozen=True, slots=True)
class UploadRecord:
    id: UUID
    digest: Digest
    size_bytes: int
    part_size_bytes: int
    expires_at: datetime
    is_expired: bool


b = t.Blob
insert_blob = inserting(b.digest, b.size_bytes, b.inspection, b.kind, b.git_sha1)
upsert_blob = Prepared(insert_blob.on_conflict_do_update(index_elements=["digest"], set_={"unneeded_since": None}))
insert_receipt = insert(t.Receipt).values(
    user_id=bindparam("user_id"),
    digest=bindparam("digest"),
    expires_at=func.now() + bindparam("lease", type_=Interval),
)
upsert_receipt = Prepared(
    insert_receipt.on_conflict_do_update(
        index_elements=["user_id", "digest"], set_={"expires_at": insert_receipt.excluded.expires_at}
    )
)


def record(tx: Connection, digest: Digest, size_bytes: int, inspection: dict[str, Any]) -> None:
    """The bytes are in the store, under a lease. A known row only lives anew: equal bytes are inspected equally.

    Who records several does so in the order of their digests: two that record the same then wait for each other once.
    """
    row = {"digest": digest, "size_bytes": size_bytes, "inspection": inspection}
    upsert_blob.run(tx, row | {"kind": inspection["kind"], "git_sha1": inspection["git_sha1"]})


def grant_receipt(tx: Connection, user: UUID, digest: Digest, lease: timedelta) -> None:
    upsert_receipt.run(tx, {"user_id": user, "digest": digest, "lease": lease})


@cache
def nameable_by(is_admin: bool, sees_public: bool) -> Prepared:
    """Of the blobs `digests`, for such callers with the id `user`."""
    c, r = t.Commit, t.Repository
    v, origin = aliased(t.Version), aliased(t.Version)
    receipt = exists().where(
        t.Receipt.user_id == bindparam("user"), t.Receipt.digest == b.digest, t.Receipt.expires_at > func.now()
    )
    held = (
        select(t.TreeEntry.digest)
        .join(c, c.tree == t.TreeEntry.tree)
        .join(r, r.id == c.repository_id)
        .outerjoin(v, v.commit_id == c.id)
        .outerjoin(origin, origin.id == c.origin_id)
        .where(
            t.TreeEntry.digest == b.digest,
            or_(v.id.is_(None), v.state == "published"),
            can_read_commit(Caller(is_admin=is_admin, sees_public=sees_public), v, origin),
        )
        .correlate(b)
        .exists()
    )
    statement = (
        select(b.digest, b.size_bytes, b.inspection)
        .where(b.digest == any_(bindparam("digests", type_=ARRAY(Text))), or_(receipt, held))
        .with_for_update(read=True, key_share=True, of=b)
    )
    return Prepared(statement)


def nameable(tx: Connection, caller: Caller, digests: Iterable[str]) -> dict[str, BlobRecord]:
    """Those of the blobs that the caller may name: uploaded in full by them, or held by a commit that they may read.

    Until the transaction ends they are not collected.
    """
    values = {"user": caller.user_id, "digests": list(digests), **values_of(caller)}
    rows = nameable_by(caller.is_admin, caller.sees_public).all(tx, values)
    return {row.digest: BlobRecord(row.digest, row.size_bytes, row.inspection) for row in rows}


def get(tx: Connection, digest: str) -> BlobRecord:
    """By digest, whoever asks: for digests that the database itself named."""
    b = t.Blob
    row = tx.execute(select(b.digest, b.size_bytes, b.inspection).where(b.digest == digest)).one()
    return BlobRecord(row.digest, row.size_bytes, row.inspection)


def get_many(tx: Connection, digests: Collection[str]) -> dict[str, BlobRecord]:
    """As `get`, of several, by digest."""
    b = t.Blob
    statement = select(b.digest, b.size_bytes, b.inspection).where(b.digest.in_(list(digests)))
    return {row.digest: BlobRecord(row.digest, row.size_bytes, row.inspection) for row in tx.execute(statement)}


def upload_selection() -> Any:
    u = t.Upload
    return select(
        u.id, u.digest, u.size_bytes, u.part_size_bytes, u.expires_at, (u.expires_at <= func.now()).label("is_expired")
    )


def begin_upload(
    tx: Connection, id: UUID, user: UUID, digest: Digest, size_bytes: int, part_size_bytes: int, lease: timedelta
) -> UploadRecord:
    """The user's unfinished upload of these bytes, its lease renewed, or a new one."""
    statement = insert(t.Upload).values(
        id=id,
        user_id=user,
        digest=digest,
        size_bytes=size_bytes,
        part_size_bytes=part_size_bytes,
        expires_at=func.now() + lease,
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["user_id", "digest", "size_bytes"], set_={"expires_at": statement.excluded.expires_at}
        )
    )
    u = t.Upload
    row = tx.execute(upload_selection().where(u.user_id == user, u.digest == digest, u.size_bytes == size_bytes)).one()
    return UploadRecord(*row)


def find_upload(tx: Connection, id: UUID, user: UUID) -> UploadRecord | None:
    """A user's own upload; somebody else's is not there."""
    row = tx.execute(upload_selection().where(t.Upload.id == id, t.Upload.user_id == user)).first()
    return None if row is None else UploadRecord(*row)


def owner_of_upload(tx: Connection, id: UUID) -> tuple[UUID, str] | None:
    """(user, name) of whoever began an upload that has not expired."""
    u, n = t.Upload, t.Namespace
    statement = (
        select(u.user_id, n.name)
        .join(n, n.id == u.user_id)
        .where(u.id == id, u.expires_at > func.now(), n.deleted_at.is_(None))
    )
    row = tx.execute(statement).first()
    return None if row is None else (row.user_id, row.name)


def delete_upload(tx: Connection, id: UUID) -> None:
    tx.execute(delete(t.Upload).where(t.Upload.id == id))


def expire_uploads(tx: Connection) -> list[UUID]:
    """Removes the rows of uploads whose lease ended; their parts are the caller's to discard."""
    statement = delete(t.Upload).where(t.Upload.expires_at <= func.now()).returning(t.Upload.id)
    return list(tx.execute(statement).scalars())


def expire_receipts(tx: Connection) -> int:
    return tx.execute(delete(t.Receipt).where(t.Receipt.expires_at <= func.now())).rowcount
