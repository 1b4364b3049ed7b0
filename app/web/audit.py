"""The audit log, for owners and administrators."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import Reader, ServicesDep
from app.api.paging import PageDep, time_and_id
from app.web.site import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/settings/audit")
def audit_log(
    request: Request,
    services: ServicesDep,
    caller: Reader,
    shown: PageDep,
    action: Annotated[str, Query(max_length=100)] = "",
    subject: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Who did what in the namespaces that the caller owns, newest first; an administrator sees all."""
    found = services.auditing.events(
        caller, action.strip() or None, subject.strip() or None, shown.after(time_and_id), shown.wanted
    )
    entries, cursor = shown.cut(found, lambda event: [event.at.isoformat(), event.id])
    query = {name: value for name, value in (("action", action), ("subject", subject)) if value}
    next = None if cursor is None else f"/settings/audit?{urlencode({**query, 'cursor': cursor})}"
    return page(request, caller, "audit.html", entries=entries, next=next, action=action, subject=subject)
