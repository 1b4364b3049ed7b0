"""Merges: planned, asked for, watched, withdrawn, read."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.api.auth import Merger, Reader, ServicesDep
from app.api.bodies import Listed
from app.api.document import refusals
from app.api.merge_bodies import MergeBody, PlanBody, RecipeBody, progress_json
from app.api.paging import PageDep, time_and_id
from app.api.route import JsonRoute
from app.api.streams import archive_answer, archive_responses, file_answer, file_responses
from app.assembly import Services
from app.domain.caller import Caller
from app.domain.merge import MergeState

router = APIRouter(route_class=JsonRoute)
streams = APIRouter()

not_finished = refusals(409)
of_file, of_archive = file_responses | not_finished, archive_responses | not_finished

poll_seconds = 0.25
silence_seconds = 15.0
"""A comment after so long without news keeps proxies from closing the stream."""
event_schema = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["state", "progress"]},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "`state` and `progress`"},
    },
}
event_stream: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"itemSchema": event_schema}}}}


@router.post("/merges", status_code=202, responses={200: {"model": MergeBody, "description": "Already there"}})
def submit(body: RecipeBody, services: ServicesDep, caller: Merger, response: Response) -> MergeBody:
    """Plan a recipe and queue it; an impossible plan is refused here."""
    view = services.merging.submit(caller, body.to_recipe())
    response.status_code = 200 if view.merge.is_cached else 202
    response.headers["Location"] = f"/api/v1/merges/{view.merge.id}"
    return MergeBody.of(view)


@router.post("/merges/plan")
def plan(body: RecipeBody, services: ServicesDep, caller: Reader) -> PlanBody:
    """What a recipe would do; nothing is queued."""
    return PlanBody.of_view(services.merging.plan(caller, body.to_recipe()))


@router.get("/merges")
def list_merges(
    services: ServicesDep, caller: Reader, page: PageDep, state: MergeState | None = None
) -> Listed[MergeBody]:
    """The caller's merges, newest first."""
    views = services.merging.list_merges(caller, state, page.after(time_and_id), page.wanted)
    shown, cursor = page.cut(views, lambda view: [view.merge.created_at.isoformat(), view.merge.id])
    return Listed[MergeBody](items=[MergeBody.of(view) for view in shown], next_cursor=cursor)


@router.get("/merges/{id}")
def get_merge(id: UUID, services: ServicesDep, caller: Reader) -> MergeBody:
    """One of the caller's merges."""
    return MergeBody.of(services.merging.get(caller, id))


@router.delete("/merges/{id}", status_code=204, response_class=Response)
def cancel(id: UUID, services: ServicesDep, caller: Merger) -> None:
    """Withdraw this request; others for the same result go on."""
    services.merging.cancel(caller, id)


@streams.get("/merges/{id}/events", response_class=StreamingResponse, responses=event_stream)
async def watch(id: UUID, services: ServicesDep, caller: Reader) -> StreamingResponse:
    """Server-sent events `state` and `progress`, each with both, until the merge has ended."""
    # a merge that is not there is a problem, not a stream
    await run_in_threadpool(services.merging.state, caller, id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(news(services, caller, id), media_type="text/event-stream", headers=headers)


async def news(services: Services, caller: Caller, id: UUID) -> AsyncIterator[str]:
    told: dict[str, Any] | None = None
    told_at = time.monotonic()
    while True:
        state, progress = await run_in_threadpool(services.merging.state, caller, id)
        now = {"state": state.value, "progress": progress_json(progress)}
        if now != told:
            kind = "state" if told is None or told["state"] != now["state"] else "progress"
            yield f"event: {kind}\ndata: {json.dumps(now)}\n\n"
            told, told_at = now, time.monotonic()
        elif time.monotonic() - told_at > silence_seconds:
            yield ": still there\n\n"
            told_at = time.monotonic()
        if state.is_final:
            return
        await asyncio.sleep(poll_seconds)


@streams.head("/merges/{id}/files/{path:path}", response_class=Response, responses=of_file)
@streams.get("/merges/{id}/files/{path:path}", response_class=Response, responses=of_file)
def get_file(id: UUID, path: str, request: Request, services: ServicesDep, caller: Reader) -> Response:
    """A file of the result, for as long as the caller may read all that went into it."""
    return file_answer(request, services.reading, services.merging.file(caller, id, path))


@streams.head("/merges/{id}/archive.tar", response_class=Response, responses=of_archive)
@streams.get("/merges/{id}/archive.tar", response_class=Response, responses=of_archive)
def get_archive(id: UUID, request: Request, services: ServicesDep, caller: Reader) -> Response:
    """All files of the result as a tar."""
    return archive_answer(request, services.reading, services.merging.archive(caller, id))
