"""Audit events: who did what, written in the transaction that does it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, tuple_

from app.domain.caller import Caller
from app.lineage import tables as t
from app.lineage.prepared import Prepared, inserting


@dataclass(frozen=True, slots=True)
class AuditEvent:
    id: UUID
    at: datetime
    actor: str | None
    action: str
    subject: str
    request_id: str | None
    details: dict[str, Any]


a = t.AuditEvent
insert_event = Prepared(inserting(a.actor_id, a.action, a.subject, a.namespace_id, a.request_id, a.details))


def record(
    tx: Connection, caller: Caller, action: str, subject: str, *, namespace: UUID | None = None, **details: Any
) -> None:
    """`action` is `noun.verb`; `namespace` is whose owners may read the event, besides administrators."""
    row = {
        "actor_id": caller.user_id,
        "action": action,
        "subject": subject,
        "namespace_id": namespace,
        "request_id": caller.request_id,
        "details": details,
    }
    insert_event.run(tx, row)


def events(
    tx: Connection,
    namespaces: list[UUID] | None,
    *,
    action: str | None,
    subject: str | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[AuditEvent]:
    """Newest first; `namespaces` None: all."""
    a = t.AuditEvent
    statement = (
        select(a.id, a.at, t.Namespace.name.label("actor"), a.action, a.subject, a.request_id, a.details)
        .outerjoin(t.Namespace, t.Namespace.id == a.actor_id)
        .order_by(a.at.desc(), a.id.desc())
        .limit(limit)
    )
    if namespaces is not None:
        statement = statement.where(a.namespace_id.in_(namespaces))
    if action is not None:
        statement = statement.where(a.action == action)
    if subject is not None:
        statement = statement.where(a.subject == subject)
    if before is not None:
        statement = statement.where(tuple_(a.at, a.id) < before)
    return [AuditEvent(*row) for row in tx.execute(statement)]
