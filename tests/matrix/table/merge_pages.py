"""The composer, a merge's page, and the pages of lineage."""

from tests.matrix.rights import Answer, Right, Row, Thing, not_told

merge = "/merges/{id}"
of_the_subject = {"id": "$merge"}
asked = {"layer": "$repository@$ref"}
planned = Answer((200,))
"""What cannot be planned is told on the page."""

rows = [
    Row(
        "GET /merges/new",
        Right.READ,
        Thing.VERSION,
        query=asked,
        absent=not_told,
        deleted=planned,
        withdrawn=planned,
    ),
    Row(
        "POST /merges/new",
        Right.READ,
        Thing.VERSION,
        scopes=("merge",),
        success=(303,),
        query=asked,
        fields={},
    ),
    Row(f"GET {merge}", Right.MINE_OR_ADMIN, Thing.MERGE, params=of_the_subject, deleted=None),
    Row(
        f"POST {merge}/cancel",
        Right.MINE_OR_ADMIN,
        Thing.MERGE,
        scopes=("merge",),
        success=(303,),
        params=of_the_subject,
        fields={},
        deleted=None,
    ),
    Row(
        f"POST {merge}/publish",
        Right.MINE_OR_ADMIN,
        Thing.MERGE,
        scopes=("merge", "write"),
        success=(303,),
        params=of_the_subject,
        # where the layers were deleted nothing is merged again
        fields={"repository": "$namespace/from-a-merge"},
    ),
    *(
        Row(
            f"GET /{{namespace}}/{{name}}/{path}",
            Right.READ,
            Thing.VERSION,
            anonymous=True,
            query={"version": "$ref"},
        )
        for path in ("lineage", "lineage.svg")
    ),
]
