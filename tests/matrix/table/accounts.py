"""Users, organisations, tokens, the audit log."""

from tests.matrix.rights import Right, Row, Thing, not_told

organization = "/api/v1/organizations/{name}"
of_the_subject = {"name": "$organization"}

rows = [
    Row("POST /api/v1/users", Right.ADMIN, scopes=("admin",), success=(201,), json={"name": "$fresh"}),
    Row("POST /api/v1/organizations", Right.ANYBODY, scopes=("write",), success=(201,), json={"name": "$fresh"}),
    Row(f"GET {organization}", Right.READ, Thing.ORGANIZATION, params=of_the_subject),
    Row(
        f"PATCH {organization}",
        Right.OWN,
        Thing.ORGANIZATION,
        scopes=("write",),
        params=of_the_subject,
        json={"members": [{"user": "writer", "role": "writer"}]},
    ),
    Row(
        f"DELETE {organization}",
        Right.OWN,
        Thing.ORGANIZATION,
        scopes=("write",),
        params=of_the_subject,
        success=(204,),
        destroys=True,
    ),
    Row("POST /api/v1/tokens", Right.ANYBODY, success=(201,), json={"name": "mine", "scopes": ["read"]}),
    Row(
        "POST /api/v1/tokens",
        Right.ADMIN,
        variant="for somebody else",
        success=(201,),
        json={"name": "theirs", "scopes": ["read"], "user": "bystander"},
    ),
    Row("GET /api/v1/tokens", Right.ANYBODY),
    Row(
        "DELETE /api/v1/tokens/{id}",
        Right.MINE_OR_ADMIN,
        Thing.TOKEN,
        params={"id": "$token"},
        success=(204,),
        destroys=True,
    ),
    Row("GET /api/v1/whoami", Right.ANYBODY),
    Row("GET /api/v1/audit", Right.ANYBODY),
    Row(
        "GET /api/v1/audit",
        Right.READ,
        Thing.EVENTS,
        variant="of the subject",
        query={"subject": "$repository"},
        absent=not_told,
        deleted=None,
        shows="repository.created",
    ),
]
