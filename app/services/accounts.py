"""Users, organisations and their members, tokens."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from app.domain.caller import Caller, MemberRole, Scope
from app.domain.names import check_name, check_namespace
from app.domain.repository import Namespace
from app.errors import (
    Forbidden,
    InvalidToken,
    LastOwner,
    MalformedRequest,
    NameExists,
    NotEmpty,
    NotFound,
    ScopeMissing,
)
from app.lineage import accounts, audit, idempotency, stacks
from app.lineage.accounts import TokenRecord
from app.lineage.engine import Connection, Database

token_prefix = "glu_"  # noqa: S105 - the mark of our tokens, not one of them
token_bytes = 32
"""256 random bits: beyond guessing, so that a plain SHA-256 at rest is enough."""
bootstrap_name = "bootstrap"


def hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token with its secret, shown this once."""

    id: UUID
    token: str
    name: str
    user: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Organization:
    namespace: Namespace
    members: tuple[tuple[str, MemberRole], ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a caller may know of themselves."""

    caller: Caller
    organizations: tuple[tuple[str, MemberRole], ...]


class Accounts:
    def __init__(self, database: Database, *, anonymous_read: bool) -> None:
        self.database = database
        self.anonymous_read = anonymous_read

    def authenticate(self, token: str | None, request_id: str | None) -> Caller:
        """Who a request speaks for; without a token an anonymous caller.

        Raises: InvalidToken if it is unknown, expired or revoked.
        """
        if token is None:
            return Caller(sees_public=self.anonymous_read, request_id=request_id)
        caller = accounts.caller_in_hand(self.database, accounts.token_holder, hash_of(token), request_id)
        if caller is None:
            raise InvalidToken
        return caller

    def bootstrap(self, token: str) -> None:
        """Make the user `admin` and give it this token, also where it was its token before; an earlier one ends."""
        with self.database.begin() as tx:
            accounts.create_namespace(tx, uuid4(), "admin", "user", is_admin=True)
            admin = accounts.find_namespace(tx, "admin")
            if admin is None:
                raise NameExists("admin")
            accounts.lock_namespace(tx, admin.id)
            known = accounts.caller_of_token(tx, hash_of(token))
            if known is not None and known.is_admin:
                return
            for kept in accounts.list_tokens(tx, admin.id, None, 1000):
                if kept.name == bootstrap_name:
                    accounts.revoke_token(tx, kept.id, admin.id)
            accounts.insert_or_revive_token(tx, uuid4(), admin.id, bootstrap_name, hash_of(token), [*Scope])
            audit.record(tx, Caller(), "token.bootstrapped", "admin", namespace=admin.id)

    def create_user(self, caller: Caller, name: str) -> Namespace:
        """Raises: Forbidden, InvalidName, NameExists."""
        if not caller.is_admin:
            raise Forbidden("make users of", "this registry")
        check_namespace(name)
        with self.database.begin() as tx:
            return self._earlier(tx, caller, name) or self._create_namespace(tx, caller, name, "user")

    def _earlier(self, tx: Connection, caller: Caller, name: str) -> Namespace | None:
        """What this very request has made before, when its answer was lost."""
        return None if idempotency.made(tx, caller) is None else accounts.find_namespace(tx, name)

    def _create_namespace(self, tx: Connection, caller: Caller, name: str, kind: str) -> Namespace:
        id = uuid4()
        if not accounts.create_namespace(tx, id, name, kind):
            raise NameExists(name)
        idempotency.note(tx, caller, str(id))
        audit.record(tx, caller, f"{kind}.created", name, namespace=id)
        made = accounts.find_namespace(tx, name)
        if made is None:
            raise NotFound(name)
        return made

    def create_organization(self, caller: Caller, name: str, members: Sequence[tuple[str, MemberRole]]) -> Organization:
        """The caller becomes an owner unless the members say otherwise and name another one.

        Raises: InvalidName, NameExists, NotFound for a member that is no user.
        """
        check_namespace(name)
        with self.database.begin() as tx:
            if (earlier := self._earlier(tx, caller, name)) is not None:
                return self._checked(tx, earlier)
            made = self._create_namespace(tx, caller, name, "organization")
            named = {user.lower() for user, _ in members}
            if (caller.name or "").lower() not in named:
                accounts.set_member(tx, made.id, caller.user, MemberRole.OWNER)
            for index, (user, role) in enumerate(members):
                accounts.set_member(tx, made.id, self._user(tx, user, f"/members/{index}/user").id, role)
            return self._checked(tx, made)

    def _user(self, tx: Connection, name: str, pointer: str) -> Namespace:
        found = accounts.find_namespace(tx, check_name(name))
        if found is None or found.kind != "user":
            raise NotFound(name, pointer)
        return found

    def _checked(self, tx: Connection, organization: Namespace) -> Organization:
        members = tuple(accounts.members(tx, organization.id))
        if all(role is not MemberRole.OWNER for _, role in members):
            raise LastOwner(organization.name)
        return Organization(organization, members)

    def _organization(self, tx: Connection, name: str) -> Namespace:
        """Names of users and organisations are no secret among signed-in users."""
        found = accounts.find_namespace(tx, name)
        if found is None or found.kind != "organization":
            raise NotFound(name)
        return found

    def organization(self, caller: Caller, name: str) -> Organization:
        """Its members are told to members. Raises: NotFound."""
        with self.database.read() as tx:
            found = self._organization(tx, name)
            is_member = caller.is_admin or found.id in caller.roles
            return Organization(found, tuple(accounts.members(tx, found.id)) if is_member else ())

    def change_members(
        self, caller: Caller, name: str, members: Sequence[tuple[str, MemberRole | None]]
    ) -> Organization:
        """Set roles; None removes a member.

        Raises: NotFound, Forbidden, LastOwner.
        """
        with self.database.begin() as tx:
            found = self._organization(tx, name)
            if not caller.may_own(found.id):
                raise Forbidden("manage", found.name)
            if not accounts.lock_namespace(tx, found.id):
                raise NotFound(found.name)
            for index, (user, role) in enumerate(members):
                member = self._user(tx, user, f"/members/{index}/user")
                if role is None:
                    accounts.remove_member(tx, found.id, member.id)
                else:
                    accounts.set_member(tx, found.id, member.id, role)
                stacks.follow_rights(tx, member.id)
            changes = {user: None if role is None else role.value for user, role in members}
            audit.record(tx, caller, "organization.changed", found.name, namespace=found.id, members=changes)
            return self._checked(tx, found)

    def delete_organization(self, caller: Caller, name: str) -> None:
        """The name stays taken. Raises: NotFound, Forbidden, NotEmpty."""
        with self.database.begin() as tx:
            found = self._organization(tx, name)
            if not caller.may_own(found.id):
                raise Forbidden("delete", found.name)
            if not accounts.lock_namespace(tx, found.id):
                raise NotFound(found.name)
            held = accounts.count_repositories(tx, found.id)
            if held:
                raise NotEmpty(found.name, held)
            accounts.delete_namespace(tx, found.id)
            audit.record(tx, caller, "organization.deleted", found.name, namespace=found.id)

    def create_token(
        self, caller: Caller, name: str, scopes: Sequence[Scope], expires_at: datetime | None, user: str | None
    ) -> NewToken:
        """A token for the caller with no more scopes than the one in hand, and no longer life; or by an administrator for
        anybody, with any.

        Raises: ScopeMissing, Forbidden, NotFound, MalformedRequest.
        """
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise MalformedRequest("expires_at lies in the past", pointer="/expires_at")
        token = token_prefix + secrets.token_urlsafe(token_bytes)
        id = uuid4()
        with self.database.begin() as tx:
            owner, owner_name = caller.user, caller.name or ""
            if user is not None and user.lower() != owner_name.lower():
                if not caller.is_admin:
                    raise Forbidden("make tokens for", user)
                found = self._user(tx, user, "/user")
                owner, owner_name = found.id, found.name
            elif caller.token_expires_at is not None:
                # who finds a token that ends must not be able to make one that does not
                expires_at = min(expires_at or caller.token_expires_at, caller.token_expires_at)
            if not caller.is_admin:
                for scope in scopes:
                    if scope not in caller.scopes:
                        raise ScopeMissing(scope.value)
            created_at = accounts.insert_token(tx, id, owner, name, hash_of(token), list(scopes), expires_at)
            audit.record(tx, caller, "token.created", name, namespace=owner, token=str(id), scopes=list(scopes))
        return NewToken(id, token, name, owner_name, tuple(scopes), created_at, expires_at)

    def tokens(self, caller: Caller, after: tuple[datetime, UUID] | None, limit: int) -> list[TokenRecord]:
        """The caller's own, newest first."""
        with self.database.read() as tx:
            return accounts.list_tokens(tx, caller.user, after, limit)

    def revoke_token(self, caller: Caller, id: UUID) -> None:
        """At once: the next request with it is refused. Every token may revoke itself, those that may write the user's others.

        Raises: ScopeMissing, NotFound.
        """
        if id != caller.token and not caller.is_admin and Scope.WRITE not in caller.scopes:
            raise ScopeMissing(Scope.WRITE.value)
        with self.database.begin() as tx:
            revoked = accounts.revoke_token(tx, id, None if caller.is_admin else caller.user)
            if revoked is None:
                raise NotFound(f"token {id}")
            name, user = revoked
            audit.record(tx, caller, "token.revoked", name, namespace=user, token=str(id))

    def whoami(self, caller: Caller) -> Identity:
        with self.database.read() as tx:
            return Identity(caller, tuple(accounts.organizations_of(tx, caller.user)))
