"""Problems for people: where a browser asked for a page, what a program gets as JSON is told as one."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from app.api import problems
from app.api.auth import safe_methods
from app.errors import NotFound, RegistryError
from app.web.site import PageRoute, Visitor, known_caller, page, path_and_query, to

standard = frozenset({"type", "title", "status", "detail", "request_id"})


def wants_page(accept: str | None) -> bool:
    """Browsers name HTML when somebody goes somewhere, and their scripts do not."""
    return accept is not None and "text/html" in accept


class ExplanationRoute(PageRoute):
    """Beside the same path for programs."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        return super().matches(scope) if wants_page(accept) else (Match.NONE, {})


router = APIRouter(route_class=ExplanationRoute, include_in_schema=False)


@router.get("/problems/{name}")
def explanation(name: str, request: Request, caller: Visitor) -> Response:
    """What a problem's type means."""
    found = problems.explain(name)
    if found is None:
        raise NotFound(f"problem {name}")
    return page(request, caller, "explanation.html", problem=found, name=name)


def install(app: FastAPI) -> None:
    """In front of the handlers of `app.api.problems`."""
    for kind, handler in {
        RegistryError: problems.registry_error,
        RequestValidationError: problems.validation_error,
        HTTPException: problems.framework_error,
        Exception: problems.internal_error,
    }.items():
        app.add_exception_handler(kind, for_people(handler))


def for_people(
    handler: Callable[[Request, Exception], JSONResponse],
) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        told = handler(request, error)
        if request.url.path.startswith("/api/") or not wants_page(request.headers.get("accept")):
            return told
        if told.status_code == 401 and request.method in safe_methods:
            return to("/login", next=path_and_query(request.url))
        return problem_page(request, json.loads(bytes(told.body)), dict(told.headers))

    return answer


def problem_page(request: Request, problem: dict[str, Any], headers: dict[str, str]) -> Response:
    kept = {name: value for name, value in headers.items() if name not in {"content-type", "content-length"}}
    return page(
        request,
        known_caller(request),
        "problem.html",
        status=problem["status"],
        headers=kept,
        problem=problem,
        facts={name: value for name, value in problem.items() if name not in standard and value not in (None, "", [])},
    )
