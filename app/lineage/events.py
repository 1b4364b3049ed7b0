"""Events: written in the transaction in which something happens, and told to whom it concerns soon after."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select, text

from app.domain.event import Event, EventType
from app.lineage import event_tables as t
from app.lineage import queue
from app.lineage.prepared import Prepared, inserting
from app.lineage.queue import TaskName

lock_telling = text("SELECT pg_advisory_xact_lock(hashtextextended('telling', 0))")
columns = (
    t.Event.id,
    t.Event.type,
    t.Event.at,
    t.Event.repository_id,
    t.Event.version_id,
    t.Event.details,
)


insert_event = Prepared(inserting(t.Event.type, t.Event.repository_id, t.Event.version_id, t.Event.details))


def record(tx: Connection, type: EventType, repository: UUID, version: UUID | None = None, **details: Any) -> None:
    """`version`: who may not read it is told nothing of the event."""
    row = {"type": type.value, "repository_id": repository, "version_id": version, "details": details}
    insert_event.run(tx, row)
    tell(tx)


def tell(tx: Connection) -> None:
    """Have what this transaction recorded told once it is committed."""
    queue.defer(tx, TaskName.TELL)


def untold(tx: Connection, limit: int) -> list[Event]:
    """The oldest events that nobody was told of yet. Until the transaction ends nobody else tells any, so that everybody
    hears of them in their order."""
    tx.execute(lock_telling)
    statement = select(*columns).order_by(t.Event.id).limit(limit)
    return [event_of(row) for row in tx.execute(statement)]


def forget(tx: Connection, events: Sequence[Event]) -> None:
    """Everybody was told."""
    tx.execute(delete(t.Event).where(t.Event.id.in_([event.id for event in events])))


def event_of(row: Row[Any]) -> Event:
    return Event(row.id, EventType(row.type), row.at, row.repository_id, row.version_id, row.details)
