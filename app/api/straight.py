"""The way of the hottest reads: past the framework's router and its layers, which cost more than the read itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import registry_error
from app.api.route import Handler, ReadRoute
from app.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Read:
    """A route that the framework has too, for the OpenAPI document and for every other method."""

    pattern: re.Pattern[str]
    route: ReadRoute
    handler: Handler


def reads_below(router: APIRouter, prefix: str) -> list[Read]:
    routes = [route for route in router.routes if isinstance(route, ReadRoute)]
    return [Read(compile_path(prefix + route.path)[0], route, route.get_route_handler()) for route in routes]


class Straight:
    """Answers these reads itself, and hands everything else on."""

    def __init__(self, app: ASGIApp, routes: Sequence[Read]) -> None:
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            for read in self.routes:
                if (match := read.pattern.match(path)) is not None:
                    scope["path_params"] = match.groupdict()
                    scope["route"] = read.route
                    response = await answer_of(read, Request(scope, receive))
                    await response(scope, receive, send)
                    return
        await self.app(scope, receive, send)


async def answer_of(read: Read, request: Request) -> Response:
    try:
        return await read.handler(request)
    except RegistryError as error:
        return registry_error(request, error)
