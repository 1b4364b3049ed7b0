"""Signing in, accounts, search, lists, stacks and recalls, as pages."""

from collections.abc import Mapping

from app.web.assets import assets
from tests.matrix.rights import Answer, Right, Role, Row, State, Thing, not_told

organization = "/settings/organizations/{name}"
of_the_organization = {"name": "$organization"}
stack = "/{namespace}/{name}"
of_the_stack = {"name": "$stack", "number": "1", "first": "1", "second": "1"}


def of_a_stack(below: str) -> Row:
    return Row(f"GET {stack}{below}", Right.READ, Thing.STACK, anonymous=True, params=of_the_stack)


def changing_a_stack(below: str) -> Row:
    return Row(
        f"POST {stack}{below}",
        Right.WRITE,
        Thing.STACK,
        scopes=("write",),
        success=(303,),
        params=of_the_stack,
        fields={},
        destroys=True,
    )


def form(route: str, right: Right, fields: Mapping[str, str], scope: str = "write", success: int = 303) -> Row:
    return Row(f"POST {route}", right, scopes=(scope,), success=(success,), fields=fields)


def over_plain_http(role: Role, state: State) -> Answer:
    """Nobody signs in at a host that is not this machine; `tests/web` signs in."""
    return Answer((403,), "insecure-sign-in")


rows = [
    Row("GET /static/{path}", Right.OPEN, params={"path": assets.current()["src/logo.svg"]["file"]}),
    Row("GET /login", Right.OPEN),
    Row("POST /login", Right.OPEN, exceptions=over_plain_http, fields={"token": "glu_none"}),
    Row("POST /logout", Right.ANYBODY, scopes=(), success=(303,), fields={}),
    Row("GET /", Right.ANYBODY, anonymous=True),
    Row("GET /search", Right.ANYBODY, anonymous=True),
    Row(
        "GET /search",
        Right.READ,
        Thing.REPOSITORY,
        anonymous=True,
        variant="of the subject",
        query={"q": "$name"},
        absent=not_told,
        deleted=not_told,
    ),
    Row("GET /{namespace}", Right.ANYBODY, anonymous=True, params={"namespace": "owner"}),
    Row("GET /merges", Right.ANYBODY),
    Row("GET /recalls", Right.ANYBODY, anonymous=True),
    Row("GET /settings/tokens", Right.ANYBODY),
    form("/settings/tokens", Right.ANYBODY, {"name": "of a page", "scope": "read"}, "read", 200),
    Row(
        "POST /settings/tokens/{id}/revoke",
        Right.MINE_OR_ADMIN,
        Thing.TOKEN,
        params={"id": "$token"},
        success=(303,),
        fields={},
        destroys=True,
    ),
    Row("GET /settings/organizations", Right.ANYBODY),
    form("/settings/organizations", Right.ANYBODY, {"name": "$fresh"}),
    Row(f"GET {organization}", Right.READ, Thing.ORGANIZATION, params=of_the_organization),
    Row(
        f"POST {organization}",
        Right.OWN,
        Thing.ORGANIZATION,
        scopes=("write",),
        success=(303,),
        params=of_the_organization,
        fields={"user": "writer", "role": "writer"},
    ),
    Row(
        f"POST {organization}/delete",
        Right.OWN,
        Thing.ORGANIZATION,
        scopes=("write",),
        success=(303,),
        params=of_the_organization,
        fields={"confirmation": "$organization"},
        destroys=True,
    ),
    Row("GET /settings/users", Right.ADMIN, scopes=("admin",)),
    form("/settings/users", Right.ADMIN, {"name": "$fresh"}, "admin", 200),
    Row("GET /settings/audit", Right.ANYBODY),
    Row(
        "GET /settings/audit",
        Right.READ,
        Thing.EVENTS,
        variant="of the subject",
        query={"subject": "$repository"},
        absent=not_told,
        deleted=None,
        shows="repository.created",
    ),
    of_a_stack("/locks"),
    of_a_stack("/locks/{number}"),
    of_a_stack("/locks/{first}...{second}"),
    of_a_stack("/proposals"),
    changing_a_stack("/locks"),
    changing_a_stack("/locks/{number}/rollback"),
    changing_a_stack("/proposals/{number}/accept"),
    changing_a_stack("/proposals/{number}/reject"),
    Row(
        f"POST {stack}/locks/{{number}}/merge",
        Right.READ,
        Thing.STACK,
        scopes=("merge",),
        success=(303,),
        params=of_the_stack,
        fields={},
    ),
]
