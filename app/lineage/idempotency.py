"""Answers kept by Idempotency-Key, so that a request sent twice is done once.

What a request makes is noted in the transaction that makes it: a server that dies between commit and answer leaves the
note, and the request that is sent again finds what was made instead of making it twice.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.domain.caller import Caller
from app.lineage import tables as t


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    fingerprint: bytes
    status: int | None
    """None: the first request has not been answered yet."""
    location: str | None
    body: bytes | None


def reserve(tx: Connection, user: UUID, key: str, fingerprint: bytes, abandoned: timedelta) -> KeptAnswer | None:
    """None if the key is the caller's now; else what stands there. A reservation nobody answered in time is taken over."""
    k = t.IdempotencyKey
    statement = insert(k).values(user_id=user, key=key, fingerprint=fingerprint)
    taken = statement.on_conflict_do_update(
        index_elements=["user_id", "key"],
        set_={"fingerprint": statement.excluded.fingerprint, "created_at": func.now()},
        where=(k.status.is_(None)) & (k.created_at < func.now() - abandoned) & (k.fingerprint == fingerprint),
    ).returning(k.key)
    if tx.execute(taken).first() is not None:
        return None
    # a conflict locks its row, whether or not it is then updated: nobody releases it before it is read
    row = tx.execute(select(k.fingerprint, k.status, k.location, k.body).where(k.user_id == user, k.key == key)).one()
    return KeptAnswer(row.fingerprint, row.status, row.location, row.body)


def keep(tx: Connection, user: UUID, key: str, status: int, location: str | None, body: bytes) -> None:
    k = t.IdempotencyKey
    tx.execute(update(k).where(k.user_id == user, k.key == key).values(status=status, location=location, body=body))


def release(tx: Connection, user: UUID, key: str) -> None:
    """A request that failed left nothing to keep: the same key may try again. What it made after all stays noted."""
    k = t.IdempotencyKey
    tx.execute(delete(k).where(k.user_id == user, k.key == key, k.status.is_(None), k.made.is_(None)))


def made(tx: Connection, caller: Caller) -> str | None:
    """What the caller's request has made already, when it was sent before; until the transaction ends nobody else with
    its key gets past here."""
    if caller.idempotency_key is None:
        return None
    k = t.IdempotencyKey
    found = select(k.made).where(k.user_id == caller.user_id, k.key == caller.idempotency_key).with_for_update()
    return tx.execute(found).scalar()


def note(tx: Connection, caller: Caller, made: str) -> None:
    """The caller's request makes this, if the transaction is committed."""
    k = t.IdempotencyKey
    if caller.idempotency_key is not None:
        tx.execute(update(k).where(k.user_id == caller.user_id, k.key == caller.idempotency_key).values(made=made))


def expire(tx: Connection, age: timedelta) -> int:
    k = t.IdempotencyKey
    return tx.execute(delete(k).where(k.created_at < func.now() - age)).rowcount
