"""The REST API's reference, made of the OpenAPI document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request, Response

from app.web.site import PageRoute, Visitor, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path, as the document tells it."""

    method: str
    path: str
    told: Mapping[str, Any]

    @property
    def room(self) -> str:
        """What it is about: the path's first part below `/api/v1`."""
        return self.path.removeprefix("/api/v1").split("/")[1]


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(method.upper(), path, told)


@router.get("/docs")
def reference(request: Request, caller: Visitor) -> Response:
    """Every route under `/api/v1`, and those beside it."""
    document = request.app.openapi()
    found = sorted(operations(document), key=lambda operation: operation.room)
    rooms = [(room, list(group)) for room, group in groupby(found, lambda operation: operation.room)]
    return page(request, caller, "docs.html", rooms=rooms, schemas=document["components"]["schemas"])
