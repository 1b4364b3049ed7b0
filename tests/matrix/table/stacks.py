"""Stacks, recalls and webhooks."""

from typing import Any

from tests.matrix.rights import Answer, Right, Role, Row, State, Thing
from tests.matrix.table.repositories import naming

stack = "/api/v1/stacks/{namespace}/{name}"
of_the_stack = {"name": "$stack", "number": "1", "first": "1", "second": "1"}
of_the_webhook = {"id": "$webhook", "delivery": "$delivery"}
of_the_recall = {"id": "$recall"}
by_everybody = [{"adapter": "owner/own"}]


def reading(route: str) -> Row:
    return Row(route, Right.READ, Thing.STACK, anonymous=True, params=of_the_stack)


def writing(route: str, success: tuple[int, ...], json: Any = None, *, destroys: bool = False) -> Row:
    return Row(
        route,
        Right.WRITE,
        Thing.STACK,
        scopes=("write",),
        success=success,
        json=json,
        params=of_the_stack,
        destroys=destroys,
    )


def defining(role: Role, state: State) -> Answer | None:
    """As making a repository, but that it may be there."""
    found = naming(role, state)
    exists = state in {State.PUBLIC, State.PRIVATE}
    may_write = role in {Role.WRITER, Role.OWNER, Role.ADMIN}
    if exists and may_write:
        return Answer((200,))
    may_read = state is State.PUBLIC or role is Role.READER
    return Answer((403,), "forbidden") if exists and may_read else found


def owning(role: Role, state: State) -> Answer | None:
    """A namespace is no secret; who may have webhooks of it does not depend on the subject."""
    return Answer((201,)) if role in {Role.OWNER, Role.ADMIN} else Answer((403,), "forbidden")


rows = [
    Row(
        f"PUT {stack}",
        Right.WRITE,
        Thing.STACK,
        scopes=("write",),
        exceptions=defining,
        json={"layers": by_everybody, "update": "propose"},
        params=of_the_stack,
        destroys=True,
    ),
    reading(f"GET {stack}"),
    reading(f"GET {stack}/locks"),
    reading(f"GET {stack}/locks/{{number}}"),
    reading(f"GET {stack}/locks/{{first}}...{{second}}"),
    reading(f"GET {stack}/proposals"),
    Row(
        f"POST {stack}/locks/{{number}}/merge",
        Right.READ,
        Thing.STACK,
        scopes=("merge",),
        success=(200, 202),
        params=of_the_stack,
    ),
    writing(f"POST {stack}/proposals/{{number}}/accept", (201,), destroys=True),
    writing(f"POST {stack}/proposals/{{number}}/reject", (204,), destroys=True),
    writing(f"POST {stack}/rollback", (201,), {"lock": 1}, destroys=True),
    writing(f"POST {stack}/lock", (201,), destroys=True),
    Row(
        "GET /api/v1/repositories/{namespace}/{name}/versions/{ref}/impact",
        Right.READ,
        Thing.VERSION,
        anonymous=True,
        withdrawn=None,
    ),
    Row(
        "POST /api/v1/recalls",
        Right.WRITE,
        Thing.VERSION,
        scopes=("write",),
        success=(201,),
        withdrawn=None,
        json={"version": "$repository@$ref", "reason": "bad"},
        destroys=True,
    ),
    Row("GET /api/v1/recalls", Right.ANYBODY, anonymous=True),
    Row(
        "GET /api/v1/recalls/{id}",
        Right.READ,
        Thing.RECALL,
        anonymous=True,
        deleted=None,
        params=of_the_recall,
        shows="$recalled",
    ),
    Row(
        "DELETE /api/v1/recalls/{id}",
        Right.WRITE,
        Thing.RECALL,
        scopes=("write",),
        success=(204,),
        deleted=None,
        params=of_the_recall,
        destroys=True,
    ),
    Row(
        "POST /api/v1/webhooks",
        Right.OWN,
        Thing.REPOSITORY,
        scopes=("write",),
        success=(201,),
        json={"url": "https://example.org/", "events": ["version.published"], "repository": "$repository"},
    ),
    Row(
        "POST /api/v1/webhooks",
        Right.OWN,
        variant="of a namespace",
        scopes=("write",),
        exceptions=owning,
        json={"url": "https://example.org/", "events": ["version.published"], "namespace": "$namespace"},
    ),
    Row("GET /api/v1/webhooks", Right.ANYBODY),
    Row("GET /api/v1/webhooks/{id}", Right.OWN, Thing.WEBHOOK, params=of_the_webhook),
    Row(
        "DELETE /api/v1/webhooks/{id}",
        Right.OWN,
        Thing.WEBHOOK,
        scopes=("write",),
        success=(204,),
        params=of_the_webhook,
        destroys=True,
    ),
    Row("GET /api/v1/webhooks/{id}/deliveries", Right.OWN, Thing.WEBHOOK, params=of_the_webhook),
    Row(
        "POST /api/v1/webhooks/{id}/deliveries/{delivery}/replay",
        Right.OWN,
        Thing.WEBHOOK,
        scopes=("write",),
        success=(202,),
        params=of_the_webhook,
    ),
]
