"""The Hugging Face protocol: what is deleted is simply not there to its clients."""

from typing import Any

from tests.matrix.rights import Answer, Right, Role, Row, State, Thing, not_told

model = "/api/models/{namespace}/{name}"
missing = Answer((404,), "not-found")
no_revision = Answer((404,), "revision-not-found")
forbidden = Answer((403,), "forbidden")
header = '{"key": "header", "value": {"summary": "A commit"}}\n'
every_method = ("GET", "HEAD", "POST", "PUT", "DELETE")


def about(route: str, right: Right, thing: Thing = Thing.REPOSITORY, **fields: Any) -> Row:
    fields = {"absent": missing, "deleted": missing, "withdrawn": no_revision} | fields
    return Row(route, right, thing, is_hub=True, **fields)


def reading(route: str, thing: Thing = Thing.REPOSITORY, **fields: Any) -> Row:
    return about(route, Right.READ, thing, anonymous=True, **fields)


def writing(route: str, right: Right = Right.WRITE, thing: Thing = Thing.REPOSITORY, **fields: Any) -> Row:
    return about(route, right, thing, scopes=("write",), **fields)


def open_to_all(routes: list[str], status: int) -> list[Row]:
    return [
        Row(route, Right.OPEN, success=(status,), is_hub=True, params={"rest": "/x", "name": "x"}) for route in routes
    ]


def naming(role: Role, state: State) -> Answer | None:
    """As over REST; what exists is no conflict that its maker would mind."""
    may_write = role in {Role.WRITER, Role.OWNER, Role.ADMIN}
    could_read = state is State.DELETED or (state is State.DELETED_PRIVATE and role is Role.READER)
    if not may_write:
        return forbidden if could_read else Answer((403,), "forbidden", is_as_absent=True)
    if state.is_deleted:
        return forbidden if role is Role.WRITER else Answer((200,))
    return Answer((200,)) if state is State.ABSENT else Answer((409,))


def no_folder(role: Role, state: State) -> Answer | None:
    """A folder that is not there, of a version that is."""
    is_there = state in {State.PUBLIC} or (
        state is State.PRIVATE and role in {Role.READER, Role.WRITER, Role.OWNER, Role.ADMIN}
    )
    return Answer((404,), "entry-not-found") if is_there else None


at_version = {"revision": "$ref"}
xet = "/xet/g{generation}/{repository}/v1"
xet_parameters = {
    "generation": "1",
    "repository": "00000000-0000-4000-8000-000000000000",
    "prefix": "default",
    "hash": "a" * 64,
}

rows = [
    Row("GET /api/whoami-v2", Right.ANYBODY, is_hub=True),
    Row("GET /api/models", Right.ANYBODY, anonymous=True, is_hub=True),
    reading(
        "GET /api/models",
        variant="found by name",
        query={"search": "$name"},
        absent=not_told,
        deleted=not_told,
        shows="$repository",
    ),
    reading(f"GET {model}"),
    reading(f"GET {model}/revision/{{revision}}", Thing.VERSION, params=at_version),
    reading(f"GET {model}/auth-check"),
    writing(f"GET {model}/auth-check/write"),
    reading(f"GET {model}/refs"),
    reading(f"GET {model}/commits/{{revision}}", Thing.VERSION, params=at_version),
    reading(f"GET {model}/tree/{{revision}}", Thing.VERSION, params=at_version),
    reading(
        f"GET {model}/tree/{{revision}}/{{path}}",
        Thing.VERSION,
        params=at_version | {"path": "none"},
        success=(404,),
        exceptions=no_folder,
    ),
    reading(f"POST {model}/paths-info/{{revision}}", Thing.VERSION, params=at_version, json={"paths": ["$path"]}),
    *(
        reading(f"{method} /{{namespace}}/{{name}}/{way}/{{revision}}/{{path}}", Thing.VERSION, params=at_version)
        for method in ("GET", "HEAD")
        for way in ("resolve", "raw")
    ),
    writing(
        "POST /api/repos/create",
        exceptions=naming,
        destroys=True,
        json={"organization": "$namespace", "name": "$name", "private": True},
    ),
    writing("DELETE /api/repos/delete", Right.OWN, json={"organization": "$namespace", "name": "$name"}, destroys=True),
    writing("POST /api/repos/move", Right.OWN, json={"fromRepo": "$repository", "toRepo": "$repository"}),
    writing(f"PUT {model}/settings", Right.OWN, json={"visibility": "$visibility"}),
    Row("POST /api/validate-yaml", Right.OPEN, is_hub=True, json={"content": "# Words"}),
    writing(f"POST {model}/branch/{{branch}}", params={"branch": "$fresh"}, json={}),
    writing(f"DELETE {model}/branch/{{branch}}", params={"branch": "main"}, success=(403,)),
    writing(f"POST {model}/tag/{{revision}}", Right.WRITE, Thing.VERSION, params=at_version, json={"tag": "$fresh"}),
    writing(f"DELETE {model}/tag/{{tag}}", Right.WRITE, params={"tag": "$alias"}, destroys=True),
    writing(
        f"POST {model}/preupload/{{branch}}", params={"branch": "main"}, json={"files": [{"path": "a", "size": 1}]}
    ),
    writing(f"POST {model}/commit/{{branch}}", params={"branch": "main"}, content=header),
    writing(
        "POST /{namespace}/{name}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [{"oid": "$hash", "size": 3}]},
    ),
    *(
        # the address alone gives the right: to whoever does not know it there is nothing
        Row(
            f"{route}",
            Right.OPEN,
            success=(404,),
            is_hub=True,
            params={"id": "00000000-0000-4000-8000-000000000000", "number": "1"},
            content="bytes",
        )
        for route in ("PUT /uploads/{id}", "PUT /uploads/{id}/parts/{number}", "POST /uploads/{id}")
    ),
    writing(f"GET {model}/xet-write-token/{{revision}}", params={"revision": "main"}),
    Row(
        f"POST {xet}/xorbs/{{prefix}}/{{hash}}",
        Right.ANYBODY,
        scopes=("write",),
        success=(404,),
        is_hub=True,
        params=xet_parameters,
        content="x",
    ),
    Row(
        f"POST {xet}/shards",
        Right.ANYBODY,
        scopes=("write",),
        success=(404,),
        is_hub=True,
        params=xet_parameters,
        content="x",
    ),
]


rows += [
    Row(route, Right.OPEN, success=(status,), is_hub=True, params=xet_parameters, content="x")
    for route, status in (
        (f"GET {xet}/chunks/{{prefix}}/{{hash}}", 404),
        (f"POST {xet}/xorb-grants/{{prefix}}/{{hash}}", 404),
        ("POST /xet/g{generation}/{repository}/v2/shards", 404),
        (f"POST {xet}/telemetry", 200),
    )
]
rows += [
    Row("GET /api/agent-harnesses", Right.OPEN, is_hub=True),
    Row("HEAD /api/telemetry/{topic}", Right.OPEN, is_hub=True, params={"topic": "any"}),
]
for status, paths in (
    (501, (f"{model}/discussions{{rest}}", f"{model}/super-squash/{{rest}}", f"{model}/lfs-files/{{rest}}")),
    (
        404,
        (
            "/api/models/{rest}",
            "/api/datasets{rest}",
            "/api/spaces{rest}",
            "/datasets/{rest}",
            "/spaces/{rest}",
            "/{name}/resolve/{rest}",
        ),
    ),
):
    rows += open_to_all([f"{method} {path}" for path in paths for method in every_method], status)
