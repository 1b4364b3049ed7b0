"""Webhooks, and what is to be delivered to each: one delivery at a time, in the order of the events."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.domain.caller import Caller, MemberRole
from app.domain.event import EventType
from app.lineage import event_tables as e
from app.lineage import queue
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.queue import TaskName

lease_seconds = 60
"""Far more than one attempt may take: whoever has not come back then has died."""
longest_pause_seconds = 300
give_up_after = "3 days"


@dataclass(frozen=True, slots=True)
class Webhook:
    id: UUID
    namespace: UUID
    namespace_name: str
    repository: UUID | None
    repository_name: str | None
    user: UUID
    url: str
    secret: str
    events: tuple[EventType, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """As one reader may see it."""

    id: UUID
    payload: dict[str, Any] | None
    """None: the reader may not know any more what it told."""
    state: str
    attempts: int
    status: int | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A worker's right to send one delivery now."""

    webhook: Webhook
    number: int
    delivery: UUID
    payload: dict[str, Any]
    repository: UUID
    """What the payload tells of, and its version."""
    version: UUID | None
    attempts: int
    """So far."""
    leased_until: datetime | None


def selection() -> Any:
    w, r, n = e.Webhook, t.Repository, t.Namespace
    return (
        select(
            w.id,
            w.namespace_id,
            n.name.label("namespace"),
            w.repository_id,
            r.name.label("repository"),
            w.user_id,
            w.url,
            w.secret,
            w.events,
            w.created_at,
        )
        .join(n, n.id == w.namespace_id)
        .outerjoin(r, r.id == w.repository_id)
        .where(w.deleted_at.is_(None))
    )


def webhook_of(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        namespace=row.namespace_id,
        namespace_name=row.namespace,
        repository=row.repository_id,
        repository_name=None if row.repository is None else f"{row.namespace}/{row.repository}",
        user=row.user_id,
        url=row.url,
        secret=row.secret,
        events=tuple(EventType(name) for name in row.events),
        created_at=row.created_at,
    )


def insert_webhook(
    tx: Connection,
    id: UUID,
    namespace: UUID,
    repository: UUID | None,
    user: UUID,
    url: str,
    secret: str | None,
    events: Sequence[EventType],
) -> None:
    tx.execute(
        insert(e.Webhook).values(
            id=id,
            namespace_id=namespace,
            repository_id=repository,
            user_id=user,
            url=url,
            secret=secret or "whsec_" + secrets.token_urlsafe(32),
            events=[event.value for event in events],
        )
    )


def count(tx: Connection, namespace: UUID) -> int:
    w = e.Webhook
    statement = select(func.count()).where(w.namespace_id == namespace, w.deleted_at.is_(None))
    return int(tx.execute(statement).scalar_one())


def find(tx: Connection, id: UUID, namespaces: Sequence[UUID] | None) -> Webhook | None:
    """One of these namespaces; None: of any."""
    statement = selection().where(e.Webhook.id == id)
    if namespaces is not None:
        statement = statement.where(e.Webhook.namespace_id.in_(namespaces))
    row = tx.execute(statement).first()
    return None if row is None else webhook_of(row)


def list_webhooks(tx: Connection, namespaces: Sequence[UUID], after: UUID | None, limit: int) -> list[Webhook]:
    statement = selection().where(e.Webhook.namespace_id.in_(namespaces)).order_by(e.Webhook.id).limit(limit)
    if after is not None:
        statement = statement.where(e.Webhook.id > after)
    return [webhook_of(row) for row in tx.execute(statement)]


def mark_deleted(tx: Connection, id: UUID) -> None:
    """What waits for it is given up."""
    tx.execute(update(e.Webhook).where(e.Webhook.id == id).values(deleted_at=func.now(), due_at=None))
    d = e.Delivery
    ended = {"state": "failed", "error": "the webhook was deleted", "finished_at": func.now()}
    tx.execute(update(d).where(d.webhook_id == id, d.state == "waiting").values(**ended))


def listening(tx: Connection, type: EventType, repository: UUID) -> list[Webhook]:
    """The webhooks that asked for events of this type in this repository."""
    w = e.Webhook
    holder = select(t.Repository.namespace_id).where(t.Repository.id == repository).scalar_subquery()
    statement = selection().where(
        w.namespace_id == holder,
        or_(w.repository_id.is_(None), w.repository_id == repository),
        literal(type.value) == any_(w.events),
    )
    return [webhook_of(row) for row in tx.execute(statement.order_by(w.id))]


def may_know(caller: Caller) -> ColumnElement[bool]:
    """Whether the caller may be told what happened: of a repository of a namespace that they own, or any as an administrator,
    and of a version only if they may read it."""
    r, v = t.Repository, t.Version
    owned = any_(bindparam(None, owned_by(caller), ARRAY(Uuid)))
    is_own = true() if caller.is_admin else r.namespace_id == owned
    return and_(is_own, or_(v.id.is_(None), can_read_version(caller)))


def owned_by(caller: Caller) -> list[UUID]:
    return [namespace for namespace, role in caller.roles.items() if role is MemberRole.OWNER]


def may_be_told(tx: Connection, caller: Caller, repository: UUID, version: UUID | None) -> bool:
    r, v = t.Repository, t.Version
    statement = select(may_know(caller)).select_from(r).outerjoin(v, v.id == version).where(r.id == repository)
    return bool(tx.execute(statement).scalar_one())


def enqueue(
    tx: Connection,
    webhook: UUID,
    event: int,
    payload: dict[str, Any],
    repository: UUID,
    version: UUID | None,
    replay: int = 0,
) -> UUID | None:
    """Have something delivered; None if it is on its way already.

    Args:
        repository, version: what the payload tells of.
    """
    d, w = e.Delivery, e.Webhook
    # whoever ends a delivery just now sees this one, or has said already that none waits
    tx.execute(select(w.id).where(w.id == webhook).with_for_update())
    public_id = uuid4()
    statement = (
        insert(d)
        .values(
            public_id=public_id,
            webhook_id=webhook,
            event_id=event,
            replay=replay,
            payload={"id": str(public_id), **payload},
            repository_id=repository,
            version_id=version,
            state="waiting",
        )
        .on_conflict_do_nothing(index_elements=["webhook_id", "event_id", "replay"])
        .returning(d.id)
    )
    if tx.execute(statement).first() is None:
        return None
    tx.execute(update(w).where(w.id == webhook, w.due_at.is_(None)).values(due_at=func.clock_timestamp()))
    queue.defer(tx, TaskName.DELIVER)
    return public_id


def claim(tx: Connection) -> Attempt | None:
    """The oldest waiting delivery of a webhook that is due and that nobody sends to; None: there is nothing to do now.

    A job looks after it when the lease is over, in case that nobody comes back.
    """
    w, d = e.Webhook, e.Delivery
    now = func.clock_timestamp()
    waits = exists().where(d.webhook_id == w.id, d.state == "waiting")
    due = (
        select(w.id)
        .where(w.due_at <= now, w.deleted_at.is_(None), or_(w.leased_until.is_(None), w.leased_until < now), waits)
        .order_by(w.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    id = tx.execute(due).scalar()
    found = None if id is None else find(tx, id, None)
    if found is None:
        return None
    lease = now + text(f"interval '{lease_seconds} seconds'")
    leased = update(w).where(w.id == found.id).values(leased_until=lease).returning(w.leased_until)
    leased_until = tx.execute(leased).scalar_one()
    queue.defer(tx, TaskName.DELIVER, delay_seconds=lease_seconds + 1)
    oldest = select(d.__table__).where(d.webhook_id == found.id, d.state == "waiting").order_by(d.id).limit(1)
    row = tx.execute(oldest).one()
    return Attempt(
        webhook=found,
        number=row.id,
        delivery=row.public_id,
        payload=row.payload,
        repository=row.repository_id,
        version=row.version_id,
        attempts=row.attempts,
        leased_until=leased_until,
    )


settle_delivery = text(
    """
    UPDATE deliveries SET
        attempts = attempts + 1,
        status = CAST(:status AS integer),
        error = :error,
        state = CASE
            WHEN CAST(:error AS text) IS NULL THEN 'delivered'
            WHEN :is_final OR created_at < now() - CAST(:patience AS interval) THEN 'failed'
            ELSE 'waiting'
        END,
        finished_at = CASE
            WHEN CAST(:error AS text) IS NULL OR :is_final OR created_at < now() - CAST(:patience AS interval)
            THEN clock_timestamp()
        END
    WHERE id = :delivery AND state = 'waiting'
    AND EXISTS (SELECT FROM webhooks WHERE id = :webhook AND leased_until = :leased_until)
    RETURNING state
    """
)
settle_webhook = text(
    """
    UPDATE webhooks SET leased_until = NULL, due_at = CASE
        WHEN NOT EXISTS (SELECT FROM deliveries WHERE webhook_id = webhooks.id AND state = 'waiting') THEN NULL
        ELSE clock_timestamp() + make_interval(secs => :pause_seconds)
    END
    WHERE id = :webhook AND leased_until = :leased_until
    """
)


def settle(tx: Connection, attempt: Attempt, status: int | None, error: str | None, *, is_final: bool = False) -> None:
    """What came of an attempt; without an error it was delivered. A failed one is tried again before any later one, unless
    it is final."""
    # under the lock under which deliveries are added
    tx.execute(select(e.Webhook.id).where(e.Webhook.id == attempt.webhook.id).with_for_update())
    values = {"webhook": attempt.webhook.id, "leased_until": attempt.leased_until}
    outcome = {"delivery": attempt.number, "status": status, "error": error, "is_final": is_final}
    state = tx.execute(settle_delivery, values | outcome | {"patience": give_up_after}).scalar()
    pause_seconds = 0.0
    if state == "waiting":
        pause_seconds = float(min(2**attempt.attempts, longest_pause_seconds))
        queue.defer(tx, TaskName.DELIVER, delay_seconds=int(pause_seconds) + 1)
    tx.execute(settle_webhook, values | {"pause_seconds": pause_seconds})


def delivery_of(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.public_id,
        payload=row.payload if row.is_told else None,
        state=row.state,
        attempts=row.attempts,
        status=row.status,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def history(caller: Caller, webhook: UUID) -> Select[Any]:
    """The deliveries of a webhook, each with whether the caller may know what it told."""
    d, r, v = e.Delivery, t.Repository, t.Version
    return (
        select(d.__table__, may_know(caller).label("is_told"))
        .join(r, r.id == d.repository_id)
        .outerjoin(v, v.id == d.version_id)
        .where(d.webhook_id == webhook)
    )


def deliveries(tx: Connection, caller: Caller, webhook: UUID, before: UUID | None, limit: int) -> list[Delivery]:
    """Newest first."""
    d = e.Delivery
    statement = history(caller, webhook).order_by(d.id.desc()).limit(limit)
    if before is not None:
        place = select(d.id).where(d.webhook_id == webhook, d.public_id == before).scalar_subquery()
        statement = statement.where(d.id < place)
    return [delivery_of(row) for row in tx.execute(statement)]


def replay(tx: Connection, caller: Caller, webhook: UUID, delivery: UUID) -> Delivery | None:
    """Deliver something once more, after all that waits; None if there is no such delivery that the caller may know of."""
    d = e.Delivery
    row = tx.execute(history(caller, webhook).where(d.public_id == delivery)).first()
    if row is None or not row.is_told:
        return None
    last = select(func.max(d.replay)).where(d.webhook_id == webhook, d.event_id == row.event_id)
    payload = {name: value for name, value in row.payload.items() if name != "id"}
    count = int(tx.execute(last).scalar_one())
    made = enqueue(tx, webhook, row.event_id, payload, row.repository_id, row.version_id, count + 1)
    found = tx.execute(history(caller, webhook).where(d.public_id == made)).first()
    return None if found is None else delivery_of(found)


def expire(tx: Connection, days: int) -> int:
    """Forget what was delivered or given up so long ago."""
    d = e.Delivery
    statement = d.__table__.delete().where(  # type: ignore[attr-defined]  # Declarative types it as FromClause
        d.finished_at < func.now() - text(f"interval '{days} days'")
    )
    return tx.execute(statement).rowcount
