"""Tokens, organisations with their members, and for administrators users: plain forms, refused where they stand."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response

from app.api.auth import Administrator, Reader, ServicesDep, Writer
from app.api.paging import Page, PageDep, time_and_id
from app.api.problems import statuses
from app.assembly import Services
from app.domain.caller import Caller, MemberRole, Scope
from app.errors import Conflict, Forbidden, Malformed, MalformedRequest, Missing, RegistryError, ScopeMissing
from app.services.accounts import NewToken
from app.web.site import PageRoute, page, to

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Named = Annotated[str, Form(max_length=300)]
shown_once = {"Cache-Control": "no-store"}
"""Of a page with a secret on it."""
lifetimes = {"": "Never", "7": "In 7 days", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
scopes_told = {
    Scope.READ: "see and download what you may read",
    Scope.WRITE: "upload, publish, delete; manage organisations and tokens",
    Scope.MERGE: "ask for merges",
    Scope.ADMIN: "run this registry, where you are its administrator",
}


def status_of(error: RegistryError | None) -> int:
    return 200 if error is None else statuses[type(error)][0]


# -- tokens --


@router.get("/settings/tokens")
def tokens(request: Request, services: ServicesDep, caller: Reader, shown: PageDep) -> Response:
    """The caller's tokens, and the form for another one."""
    return show_tokens(request, services, caller, shown)


@router.post("/settings/tokens")
def create_token(
    request: Request,
    services: ServicesDep,
    caller: Reader,
    shown: PageDep,
    name: Named = "",
    scope: Annotated[tuple[Scope, ...], Form()] = (),
    days: Annotated[Literal["", "7", "30", "90", "365"], Form()] = "",
) -> Response:
    """Make a token; it is shown on this answer, and nowhere else."""
    sent = {"name": name, "scopes": scope, "days": days}
    try:
        if not name.strip() or len(name) > 200:
            raise MalformedRequest("a token has a name of 1 to 200 characters", pointer="/name")
        if not scope:
            raise MalformedRequest("a token that may do nothing is none: choose what it may", pointer="/scopes")
        expires_at = datetime.now(UTC) + timedelta(days=int(days)) if days else None
        made = services.accounts.create_token(caller, name.strip(), sorted(set(scope)), expires_at, None)
    except (MalformedRequest, ScopeMissing) as error:
        return show_tokens(request, services, caller, shown, error=error, sent=sent)
    return show_tokens(request, services, caller, shown, made=made)


def show_tokens(
    request: Request,
    services: Services,
    caller: Caller,
    shown: Page,
    *,
    made: NewToken | None = None,
    error: MalformedRequest | ScopeMissing | None = None,
    sent: Mapping[str, object] | None = None,
) -> Response:
    kept = services.accounts.tokens(caller, shown.after(time_and_id), shown.wanted)
    entries, cursor = shown.cut(kept, lambda token: [token.created_at.isoformat(), token.id])
    at_name = error is not None and error.facts.get("pointer") == "/name"
    return page(
        request,
        caller,
        "tokens.html",
        status=status_of(error),
        headers=shown_once if made is not None else None,
        entries=entries,
        next=None if cursor is None else f"/settings/tokens?cursor={cursor}",
        made=made,
        error_at_name=error if at_name else None,
        error_at_scopes=None if at_name else error,
        sent=sent or {"name": "", "scopes": (Scope.READ, Scope.WRITE, Scope.MERGE), "days": "90"},
        scopes=[(scope, told) for scope, told in scopes_told.items() if scope in caller.scopes],
        lifetimes=lifetimes,
        is_bound=caller.token_expires_at,
    )


@router.post("/settings/tokens/{id}/revoke")
def revoke_token(id: UUID, services: ServicesDep, caller: Reader) -> Response:
    """End a token, and every session that was begun with it."""
    services.accounts.revoke_token(caller, id)
    return to("/login" if id == caller.token else "/settings/tokens")


# -- organisations --


@router.get("/settings/organizations")
def organizations(request: Request, services: ServicesDep, caller: Reader) -> Response:
    """Those that the caller is a member of, and the form for another one."""
    return show_organizations(request, services, caller)


@router.post("/settings/organizations")
def create_organization(request: Request, services: ServicesDep, caller: Writer, name: Named = "") -> Response:
    """Make an organisation, which its maker owns."""
    try:
        made = services.accounts.create_organization(caller, name.strip(), [])
    except (Malformed, Conflict) as error:
        return show_organizations(request, services, caller, name, error)
    return to(f"/settings/organizations/{made.namespace.name}")


def show_organizations(
    request: Request, services: Services, caller: Caller, name: str = "", error: RegistryError | None = None
) -> Response:
    identity = services.accounts.whoami(caller)
    return page(
        request,
        caller,
        "organizations.html",
        status=status_of(error),
        organizations=identity.organizations,
        name=name,
        error=error,
    )


@router.get("/settings/organizations/{name}")
def organization(name: str, request: Request, services: ServicesDep, caller: Reader) -> Response:
    """The members; for owners, with forms."""
    return show_organization(request, services, caller, name)


@router.post("/settings/organizations/{name}")
def change_member(
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    user: Named = "",
    role: Annotated[MemberRole | Literal["none"], Form()] = MemberRole.READER,
) -> Response:
    """Give a user a role, or none any more."""
    wanted = None if role == "none" else MemberRole(role)
    try:
        changed = services.accounts.change_members(caller, name, [(user.strip(), wanted)])
    except (Malformed, Missing, Conflict) as error:
        return show_organization(request, services, caller, name, user, error)
    return to(f"/settings/organizations/{changed.namespace.name}")


@router.post("/settings/organizations/{name}/delete")
def delete_organization(
    name: str, request: Request, services: ServicesDep, caller: Writer, confirmation: Named = ""
) -> Response:
    """Delete an organisation that holds nothing; whoever means it writes its name."""
    found = services.accounts.organization(caller, name).namespace
    if not caller.may_own(found.id):
        raise Forbidden("delete", found.name)
    try:
        if confirmation.strip() != found.name:
            raise MalformedRequest(f"write {found.name} to delete it", pointer="/confirmation")
        services.accounts.delete_organization(caller, name)
    except (MalformedRequest, Conflict) as error:
        return show_organization(request, services, caller, name, deletion_error=error)
    return to("/settings/organizations")


def show_organization(
    request: Request,
    services: Services,
    caller: Caller,
    name: str,
    user: str = "",
    error: RegistryError | None = None,
    deletion_error: RegistryError | None = None,
) -> Response:
    found = services.accounts.organization(caller, name)
    # what was refused of a member stands by the members, and of somebody who is none by the form for new ones
    is_of_member = user.strip().lower() in {member.lower() for member, _ in found.members}
    return page(
        request,
        caller,
        "organization.html",
        status=status_of(error or deletion_error),
        organization=found.namespace,
        members=found.members,
        is_owner=caller.may_own(found.namespace.id),
        roles=list(MemberRole),
        user="" if is_of_member else user,
        member_error=error if is_of_member else None,
        error=None if is_of_member else error,
        deletion_error=deletion_error,
    )


# -- users --


@router.get("/settings/users")
def users(request: Request, caller: Administrator) -> Response:
    """The form for a new user."""
    return show_users(request, caller)


@router.post("/settings/users")
def create_user(request: Request, services: ServicesDep, caller: Administrator, name: Named = "") -> Response:
    """Make a user and a first token for them, which this answer alone shows."""
    try:
        made = services.accounts.create_user(caller, name.strip())
    except (Malformed, Conflict) as error:
        return show_users(request, caller, name=name, error=error)
    token = services.accounts.create_token(caller, "first", [Scope.READ, Scope.WRITE, Scope.MERGE], None, made.name)
    return show_users(request, caller, made=token)


def show_users(
    request: Request,
    caller: Caller,
    *,
    name: str = "",
    error: RegistryError | None = None,
    made: NewToken | None = None,
) -> Response:
    if not caller.is_admin:
        raise Forbidden("make users of", "this registry")
    return page(
        request,
        caller,
        "users.html",
        status=status_of(error),
        headers=shown_once if made is not None else None,
        name=name,
        error=error,
        made=made,
    )
