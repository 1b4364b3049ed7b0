"""Who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.errors import Unauthenticated


class Scope(StrEnum):
    """What a token may be used for."""

    READ = "read"
    WRITE = "write"
    MERGE = "merge"
    ADMIN = "admin"


class MemberRole(StrEnum):
    READER = "reader"
    WRITER = "writer"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with the rights that the token carries at this moment."""

    user_id: UUID | None = None
    """None: anonymous."""
    name: str | None = None
    is_admin: bool = False
    """An administrator, with a token whose scopes say so."""
    scopes: frozenset[Scope] = frozenset()
    roles: Mapping[UUID, MemberRole] = field(default_factory=dict)
    """By namespace: the caller's own (owner) and those of the organisations."""
    token: UUID | None = None
    """The token in hand; None: anonymous, or a worker in the user's name."""
    token_expires_at: datetime | None = None
    sees_public: bool = True
    """Whether public means public for this caller."""
    request_id: str | None = None
    idempotency_key: str | None = None
    """What is made for this request is made once for this key, however often it is sent."""

    @property
    def user(self) -> UUID:
        """The user's id. Raises: Unauthenticated for an anonymous caller."""
        if self.user_id is None:
            raise Unauthenticated
        return self.user_id

    def may_write(self, namespace: UUID) -> bool:
        return self.is_admin or self.roles.get(namespace) in {MemberRole.WRITER, MemberRole.OWNER}

    def may_own(self, namespace: UUID) -> bool:
        return self.is_admin or self.roles.get(namespace) is MemberRole.OWNER
