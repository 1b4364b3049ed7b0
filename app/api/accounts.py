"""Users, organisations, tokens, and who is asking."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field, StringConstraints

from app.api.auth import Administrator, Reader, ServicesDep, Writer
from app.api.bodies import Answer, Body, Listed, Name, example
from app.api.paging import PageDep, time_and_id
from app.api.route import BoundedRoute, JsonRoute
from app.domain.caller import MemberRole, Scope
from app.services.accounts import Organization

router = APIRouter(route_class=JsonRoute)
tokens = APIRouter(route_class=BoundedRoute)
"""Apart: their answers hold a secret, which nobody keeps."""

TokenName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class UserBody(Body):
    model_config = example({"name": "bob"})

    name: Name


class UserAnswer(Answer):
    id: UUID
    name: str
    created_at: datetime


class MemberBody(Body):
    user: Name
    role: MemberRole


class MemberChange(Body):
    user: Name
    role: MemberRole | None = Field(description="null removes the member")


class OrganizationBody(Body):
    model_config = example({"name": "lab", "members": [{"user": "alice", "role": "owner"}]})

    name: Name
    members: Annotated[list[MemberBody], Field(max_length=200)] = []


class OrganizationChange(Body):
    model_config = example({"members": [{"user": "bob", "role": "writer"}, {"user": "carol", "role": None}]})

    members: Annotated[list[MemberChange], Field(max_length=200)]


class OrganizationAnswer(Answer):
    id: UUID
    name: str
    members: list[MemberBody]
    created_at: datetime

    @classmethod
    def of(cls, value: Organization) -> "OrganizationAnswer":
        return cls(
            id=value.namespace.id,
            name=value.namespace.name,
            members=[MemberBody(user=user, role=role) for user, role in value.members],
            created_at=value.namespace.created_at,
        )


class TokenBody(Body):
    model_config = example({"name": "laptop", "scopes": ["read"]})

    name: TokenName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] = [Scope.READ, Scope.WRITE, Scope.MERGE]
    expires_at: AwareDatetime | None = None
    user: Name | None = Field(None, description="For whom; administrators only")


class TokenAnswer(Answer):
    id: UUID
    user: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None


class NewTokenAnswer(TokenAnswer):
    token: str = Field(description="Shown this once")


class KeptTokenAnswer(TokenAnswer):
    last_used_at: datetime | None


class WhoAmI(Answer):
    name: str
    is_admin: bool
    scopes: list[Scope]
    organizations: list[dict[str, str]]


@router.post("/users", status_code=201)
def create_user(body: UserBody, services: ServicesDep, caller: Administrator) -> UserAnswer:
    """Make a user, who owns the namespace of that name."""
    made = services.accounts.create_user(caller, body.name)
    return UserAnswer(id=made.id, name=made.name, created_at=made.created_at)


@router.post("/organizations", status_code=201)
def create_organization(body: OrganizationBody, services: ServicesDep, caller: Writer) -> OrganizationAnswer:
    """Make an organisation; its maker owns it unless the members say otherwise."""
    members = [(member.user, member.role) for member in body.members]
    return OrganizationAnswer.of(services.accounts.create_organization(caller, body.name, members))


@router.get("/organizations/{name}")
def get_organization(name: str, services: ServicesDep, caller: Reader) -> OrganizationAnswer:
    """An organisation; its members are told to members only, to others the list is empty."""
    return OrganizationAnswer.of(services.accounts.organization(caller, name))


@router.patch("/organizations/{name}")
def change_organization(
    name: str, body: OrganizationChange, services: ServicesDep, caller: Writer
) -> OrganizationAnswer:
    """Set and remove members' roles; those that are not named stay as they are."""
    members = [(member.user, member.role) for member in body.members]
    return OrganizationAnswer.of(services.accounts.change_members(caller, name, members))


@router.delete("/organizations/{name}", status_code=204, response_class=Response)
def delete_organization(name: str, services: ServicesDep, caller: Writer) -> None:
    """Delete an organisation that holds no repository; its name stays taken."""
    services.accounts.delete_organization(caller, name)


@tokens.post("/tokens", status_code=201)
def create_token(body: TokenBody, services: ServicesDep, caller: Reader) -> NewTokenAnswer:
    """Make a token with no more scopes than the one in hand; administrators make them for anybody."""
    scopes = sorted(set(body.scopes))
    made = services.accounts.create_token(caller, body.name, scopes, body.expires_at, body.user)
    return NewTokenAnswer(
        id=made.id,
        token=made.token,
        user=made.user,
        name=made.name,
        scopes=list(made.scopes),
        created_at=made.created_at,
        expires_at=made.expires_at,
    )


@tokens.get("/tokens")
def list_tokens(services: ServicesDep, caller: Reader, page: PageDep) -> Listed[KeptTokenAnswer]:
    """The caller's tokens, newest first, without their secrets."""
    rows = services.accounts.tokens(caller, page.after(time_and_id), page.wanted)
    rows_shown, cursor = page.cut(rows, lambda row: [row.created_at.isoformat(), row.id])
    items = [
        KeptTokenAnswer(
            id=row.id,
            user=row.user,
            name=row.name,
            scopes=[Scope(scope) for scope in row.scopes],
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
        )
        for row in rows_shown
    ]
    return Listed[KeptTokenAnswer](items=items, next_cursor=cursor)


@tokens.delete("/tokens/{id}", status_code=204, response_class=Response)
def revoke_token(id: UUID, services: ServicesDep, caller: Reader) -> None:
    """Revoke a token at once."""
    services.accounts.revoke_token(caller, id)


@router.get("/whoami")
def whoami(services: ServicesDep, caller: Reader) -> WhoAmI:
    """Who the token speaks for, and what it may be used for."""
    identity = services.accounts.whoami(caller)
    return WhoAmI(
        name=caller.name or "",
        is_admin=caller.is_admin,
        scopes=sorted(caller.scopes),
        organizations=[{"name": name, "role": role.value} for name, role in identity.organizations],
    )
