"""JSON routes: a bounded body, and answers that are kept by Idempotency-Key."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from app.api.auth import authenticate
from app.assembly import Services
from app.errors import MalformedRequest, UploadTooLarge

longest_key = 255
Handler = Callable[[Request], Awaitable[Response]]


class BoundedRoute(APIRoute):
    """Reads at most `max_body_bytes`."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler: Handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            await bounded_body(request, request.app.state.services.http.body_bytes)
            return await handler(request)

        return handle


class JsonRoute(BoundedRoute):
    """Answers a POST that is sent again with its Idempotency-Key as it did before. Not for answers that hold a secret."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler: Handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            services: Services = request.app.state.services
            body = await bounded_body(request, services.http.body_bytes)
            key = request.headers.get("idempotency-key")
            if request.method != "POST" or key is None:
                return await handler(request)
            return await once(request, services, key, body, handler)

        return handle


async def bounded_body(request: Request, limit: int) -> bytes:
    """The whole body, which later readers of the request find again.

    Raises: UploadTooLarge.
    """
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) > limit:
            raise UploadTooLarge(limit, len(gathered))
    body = bytes(gathered)

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    request._receive = again
    request._body = body
    return body


async def once(request: Request, services: Services, key: str, body: bytes, handler: Handler) -> Response:
    """Raises: IdempotencyKeyReused, RequestInProgress, InvalidToken, and what the handler raises."""
    if not 1 <= len(key) <= longest_key or not key.isprintable():
        raise MalformedRequest(
            f"an Idempotency-Key has 1 to {longest_key} printable characters", pointer="Idempotency-Key"
        )
    caller = await run_in_threadpool(authenticate, request, services)
    if caller.user_id is None:
        return await handler(request)
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    fingerprint = hashlib.sha256(asked + body).digest()
    kept = await run_in_threadpool(services.repeating.begin, caller, key, fingerprint)
    if kept is not None and kept.status is not None:
        headers = {"Idempotent-Replay": "true"} | ({"Location": kept.location} if kept.location else {})
        return Response(kept.body, kept.status, headers, media_type="application/json")
    try:
        response = await handler(request)
    except BaseException:
        await run_in_threadpool(services.repeating.release, caller, key)
        raise
    location = response.headers.get("location")
    await run_in_threadpool(services.repeating.keep, caller, key, response.status_code, location, bytes(response.body))
    return response
