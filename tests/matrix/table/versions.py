"""Versions, their files and lineage, aliases, and who holds a file."""

from tests.matrix.rights import Answer, Right, Row, Thing, not_told
from tests.matrix.subjects import adapter_files

repository = "/api/v1/repositories/{namespace}/{name}"
version = repository + "/versions/{ref}"
files = {"adapter_model.safetensors": "$weights", "adapter_config.json": "$config"}
own = {"namespace": "$mine_namespace", "name": "$mine_name"}
"""Of whoever asks: a repository that they may write to."""
no_parent = Answer((404,), "parent-not-found")


def on_the_subject(relation: str, parents: object) -> Row:
    """Publishing something of one's own that names the subject as a parent."""
    return Row(
        f"POST {repository}/versions",
        Right.READ,
        Thing.VERSION,
        variant=relation,
        scopes=("write",),
        success=(201,),
        absent=no_parent,
        params=own,
        json={"files": files, "version": "$fresh_number", relation: parents},
    )


def reading(route: str) -> Row:
    return Row(route, Right.READ, Thing.VERSION, anonymous=True)


rows = [
    Row(
        f"POST {repository}/versions",
        Right.WRITE,
        Thing.REPOSITORY,
        scopes=("write",),
        success=(201,),
        json={"files": files},
    ),
    on_the_subject("builds_on", ["$repository@$ref"]),
    on_the_subject("initialized_from", "$repository@$ref"),
    on_the_subject("merged_from", [{"version": "$repository@$ref"}]),
    Row(
        f"POST {repository}/versions/form",
        Right.WRITE,
        Thing.REPOSITORY,
        scopes=("write",),
        success=(201,),
        form=adapter_files(77),
    ),
    Row(f"GET {repository}/versions", Right.READ, Thing.REPOSITORY, anonymous=True),
    reading(f"GET {version}"),
    Row(f"GET {version}", Right.READ, Thing.VERSION, variant="by digest", anonymous=True, params={"ref": "$version"}),
    Row(f"GET {version}", Right.READ, Thing.VERSION, variant="by commit", anonymous=True, params={"ref": "$commit"}),
    Row(f"GET {version}", Right.READ, Thing.VERSION, variant="by alias", anonymous=True, params={"ref": "$alias"}),
    Row(
        f"DELETE {version}",
        Right.WRITE,
        Thing.VERSION,
        scopes=("write",),
        success=(204,),
        withdrawn=None,
        destroys=True,
    ),
    reading(f"GET {version}/files/{{path}}"),
    reading(f"HEAD {version}/files/{{path}}"),
    reading(f"GET {version}/archive.tar"),
    reading(f"HEAD {version}/archive.tar"),
    reading(f"GET {version}/tensors"),
    reading(f"GET {version}/lineage"),
    Row(f"GET {repository}/aliases", Right.READ, Thing.REPOSITORY, anonymous=True),
    Row(f"PUT {repository}/aliases/{{alias}}", Right.WRITE, Thing.VERSION, scopes=("write",), json={"version": "$ref"}),
    Row(
        f"DELETE {repository}/aliases/{{alias}}",
        Right.WRITE,
        Thing.REPOSITORY,
        scopes=("write",),
        success=(204,),
        destroys=True,
    ),
    Row(f"GET {repository}/aliases/{{alias}}/history", Right.READ, Thing.REPOSITORY, anonymous=True),
    Row(
        "GET /api/v1/lookup/{hash}",
        Right.READ,
        Thing.VERSION,
        anonymous=True,
        absent=not_told,
        deleted=not_told,
        withdrawn=not_told,
        shows="$repository",
    ),
]
