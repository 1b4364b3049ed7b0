"""Users, organisations, memberships and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, LargeBinary, Select, Text, bindparam, cast, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, array, insert

from app.domain.caller import Caller, MemberRole, Scope
from app.domain.names import key_of
from app.domain.repository import Namespace
from app.lineage import tables as t
from app.lineage.engine import Database
from app.lineage.prepared import Prepared


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token without its secret."""

    id: UUID
    user: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


def create_namespace(tx: Connection, id: UUID, name: str, kind: str, *, is_admin: bool = False) -> bool:
    """False if the name is taken, by a living namespace or a deleted one."""
    statement = (
        insert(t.Namespace)
        .values(id=id, name=name, key=key_of(name), kind=kind, is_admin=is_admin)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(t.Namespace.id)
    )
    return tx.execute(statement).first() is not None


def find_namespace(tx: Connection, name: str) -> Namespace | None:
    """A living namespace."""
    n = t.Namespace
    statement = select(n.id, n.name, n.kind, n.is_admin, n.created_at, n.deleted_at).where(
        n.key == key_of(name), n.deleted_at.is_(None)
    )
    row = tx.execute(statement).first()
    if row is None:
        return None
    return Namespace(row.id, row.name, row.kind, row.is_admin, row.created_at, row.deleted_at)


def lock_namespace(tx: Connection, id: UUID) -> bool:
    """One change at a time of who owns a namespace and of which names are in it; before any lock of a repository.

    False if it was deleted, as it may have been while the lock was waited for.
    """
    living = select(t.Namespace.id).where(t.Namespace.id == id, t.Namespace.deleted_at.is_(None))
    return tx.execute(living.with_for_update(key_share=True)).first() is not None


def delete_namespace(tx: Connection, id: UUID) -> None:
    tx.execute(update(t.Namespace).where(t.Namespace.id == id).values(deleted_at=func.now()))
    tx.execute(delete(t.Membership).where(t.Membership.organization_id == id))


def members(tx: Connection, organization: UUID) -> list[tuple[str, MemberRole]]:
    statement = (
        select(t.Namespace.name, t.Membership.role)
        .join(t.Membership, t.Membership.user_id == t.Namespace.id)
        .where(t.Membership.organization_id == organization)
        .order_by(t.Namespace.key)
    )
    return [(row.name, MemberRole(row.role)) for row in tx.execute(statement)]


def set_member(tx: Connection, organization: UUID, user: UUID, role: MemberRole) -> None:
    statement = insert(t.Membership).values(organization_id=organization, user_id=user, role=role.value)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "user_id"], set_={"role": statement.excluded.role}
        )
    )


def remove_member(tx: Connection, organization: UUID, user: UUID) -> bool:
    statement = delete(t.Membership).where(t.Membership.organization_id == organization, t.Membership.user_id == user)
    return tx.execute(statement).rowcount > 0


def organizations_of(tx: Connection, user: UUID) -> list[tuple[str, MemberRole]]:
    statement = (
        select(t.Namespace.name, t.Membership.role)
        .join(t.Membership, t.Membership.organization_id == t.Namespace.id)
        .where(t.Membership.user_id == user)
        .order_by(t.Namespace.key)
    )
    return [(row.name, MemberRole(row.role)) for row in tx.execute(statement)]


def count_repositories(tx: Connection, namespace: UUID) -> int:
    statement = select(func.count()).where(t.Repository.namespace_id == namespace, t.Repository.deleted_at.is_(None))
    return tx.execute(statement).scalar_one()


def insert_token(
    tx: Connection, id: UUID, user: UUID, name: str, sha256: bytes, scopes: Sequence[str], expires_at: datetime | None
) -> datetime:
    statement = (
        insert(t.Token)
        .values(id=id, user_id=user, name=name, sha256=sha256, scopes=list(scopes), expires_at=expires_at)
        .returning(t.Token.created_at)
    )
    return tx.execute(statement).scalar_one()


def insert_or_revive_token(
    tx: Connection, id: UUID, user: UUID, name: str, sha256: bytes, scopes: Sequence[str]
) -> None:
    """A token without an end; one with this secret that was there, whatever became of it, is this token from now on."""
    values = {"user_id": user, "name": name, "scopes": list(scopes), "expires_at": None, "revoked_at": None}
    statement = insert(t.Token).values(id=id, sha256=sha256, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["sha256"], set_=values))


def list_tokens(tx: Connection, user: UUID, after: tuple[datetime, UUID] | None, limit: int) -> list[TokenRecord]:
    """Tokens that were not revoked, newest first."""
    k = t.Token
    statement = (
        select(k.id, t.Namespace.name.label("user"), k.name, k.scopes, k.created_at, k.expires_at, k.last_used_at)
        .join(t.Namespace, t.Namespace.id == k.user_id)
        .where(k.user_id == user, k.revoked_at.is_(None))
        .order_by(k.created_at.desc(), k.id.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(k.created_at, k.id) < after)
    return [
        TokenRecord(row.id, row.user, row.name, tuple(row.scopes), row.created_at, row.expires_at, row.last_used_at)
        for row in tx.execute(statement)
    ]


def revoke_token(tx: Connection, id: UUID, user: UUID | None) -> tuple[str, UUID] | None:
    """The token's name and user, or None if there is no such token (of this user, if one is given)."""
    statement = (
        update(t.Token)
        .where(t.Token.id == id, t.Token.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(t.Token.name, t.Token.user_id)
    )
    if user is not None:
        statement = statement.where(t.Token.user_id == user)
    row = tx.execute(statement).first()
    return None if row is None else (row.name, row.user_id)


def holders() -> Select[Any]:
    """Living tokens with their users and the roles of the moment; none that expired or was revoked."""
    n, k, m = t.Namespace, t.Token, t.Membership
    roles = (
        select(func.array_agg(aggregate_order_by(array([cast(m.organization_id, Text), m.role]), m.organization_id)))
        .where(m.user_id == n.id)
        .scalar_subquery()
    )
    return (
        select(
            n.id,
            n.name,
            n.is_admin,
            k.id.label("token"),
            k.scopes,
            k.expires_at,
            # once a minute is enough to see whether a token is in use, and keeps reads from becoming writes
            or_(k.last_used_at.is_(None), k.last_used_at < func.now() - timedelta(minutes=1)).label("is_seen_anew"),
            roles.label("roles"),
        )
        .join(n, n.id == k.user_id)
        .where(
            k.revoked_at.is_(None),
            or_(k.expires_at.is_(None), k.expires_at > func.now()),
            n.deleted_at.is_(None),
        )
    )


asked_sha256 = bindparam("sha256", type_=LargeBinary)
token_holder = Prepared(holders().where(t.Token.sha256 == asked_sha256))
session_holder = Prepared(
    holders()
    .join(t.Session, t.Session.token_id == t.Token.id)
    .where(t.Session.sha256 == asked_sha256, t.Session.expires_at > func.now())
)
"""By `sha256`, of the token and of the session."""


def caller_of_token(tx: Connection, sha256: bytes) -> Caller | None:
    """Who a token speaks for, with the roles of this moment; None if it is unknown, expired or revoked."""
    row = token_holder.first(tx, {"sha256": sha256})
    return None if row is None else caller_of(row, None)


def caller_in_hand(database: Database, holder: Prepared, sha256: bytes, request_id: str | None) -> Caller | None:
    """By `token_holder` or `session_holder`, for a request: in one statement, and the use of the token is noted once a
    minute."""
    row = next(iter(database.rows(holder, {"sha256": sha256})), None)
    if row is None:
        return None
    if row.is_seen_anew:
        with database.begin() as tx:
            tx.execute(update(t.Token).where(t.Token.id == row.token).values(last_used_at=func.now()))
    return caller_of(row, request_id)


def insert_session(tx: Connection, sha256: bytes, token: UUID, lifetime: timedelta) -> None:
    """Those that expired go."""
    tx.execute(delete(t.Session).where(t.Session.expires_at < func.now()))
    tx.execute(insert(t.Session).values(sha256=sha256, token_id=token, expires_at=func.now() + lifetime))


def delete_session(tx: Connection, sha256: bytes) -> bool:
    return tx.execute(delete(t.Session).where(t.Session.sha256 == sha256)).rowcount > 0


def caller_of(row: Any, request_id: str | None) -> Caller:
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    held = {UUID(organization): MemberRole(role) for organization, role in row.roles or []}
    held[row.id] = MemberRole.OWNER
    return Caller(
        user_id=row.id,
        name=row.name,
        is_admin=row.is_admin and Scope.ADMIN in scopes,
        scopes=scopes,
        roles=held,
        token=row.token,
        token_expires_at=row.expires_at,
        request_id=request_id,
    )


def caller_of_user(tx: Connection, user: UUID) -> Caller:
    """A user with all their rights of this moment and no token: for work that a worker does in their name."""
    n = tx.execute(select(t.Namespace.name, t.Namespace.is_admin).where(t.Namespace.id == user)).one()
    rows = tx.execute(select(t.Membership.organization_id, t.Membership.role).where(t.Membership.user_id == user))
    held = {row.organization_id: MemberRole(row.role) for row in rows}
    held[user] = MemberRole.OWNER
    return Caller(user_id=user, name=n.name, is_admin=n.is_admin, scopes=frozenset(Scope), roles=held)
