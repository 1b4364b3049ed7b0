"""The audit log."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.auth import Reader, ServicesDep
from app.api.bodies import Answer, Listed
from app.api.paging import PageDep, time_and_id
from app.api.route import JsonRoute

router = APIRouter(route_class=JsonRoute)


class AuditEventBody(Answer):
    id: UUID
    at: datetime
    actor: str | None
    action: str
    subject: str
    request_id: str | None
    details: dict[str, Any]


@router.get("/audit")
def list_events(
    services: ServicesDep,
    caller: Reader,
    page: PageDep,
    action: Annotated[str | None, Query(max_length=100)] = None,
    subject: Annotated[str | None, Query(max_length=300)] = None,
) -> Listed[AuditEventBody]:
    """Who did what in the namespaces that the caller owns, newest first; an administrator sees all."""
    events = services.auditing.events(caller, action, subject, page.after(time_and_id), page.wanted)
    shown, cursor = page.cut(events, lambda event: [event.at.isoformat(), event.id])
    items = [
        AuditEventBody(
            id=event.id,
            at=event.at,
            actor=event.actor,
            action=event.action,
            subject=event.subject,
            request_id=event.request_id,
            details=event.details,
        )
        for event in shown
    ]
    return Listed[AuditEventBody](items=items, next_cursor=cursor)
