"""Pages of a repository, and the forms on them."""

from collections.abc import Mapping

from tests.matrix.rights import Right, Row, Thing

page = "/{namespace}/{name}"
settings = page + "/settings"
at_version = {"version": "$ref"}


def reading(below: str, thing: Thing, query: Mapping[str, str] | None = None, **params: str) -> Row:
    variant = "of a version" if query else ""
    return Row(
        f"GET {page}{below}", Right.READ, thing, anonymous=True, variant=variant, query=query or {}, params=params
    )


def sending(form: str, right: Right, thing: Thing, fields: Mapping[str, str], *, destroys: bool = False) -> Row:
    return Row(
        f"POST {settings}/{form}",
        right,
        thing,
        scopes=("write",),
        success=(303,),
        fields=fields,
        destroys=destroys,
    )


rows = [
    reading("", Thing.REPOSITORY),
    reading("", Thing.VERSION, at_version),
    reading("/files", Thing.VERSION, at_version),
    reading("/tensors", Thing.VERSION, at_version),
    reading("/versions", Thing.REPOSITORY),
    reading("/compare/{pair}", Thing.VERSION, pair="$ref...$alias"),
    reading("/image/{ref}/{path}", Thing.VERSION, path="plot.png"),
    # it looks at nothing: it makes one address of two fields
    Row(
        f"GET {page}/compare",
        Right.ANYBODY,
        Thing.REPOSITORY,
        anonymous=True,
        success=(303,),
        query={"before": "1.0.0", "after": "1.1.0"},
    ),
    Row(f"GET {settings}", Right.WRITE, Thing.REPOSITORY, scopes=("write",)),
    sending("details", Right.WRITE, Thing.REPOSITORY, {"description": "new", "license": "mit", "tags": "a, b"}),
    sending(
        "access",
        Right.OWN,
        Thing.REPOSITORY,
        {"visibility": "$visibility", "derivatives": "inherit", "on_recall": "move"},
    ),
    sending("alias", Right.WRITE, Thing.VERSION, {"alias": "prod", "version": "$ref"}),
    sending("alias-removed", Right.WRITE, Thing.REPOSITORY, {"alias": "prod"}, destroys=True),
    Row(
        f"POST {settings}/recall",
        Right.WRITE,
        Thing.VERSION,
        scopes=("write",),
        success=(303,),
        withdrawn=None,
        fields={"version": "$ref", "reason": "bad", "severity": "low"},
        destroys=True,
    ),
    Row(
        f"POST {settings}/undone",
        Right.WRITE,
        Thing.RECALL,
        scopes=("write",),
        success=(303,),
        deleted=None,
        params={"name": "$recalled"},
        fields={"recall": "$recall"},
        destroys=True,
    ),
    Row(
        f"POST {settings}/version",
        Right.WRITE,
        Thing.VERSION,
        scopes=("write",),
        success=(303,),
        withdrawn=None,
        fields={"version": "$ref", "confirmation": "$ref"},
        destroys=True,
    ),
    Row(
        f"POST {settings}/repository",
        Right.OWN,
        Thing.REPOSITORY,
        scopes=("write",),
        success=(303,),
        deleted=None,
        fields={"confirmation": "$repository"},
        destroys=True,
    ),
]
