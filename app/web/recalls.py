"""The feed of recalls."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import Anyone, ServicesDep
from app.api.paging import PageDep, time_and_id
from app.web.site import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/recalls")
def recalls(
    request: Request,
    services: ServicesDep,
    caller: Anyone,
    shown: PageDep,
    state: Annotated[Literal["", "active", "undone"], Query()] = "",
) -> Response:
    """Recalls of versions that the caller may read, newest first."""
    active = {"": None, "active": True, "undone": False}[state]
    found = services.recalling.recalls(caller, active, shown.after(time_and_id), shown.wanted)
    entries, cursor = shown.cut(found, lambda entry: [entry.recalled_at.isoformat(), entry.id])
    query = {"state": state} if state else {}
    return page(
        request,
        caller,
        "recalls.html",
        entries=entries,
        next=None if cursor is None else f"/recalls?{urlencode({**query, 'cursor': cursor})}",
        state=state,
    )
