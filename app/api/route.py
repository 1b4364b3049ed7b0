"""JSON routes: a bounded body of plain JSON, and answers that are kept by Idempotency-Key."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from app.api.auth import authenticate
from app.assembly import Services
from app.errors import MalformedRequest, UploadTooLarge
from app.formats.json_text import JsonRefused, parse_json

longest_key = 255
deepest_body = 32
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


def plain_url(request: Request) -> None:
    """For every route: what a name or a filter may be made of. Raises: MalformedRequest."""
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise MalformedRequest("the URL holds the character U+0000, which no name has", pointer="?")


async def bounded_body(request: Request, limit: int) -> bytes:
    """The whole body, which later readers of the request find again.

    Raises: UploadTooLarge, MalformedRequest.
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
    if body and "json" in request.headers.get("content-type", ""):
        # what the framework will validate is what was read here
        request._json = plain_json(body)
    return body


def plain_json(body: bytes) -> Any:
    """The body's value: one meaning for every reader, and nothing in it that Postgres cannot hold.

    Raises: MalformedRequest.
    """
    try:
        value = parse_json(body, deepest_body)
    except JsonRefused as error:
        raise MalformedRequest(f"the body is refused: {error.detail}") from error
    if any("\0" in text for text in texts_in(value)):
        raise MalformedRequest("the body is refused: a string holds the character U+0000")
    return value


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from texts_in(entry)
    elif isinstance(value, dict):
        yield from value
        for entry in value.values():
            yield from texts_in(entry)


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
    # whoever serves this request finds in its caller what an earlier attempt has made
    request.state.idempotency_key = key
    try:
        response = await handler(request)
    except BaseException:
        await run_in_threadpool(services.repeating.release, caller, key)
        raise
    location = response.headers.get("location")
    await run_in_threadpool(services.repeating.keep, caller, key, response.status_code, location, bytes(response.body))
    return response
