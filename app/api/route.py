"""JSON routes: a bounded body of plain JSON, and answers that are kept by Idempotency-Key."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from app.api.auth import Policy
from app.api.problems import request_id_of
from app.assembly import Services
from app.domain.caller import Caller
from app.errors import MalformedRequest, UploadTooLarge
from app.formats.json_text import JsonRefused, holds_nul, parse_json
from app.lineage.idempotency import KeptAnswer

longest_key = 255
deepest_body = 32
repeated_headers = (b"authorization", b"host")
"""Of a request that is sent again: what its answer is read with."""
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
            # before anything that was kept is looked at: whoever may not ask is not answered
            caller = await run_in_threadpool(policy_of(self)[0], request, services)
            return await once(request, services, caller, key, body, handler)

        return handle


class ReadRoute(BoundedRoute):
    """A GET whose parameters are the names in its path: who asks, the service's call and its JSON in one thread.

    The framework would change threads for each of them, and check anew the answer that was just made: for the hottest
    reads that is most of the time.
    """

    def get_route_handler(self) -> Callable[[Request], Any]:
        (policy,) = policy_of(self)
        endpoint: Callable[..., BaseModel] = self.endpoint

        def answer(request: Request) -> Response:
            plain_url(request)
            services: Services = request.app.state.services
            caller = policy(request, services)
            made = endpoint(**request.path_params, services=services, caller=caller)
            return Response(made.model_dump_json(), media_type="application/json")

        async def handle(request: Request) -> Response:
            return await run_in_threadpool(answer, request)

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
    if holds_nul(value):
        raise MalformedRequest("the body is refused: a string holds the character U+0000")
    return value


def policy_of(route: APIRoute) -> list[Policy]:
    """The policies that a route declares: one, where everything is as it should be."""
    return [found.call for found in route.dependant.dependencies if isinstance(found.call, Policy)]


async def once(
    request: Request, services: Services, caller: Caller, key: str, body: bytes, handler: Handler
) -> Response:
    """The first answer, or what became of it since.

    Raises: IdempotencyKeyReused, RequestInProgress, and what the handler raises.
    """
    if not 1 <= len(key) <= longest_key or not key.isprintable():
        raise MalformedRequest(
            f"an Idempotency-Key has 1 to {longest_key} printable characters", pointer="Idempotency-Key"
        )
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    fingerprint = hashlib.sha256(asked + body).digest()
    kept = await run_in_threadpool(services.repeating.begin, caller, key, fingerprint)
    if kept is not None and kept.status is not None:
        return await replayed(request, kept)
    # whoever serves this request finds in its caller what an earlier attempt has made
    request.state.idempotency_key = key
    try:
        response = await handler(request)
    except BaseException:
        await run_in_threadpool(services.repeating.release, caller, key)
        raise
    location = response.headers.get("location")
    # what was made is read again when it is asked for again: rights may have changed, and what they showed is not kept
    kept_body = b"" if location is not None else bytes(response.body)
    if location is None and response.status_code == 200:
        # it made nothing
        await run_in_threadpool(services.repeating.release, caller, key)
    else:
        await run_in_threadpool(services.repeating.keep, caller, key, response.status_code, location, kept_body)
    return response


async def replayed(request: Request, kept: KeptAnswer) -> Response:
    """The answer that a request had, as its caller may see it now."""
    headers = {"Idempotent-Replay": "true"}
    status = kept.status or 200
    if kept.location is None:
        return Response(kept.body, status, headers, media_type="application/json")
    path = urlsplit(kept.location).path
    connection = {"type", "asgi", "http_version", "server", "client", "scheme"}
    scope = {key: value for key, value in request.scope.items() if key in connection}
    scope |= {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    # the request was counted and named when it came
    scope["state"] = {"is_counted": True, "request_id": request_id_of(request)}
    scope["headers"] = [(name, value) for name, value in request.scope["headers"] if name in repeated_headers]
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await request.app(scope, request._receive, send)
    body = b"".join(message.get("body", b"") for message in messages)
    if messages[0]["status"] != 200:
        return Response(body, messages[0]["status"], headers, media_type="application/problem+json")
    return Response(body, status, headers | {"Location": kept.location}, media_type="application/json")
