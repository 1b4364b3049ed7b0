"""The upload form, and what its script asks for."""

from tests.api.conftest import make_adapter
from tests.matrix.rights import Answer, Right, Role, Row, State, Thing, is_visible, not_told
from tests.matrix.table.repositories import naming


def publishing(role: Role, state: State) -> Answer | None:
    """A version of what is there, or the first of what is made for it."""
    if state in {State.PUBLIC, State.PRIVATE} and is_visible(Thing.REPOSITORY, role, state):
        may_write = role in {Role.WRITER, Role.OWNER, Role.ADMIN}
        return Answer((303,)) if may_write else Answer((403,), "forbidden")
    answer = naming(role, state)
    return Answer((303,)) if answer == Answer((201,)) else answer


rows = [
    Row(
        "GET /upload",
        Right.READ,
        Thing.REPOSITORY,
        scopes=("write",),
        query={"repository": "$repository"},
        absent=Answer((200,)),
        deleted=None,
    ),
    Row(
        "POST /upload",
        Right.WRITE,
        Thing.REPOSITORY,
        scopes=("write",),
        exceptions=publishing,
        fields={"namespace": "$namespace", "name": "$name"},
        form=make_adapter(78).files,
        destroys=True,
    ),
    Row("POST /upload/preview", Right.ANYBODY, scopes=("write",), fields={"card": "# Hello"}),
    Row(
        "GET /upload/parents",
        Right.READ,
        Thing.VERSION,
        scopes=("write",),
        query={"q": "$name"},
        absent=not_told,
        deleted=not_told,
        withdrawn=not_told,
        shows="$repository",
    ),
]
