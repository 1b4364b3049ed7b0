"""The list of merges."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import Reader, ServicesDep
from app.api.merge_bodies import MergeBody
from app.api.paging import PageDep, time_and_id
from app.domain.merge import MergeState
from app.web.site import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/merges")
def merges(
    request: Request,
    services: ServicesDep,
    caller: Reader,
    shown: PageDep,
    state: Annotated[MergeState | Literal[""], Query()] = "",
) -> Response:
    """The caller's merges, newest first."""
    wanted = MergeState(state) if state else None
    views = services.merging.list_merges(caller, wanted, shown.after(time_and_id), shown.wanted)
    entries, cursor = shown.cut(views, lambda view: [view.merge.created_at.isoformat(), view.merge.id])
    query = {"state": state} if state else {}
    return page(
        request,
        caller,
        "merges.html",
        entries=[MergeBody.of(view) for view in entries],
        next=None if cursor is None else f"/merges?{urlencode({**query, 'cursor': cursor})}",
        states=list(MergeState),
        state=state,
    )
