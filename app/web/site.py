"""What every page has: its route, its template, its headers."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL

from app.api import sessions
from app.api.auth import OpenToAll, Policy, caller_in_session
from app.api.route import BoundedRoute, bounded_body, plain_url
from app.domain.caller import Caller
from app.errors import MalformedRequest, RegistryError
from app.services.signing_in import form_token
from app.web import filters
from app.web.assets import assets

form_type = "application/x-www-form-urlencoded"

environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= filters.filters
environment.globals |= {"script": assets.script, "asset": assets.url}


class PageRoute(BoundedRoute):
    """A page, or what a form on one is sent to: the form's token is read before the route's policy looks for it."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler: Callable[[Request], Awaitable[Response]] = super().get_route_handler()

        async def handle(request: Request) -> Response:
            plain_url(request)
            if request.headers.get("content-type", "").partition(";")[0].strip() == form_type:
                body = await bounded_body(request, sessions.http_of(request).body_bytes)
                if b"%00" in body or b"\0" in body:
                    raise MalformedRequest("a field holds the character U+0000")
                fields = parse_qs(body.decode("utf-8", "replace"))
                request.state.form_token = fields.get(sessions.form_field, [None])[0]
            return await handler(request)

        return handle


class Visiting(OpenToAll):
    """A page that tells nothing of anything stored, and whose head knows who is signed in."""

    async def __call__(self, request: Request) -> Caller:
        return await run_in_threadpool(known_caller, request)


Visitor = Annotated[Caller, Depends(Visiting())]
SignedIn = Annotated[Caller, Depends(Policy(None))]
"""Whatever their token may do."""


def known_caller(request: Request) -> Caller:
    """Whoever asks, as far as it is known: nothing is refused for it."""
    found: Caller | None = getattr(request.state, "caller", None)
    if found is None:
        # a page that says that the database is away has to come all the same
        with suppress(RegistryError):
            found = caller_in_session(request, request.app.state.services)
    return found or Caller()


def page(
    request: Request,
    caller: Caller,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page as this caller sees it; the template finds `caller`, `csrf_token`, `path` and `own_url` besides the context."""
    secret = sessions.secret_of(request)
    html = environment.get_template(template).render(
        caller=caller,
        csrf_token="" if secret is None else form_token(secret),
        path=request.url.path,
        own_url=path_and_query(request.url),
        **context,
    )
    return HTMLResponse(html, status, {**page_headers(request), **(headers or {})})


def page_headers(request: Request) -> dict[str, str]:
    """Nothing on a page comes from elsewhere, or is written into it; nobody frames it, and no cache shows it to others."""
    store = sessions.http_of(request).store_origin
    # where files lie in S3, scripts send them there themselves
    connect = "'self'" if store is None else f"'self' {store}"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; worker-src 'self'; "
        f"connect-src {connect}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "private, no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }


def server_address(request: Request) -> str:
    """Of this registry, as clients are told it."""
    public = sessions.http_of(request).public_url
    return (public or sessions.origin_of(request)).rstrip("/")


def path_and_query(url: URL) -> str:
    return f"{url.path}?{url.query}" if url.query else url.path


def to(path: str, **query: str) -> RedirectResponse:
    """After a form was sent: the browser asks for this page, and asking again sends nothing again."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)


def on_this_site(path: str | None) -> str:
    """A path to go on to, and never another host: browsers read `//` and `/\\` as the beginning of one."""
    if not path or not path.startswith("/") or path[1:2] in {"/", "\\"} or not path.isprintable():
        return "/"
    return path
