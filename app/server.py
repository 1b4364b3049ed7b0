"""The HTTP server: routers put together, requests named and measured, errors turned into problems."""

import logging
import re
import time
import uuid

import structlog
from anyio import Semaphore
from fastapi import APIRouter, Depends
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import (
    accounts,
    audit,
    health,
    merges,
    problems,
    recalls,
    repositories,
    stacks,
    uploads,
    versions,
    webhooks,
)
from app.api.document import DescribedApp, root
from app.api.route import plain_url
from app.api.straight import Straight, reads_below
from app.assembly import HttpLimits, Services
from app.hub import face as hub
from app.services.limiting import Allowance, window_seconds
from app.web import face as web
from app.web import problem_pages

log = structlog.get_logger("app.requests")

known_methods = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""As a metric's label; a client may send any word for a method, and each label is kept for ever."""
request_id_pattern = re.compile(r"[A-Za-z0-9_-]{8,64}")

safe_headers = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
)
"""Of every answer that says nothing else: what a browser is led to by it is no page."""

description = """
A registry for LoRA adapters that are made to be stacked: versioned, with a lineage that knows what builds on what, and merged
on demand. Errors are problems (RFC 9457); `GET /problems/{name}` explains each.
"""


def create_app(services: Services) -> DescribedApp:
    """The application around services that are open."""
    app = DescribedApp(
        title="Glulam",
        version="0.1.0",
        description=description,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.upload_slots = Semaphore(services.http.concurrent_uploads)
    # apart: whoever sends the part that a completion waits for needs a slot, too
    app.state.completion_slots = Semaphore(services.http.concurrent_uploads)
    problems.install(app)
    problem_pages.install(app)
    api = APIRouter(prefix=root, dependencies=[Depends(plain_url)])
    for router in (
        # what is asked most often is found first
        versions.reads,
        accounts.router,
        accounts.tokens,
        audit.router,
        repositories.router,
        uploads.router,
        uploads.streams,
        versions.router,
        versions.streams,
        merges.router,
        merges.streams,
        stacks.router,
        recalls.router,
        webhooks.router,
        webhooks.secrets,
    ):
        api.include_router(router)
    app.include_router(api)
    for router in (*web.first, health.router, *hub.routers, *web.routers):
        app.include_router(router)
    app.add_middleware(Straight, routes=reads_below(versions.reads, "/api/v1"))
    app.add_middleware(Observed, http=services.http)
    return app


def rate_limit_headers(allowance: Allowance | None) -> list[tuple[str, str]]:
    """As draft-ietf-httpapi-ratelimit-headers-10 says: what is left until the end of the window, and the policy."""
    if allowance is None:
        return []
    return [
        ("RateLimit-Policy", f'"requests";q={allowance.limit};w={window_seconds:.0f}'),
        ("RateLimit", f'"requests";r={allowance.remaining};t={allowance.reset_seconds}'),
    ]


class Observed:
    """Names each request, in a header, in every log line and in every problem; measures it; and completes its Location."""

    def __init__(self, app: ASGIApp, http: HttpLimits) -> None:
        self.app = app
        self.http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # what is read for an answer that is given again belongs to the request that is being answered
        if scope["type"] != "http" or "request_id" in scope.get("state", {}):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if request_id_pattern.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500
        began = time.monotonic()

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in safe_headers:
                    headers.setdefault(name, value)
                for name, value in rate_limit_headers(scope["state"].get("allowance")):
                    headers[name] = value
                location = headers.get("location", "")
                if location.startswith("/"):
                    headers["Location"] = self.http.link(location)
            await send(message)

        try:
            await self.app(scope, receive, named)
        finally:
            took = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in known_methods else "other"
            health.requests.labels(method, route, str(status)).inc()
            health.seconds.labels(route).observe(took)
            level = logging.INFO if status < 500 else logging.ERROR
            log.log(
                level, "request", method=scope["method"], path=scope["path"], status=status, ms=round(took * 1000, 1)
            )
