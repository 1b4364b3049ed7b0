"""Deny by default: a route without a policy fails the build."""

from collections.abc import Callable, Iterator

from fastapi import Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from app.api.auth import OpenToAll, Policy
from app.settings import Settings
from tests.api.conftest import Registry, done, make_adapter, refused

tells_nothing = {"/api/openapi.json"}
"""The framework's own route: what it shows is in the source."""


def policies_in(dependant: Dependant) -> Iterator[Policy | OpenToAll]:
    if isinstance(dependant.call, Policy | OpenToAll):
        yield dependant.call
    for below in dependant.dependencies:
        yield from policies_in(below)


def without_policy(routes: list[BaseRoute]) -> list[str]:
    """The paths of routes that declare no policy, or more than one."""
    found = []
    for route in iter_route_contexts(routes):
        is_checked = isinstance(route.original_route, APIRoute) and len(list(policies_in(route.dependant))) == 1
        if route.path not in tells_nothing and not is_checked:
            found.append(str(route.path))
    return found


def test_every_route_declares_one_policy(registry: Registry) -> None:
    routes = registry.app.routes
    assert without_policy(routes) == []
    assert len(list(iter_route_contexts(routes))) > 40


def test_a_planted_route_without_a_policy_is_noticed(registry: Registry) -> None:
    @registry.app.get("/planted")
    def planted() -> str:
        return "anything"

    registry.app.add_route("/plain", lambda request: Response("anything"))
    assert without_policy(registry.app.routes) == ["/planted", "/plain"]


def test_a_token_needs_the_scope_of_the_route(registry: Registry) -> None:
    alice = registry.user("alice")
    token = done(alice.post("/tokens", {"name": "reader", "scopes": ["read"]}), 201)["token"]
    reader = registry.with_token("alice", token)
    assert done(reader.get("/whoami"))["scopes"] == ["read"]
    body = refused(reader.post("/repositories", {"namespace": "alice", "name": "x"}), 403, "scope-missing")
    assert body["scope"] == "write"
    refused(reader.post("/merges", {"layers": [{"adapter": "alice/x@1.0.0"}]}), 403, "scope-missing")
    refused(reader.post("/tokens", {"name": "more", "scopes": ["read", "write"]}), 403, "scope-missing")
    refused(alice.post("/users", {"name": "bob"}), 403, "scope-missing")
    body = {"name": "big", "user": "alice", "scopes": ["read", "admin"]}
    pretender = registry.with_token("alice", done(registry.admin.post("/tokens", body), 201)["token"])
    refused(pretender.post("/users", {"name": "bob"}), 403, "forbidden")


def test_without_anonymous_reading_a_token_is_needed_for_what_is_public(
    registry: Registry, open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry.user("alice").publish("alice/open", make_adapter(1))
    assert done(registry.anonymous.get("/repositories"))["items"]
    closed = open_registry(settings.model_copy(update={"anonymous_read": False}))
    for path in ("/repositories", "/repositories/alice/open", "/repositories/alice/open/versions/1.0.0"):
        answer = closed.anonymous.get(path)
        refused(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
