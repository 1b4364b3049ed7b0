"""The OpenAPI document: what the framework knows of the routes, and what follows from how ours are made.

To each route the statuses that it may answer, from what it is (its policy, its kind, its method); whether it needs a token;
values for its parameters; and where an answer leads to.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from app.api.auth import Operating, Policy
from app.api.problems import media_type
from app.api.route import BoundedRoute, JsonRoute, longest_key, policy_of

root = "/api/v1"
version_path = "/repositories/{namespace}/{name}/versions/{ref}"
about_bytes = tuple(f"{root}/{what}" for what in ("blobs/", "merges", "recalls", "repositories/", "stacks/", "uploads"))
"""Paths where bytes and what is made of them come, go, and are not there any more."""
unsafe_methods = frozenset({"POST", "PUT", "PATCH", "DELETE"})

meanings = {
    401: "A token is needed, or the one that was sent is not valid",
    403: "The token lacks the scope, or its user the right",
    404: "It does not exist, or the caller may not read it",
    408: "The next bytes did not come in time; nothing was stored",
    409: "It contradicts what is stored, or the plan is refused",
    410: "It was deleted, expired or evicted; the tombstone tells what it was",
    413: "It is larger than this registry takes",
    416: "The range lies outside the file",
    422: "The request itself is wrong, or an uploaded file is not what it claims to be",
    429: "More requests in a minute than this registry answers",
    451: "It was recalled, or something that it holds or stands on",
    503: "A part that this needs is not there at the moment",
    507: "The namespace or the object store has no room left",
}
"""Every status of a problem that a route may answer; 500 is a bug, and documented nowhere."""

problem_schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^/problems/[a-z-]+$", "description": "Explained where it leads"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}

parameter_examples = {
    "namespace": "alice",
    "name": "instruct",
    "ref": "1.0.0",
    "alias": "prod",
    "path": "adapter_config.json",
    "number": 1,
    "q": "instruct",
    "tag": ["chat"],
    "base_model": "acme/tiny",
    "license": "apache-2.0",
    "action": "version.publish",
    "subject": "alice/instruct@1.0.0",
}
"""By the parameter's name."""
names_below = {
    "/problems/": "version-conflict",
    f"{root}/organizations/": "lab",
    f"{root}/base-models": "acme/tiny-mirror",
    f"{root}/stacks/": "chat",
}
"""Examples of a `name` that is no repository's, by the beginning of the path."""

idempotency_key = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same request, it is answered as the first time",
    "schema": {"type": "string", "minLength": 1, "maxLength": longest_key, "pattern": "^[ -~]+$"},
}

of_repository = {"namespace": "$response.body#/namespace", "name": "$response.body#/name"}
of_version = {
    "namespace": "$request.path.namespace",
    "name": "$request.path.name",
    "ref": "$response.body#/version",
}
of_id = {"id": "$response.body#/id"}

links: dict[tuple[str, str], list[tuple[str, str, dict[str, Any]]]] = {
    ("post", "/organizations"): [
        ("get", "/organizations/{name}", {"name": "$response.body#/name"}),
        ("patch", "/organizations/{name}", {"name": "$response.body#/name"}),
        ("delete", "/organizations/{name}", {"name": "$response.body#/name"}),
    ],
    ("post", "/tokens"): [("delete", "/tokens/{id}", of_id)],
    ("post", "/repositories"): [
        ("get", "/repositories/{namespace}/{name}", of_repository),
        ("patch", "/repositories/{namespace}/{name}", of_repository),
        ("get", "/repositories/{namespace}/{name}/versions", of_repository),
        ("delete", "/repositories/{namespace}/{name}", of_repository),
    ],
    ("post", "/uploads"): [
        ("get", "/uploads/{id}", of_id),
        ("put", "/uploads/{id}/parts/{number}", {**of_id, "number": 1}),
        ("post", "/uploads/{id}/complete", of_id),
    ],
    ("post", "/repositories/{namespace}/{name}/versions"): [
        ("get", version_path, of_version),
        ("get", f"{version_path}/tensors", of_version),
        ("get", f"{version_path}/lineage", of_version),
        ("get", f"{version_path}/archive.tar", of_version),
        ("delete", version_path, of_version),
    ],
    ("post", "/merges"): [
        ("get", "/merges/{id}", of_id),
        ("get", "/merges/{id}/events", of_id),
        ("get", "/merges/{id}/archive.tar", of_id),
        ("delete", "/merges/{id}", of_id),
    ],
}
"""Where the answer of a POST leads: method and path below the root, and the parameters taken from the answer."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems as the framework's `responses`: for what no rule below tells of a route."""
    content = {media_type: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": meanings[status], "content": content} for status in statuses}


class DescribedApp(FastAPI):
    """An application whose document is complete."""

    def openapi(self) -> dict[str, Any]:
        known = self.openapi_schema
        document = super().openapi()
        # the framework keeps its document until a route is added
        if document is not known:
            complete(document, self.routes)
        return document


def complete(document: dict[str, Any], routes: list[BaseRoute]) -> None:
    schemas = document["components"]["schemas"]
    schemas["Problem"] = problem_schema
    # the framework's own 422, which no route answers with
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for route in iter_route_contexts(routes):
        if isinstance(route.original_route, APIRoute) and route.original_route.include_in_schema:
            path = str(route.path_format)
            for method in route.methods or ():
                complete_operation(document["paths"][path][method.lower()], route.original_route, path, method)
    for (method, path), leads in links.items():
        responses = document["paths"][root + path][method]["responses"]
        for response in (response for status, response in responses.items() if status.startswith("2")):
            response["links"] = dict(link_to(document, *lead) for lead in leads)


def link_to(document: dict[str, Any], method: str, path: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    target = document["paths"][root + path][method]
    return target["summary"].replace(" ", ""), {"operationId": target["operationId"], "parameters": parameters}


def complete_operation(operation: dict[str, Any], route: APIRoute, path: str, method: str) -> None:
    """Add to an operation what the framework does not know of its route."""
    policy = next(iter(policy_of(route)), None)
    operation["responses"].pop("422", None)
    for status, response in refusals(*sorted(statuses_of(route, path, method, policy))).items():
        operation["responses"][str(status)] = response
    if policy is not None and (policy.allows_anonymous or isinstance(policy, Operating)):
        operation["security"].insert(0, {})
    if method == "POST" and (isinstance(route, JsonRoute) or not isinstance(route, BoundedRoute)):
        operation.setdefault("parameters", []).append(idempotency_key)
    for parameter in operation.get("parameters", ()):
        example = parameter_examples.get(parameter["name"])
        if parameter["name"] == "name":
            example = next((name for beginning, name in names_below.items() if path.startswith(beginning)), example)
        if example is not None:
            parameter["example"] = example


def statuses_of(route: APIRoute, path: str, method: str, policy: Policy | None) -> set[int]:
    """The problems that follow from what a route is."""
    is_write = method in unsafe_methods
    is_bounded = isinstance(route, BoundedRoute)
    found: set[int] = set()
    if path.startswith(root):
        found.add(422)
    if policy is not None:
        found |= {401, 403, 429, 503}
        if is_write or "{" in path:
            found.add(404)
            found |= {410, 451} if path.startswith(about_bytes) else set()
    if is_bounded or is_write:
        found.add(413)
    if is_write and not is_bounded:
        found.add(408)
    # a repository of another kind is no stack
    if is_write or path.startswith(f"{root}/stacks/"):
        found.add(409)
    if is_write and method != "DELETE" and path.startswith(about_bytes):
        found.add(507)
    return found
