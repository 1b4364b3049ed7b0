"""Repositories, and the names of base models."""

from tests.matrix.rights import Answer, Right, Role, Row, State, Thing, not_told

repository = "/api/v1/repositories/{namespace}/{name}"


def naming(role: Role, state: State) -> Answer | None:
    """Making a repository of the subject's name: a namespace is no secret, and what stands in it is."""
    forbidden = Answer((403,), "forbidden", is_as_absent=True)
    exists, taken = Answer((409,), "name-exists"), Answer((403,), "name-taken")
    may_write = role in {Role.WRITER, Role.OWNER, Role.ADMIN}
    could_read = state is State.DELETED or (state is State.DELETED_PRIVATE and role is Role.READER)
    if not may_write:
        return taken if could_read else forbidden
    if state.is_deleted:
        return taken if role is Role.WRITER else Answer((201,))
    return Answer((201,)) if state is State.ABSENT else exists


rows = [
    Row(
        "POST /api/v1/repositories",
        Right.WRITE,
        Thing.REPOSITORY,
        scopes=("write",),
        exceptions=naming,
        json={"namespace": "$namespace", "name": "$name"},
        destroys=True,
    ),
    Row("GET /api/v1/repositories", Right.ANYBODY, anonymous=True),
    Row(
        "GET /api/v1/repositories",
        Right.READ,
        Thing.REPOSITORY,
        variant="found by name",
        anonymous=True,
        query={"q": "$name"},
        absent=not_told,
        deleted=not_told,
        shows="$repository",
    ),
    Row(f"GET {repository}", Right.READ, Thing.REPOSITORY, anonymous=True),
    Row(
        f"PATCH {repository}",
        Right.WRITE,
        Thing.REPOSITORY,
        scopes=("write",),
        json={"description": "said by a writer"},
    ),
    Row(
        f"PATCH {repository}",
        Right.OWN,
        Thing.REPOSITORY,
        variant="derivatives",
        scopes=("write",),
        json={"derivatives": "inherit"},
    ),
    Row(
        f"PATCH {repository}",
        Right.OWN,
        Thing.REPOSITORY,
        variant="visibility",
        scopes=("write",),
        json={"visibility": "$visibility"},
    ),
    Row(f"PATCH {repository}", Right.OWN, Thing.REPOSITORY, variant="name", scopes=("write",), json={"name": "$name"}),
    Row(
        f"DELETE {repository}",
        Right.OWN,
        Thing.REPOSITORY,
        scopes=("write",),
        success=(204,),
        deleted=None,
        destroys=True,
    ),
    Row("GET /api/v1/base-models", Right.ANYBODY, anonymous=True),
    Row(
        "PUT /api/v1/base-models",
        Right.ADMIN,
        scopes=("admin",),
        success=(204,),
        json={"name": "acme/other-name", "canonical": "acme/tiny"},
    ),
    Row(
        "DELETE /api/v1/base-models",
        Right.ADMIN,
        scopes=("admin",),
        success=(204,),
        query={"name": "acme/name-to-end"},
    ),
]
