"""Plans and merges."""

from tests.matrix.rights import Right, Row, Thing

merge = "/api/v1/merges/{id}"
of_the_subject = {"id": "$merge", "path": "adapter_config.json"}
recipe = {"layers": [{"adapter": "$repository@$ref"}]}


def reading(route: str) -> Row:
    return Row(route, Right.MINE_OR_ADMIN, Thing.MERGE, params=of_the_subject, deleted=None)


rows = [
    Row("POST /api/v1/merges", Right.READ, Thing.VERSION, scopes=("merge",), success=(200, 202), json=recipe),
    Row(
        "POST /api/v1/merges",
        Right.WRITE,
        Thing.REPOSITORY,
        variant="published",
        scopes=("merge", "write"),
        success=(200, 202),
        json={"layers": [{"adapter": "$mine_namespace/$mine_name@1.0.0"}], "publish": {"repository": "$repository"}},
    ),
    Row("POST /api/v1/merges/plan", Right.READ, Thing.VERSION, json=recipe),
    Row(
        "POST /api/v1/merges/plan",
        Right.READ,
        Thing.VERSION,
        variant="pinned",
        json={
            "layers": [{"adapter": "$mine_namespace/$mine_name@1.0.0"}],
            "conflicts": {"$repository": "$ref"},
        },
    ),
    Row("GET /api/v1/merges", Right.ANYBODY),
    reading(f"GET {merge}"),
    reading(f"GET {merge}/events"),
    reading(f"GET {merge}/files/{{path}}"),
    reading(f"HEAD {merge}/files/{{path}}"),
    reading(f"GET {merge}/archive.tar"),
    reading(f"HEAD {merge}/archive.tar"),
    Row(
        f"DELETE {merge}",
        Right.MINE_OR_ADMIN,
        Thing.MERGE,
        scopes=("merge",),
        params=of_the_subject,
        success=(204,),
        deleted=None,
    ),
]
