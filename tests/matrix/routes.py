"""The routes that an application has mounted, whether or not its OpenAPI document tells of them."""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def mounted(app: FastAPI) -> set[str]:
    """`GET /api/v1/whoami`, …: a route without a method (a mounted application, a socket) stands as `ANY`."""
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in sorted(route.methods or {"ANY"})
    }


def documented(app: FastAPI) -> set[str]:
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
