"""Routes as the clients of the Hub expect them: found by the raw path, refusals in headers."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from app import errors as e
from app.api.problems import pointer_of, statuses
from app.api.route import BoundedRoute, plain_url
from app.errors import RegistryError

bad_token = "Invalid credentials in Authorization header"  # noqa: S105 - the text by which clients know it
codes: dict[type[RegistryError], str] = {
    e.NotFound: "RepoNotFound",
    e.Deleted: "RepoNotFound",
    e.RevisionNotFound: "RevisionNotFound",
    e.EntryNotFound: "EntryNotFound",
}
not_here = "Repository not found"
"""Of every repository that is not there, or not for this caller: in the same words."""


class HubStream(APIRoute):
    """A route whose body is read by whoever serves it.

    A branch, a tag or a folder is one segment of the path, in which a slash stands as %2F: the path that the framework shows
    has lost the difference, so that the raw one decides.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        match, child = super().matches({**scope, "path": raw.decode("latin-1")})
        if match is not Match.NONE:
            child["path_params"] = {name: unquote(value) for name, value in child["path_params"].items()}
        return match, child

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler: Callable[[Request], Awaitable[Response]] = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                plain_url(request)
                return await handler(request)
            except RegistryError as error:
                return refusal(error)
            except RequestValidationError as error:
                fault = error.errors()[0]
                return refused(400, f"{pointer_of(fault['loc'])}: {fault['msg']}")

        return handle


class HubRoute(HubStream, BoundedRoute):
    """A route with a bounded body."""


def refusal(error: RegistryError) -> Response:
    """What a client of the Hub understands of an error."""
    status, _ = statuses[type(error)]
    if isinstance(error, e.NotFound | e.Deleted):
        return refused(404, not_here, codes[type(error)])
    if isinstance(error, e.InvalidToken):
        return refused(401, bad_token)
    headers = {}
    if isinstance(error, e.Unavailable):
        headers["Retry-After"] = "2"
    if isinstance(error, e.TooManyRequests):
        headers["Retry-After"] = str(error.facts["retry_seconds"])
    if isinstance(error, e.UploadTooSlow):
        headers["Connection"] = "close"
    if isinstance(error, e.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.facts['size_bytes']}"
    if isinstance(error, e.EntryNotFound):
        # with it a client remembers that the file is missing, and asks once
        headers["X-Repo-Commit"] = str(error.facts["commit"])
    if status == 422 or isinstance(error, e.UnknownBlob):
        status = 400
    elif status == 507:
        # a Xet client takes every 5xx for one that passes, and sends the same for minutes
        status = 413
    return refused(status, error.detail, codes.get(type(error)), headers)


def refused(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> Response:
    given = {"X-Error-Message": one_line(message), **(headers or {})}
    if code is not None:
        given["X-Error-Code"] = code
    return JSONResponse({"error": message}, status, given)


def one_line(text: str) -> str:
    """As a header may carry it."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.encode("latin-1", "replace").decode("latin-1")[:1000]


def base_url(request: Request) -> str:
    """The address that this server has for its clients."""
    public: str | None = request.app.state.services.http.public_url
    return (public or str(request.base_url)).rstrip("/")


def next_page(request: Request, cursor: str) -> str:
    """The value of a Link header, with all that was asked for: clients follow it as it is."""
    path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
    query = str(request.url.include_query_params(cursor=cursor).query)
    return f'<{base_url(request)}{path}?{query}>; rel="next"'
