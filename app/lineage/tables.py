"""Every table. Rows never leave this package: functions beside this file return frozen values.

namespaces ─┬─ memberships       a user or an organisation; a user's id is its namespace's id
            ├─ tokens ── sessions
            ├─ receipts, uploads, idempotency_keys
            └─ repositories ─┬─ redirects
                             ├─ commits ─┬─ trees ── tree_entries ── blobs
                             │           └─ changes        paths that a commit changed
                             ├─ refs
                             ├─ xorbs
                             ├─ aliases, alias_events
                             └─ versions ─┬─ edges            what a version says of its parents
                                          └─ version_contents  closure of merged_from and extracted_from
merge_executions ─┬─ execution_files
                  └─ merge_requests ── request_inputs
base_model_aliases, audit_events
leases, deletions             objects on their way in, and out
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.lineage import event_tables as event_tables  # their tables belong to the same schema
from app.lineage import merge_tables as merge_tables
from app.lineage import stack_tables as stack_tables
from app.lineage.base import Base as Base


class Namespace(Base):
    """A user or an organisation; names are unique without case, for ever."""

    __tablename__ = "namespaces"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    __table_args__ = (CheckConstraint("kind in ('user', 'organization')", name="kind"),)


class Membership(Base):
    __tablename__ = "memberships"
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), primary_key=True, index=True)
    role: Mapped[str]
    __table_args__ = (CheckConstraint("role in ('reader', 'writer', 'owner')", name="role"),)


class Token(Base):
    """A token at rest is the SHA-256 of 256 random bits; the token itself is shown once."""

    __tablename__ = "tokens"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), index=True)
    name: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Session(Base):
    """A browser that a token's user signed in with: it may what the token may, and ends with it. At rest as a token is."""

    __tablename__ = "sessions"
    sha256: Mapped[bytes] = mapped_column(primary_key=True)
    token_id: Mapped[UUID] = mapped_column(ForeignKey("tokens.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Repository(Base):
    __tablename__ = "repositories"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    namespace_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    name: Mapped[str]
    key: Mapped[str]
    kind: Mapped[str]
    visibility: Mapped[str]
    derivatives: Mapped[str]
    on_recall: Mapped[str] = mapped_column(server_default="move")
    """Whether its aliases move when what they name is recalled."""
    base_model: Mapped[dict[str, Any] | None]
    description: Mapped[str | None]
    license: Mapped[str | None]
    tags: Mapped[list[str]]
    created_by: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    words: Mapped[str] = mapped_column(
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('simple'::regconfig, translate(name, '-_.', '   ')), 'A')"
            " || setweight(to_tsvector('english'::regconfig, coalesce(description, '')), 'B')",
            persisted=True,
        ),
    )
    """Of its name and description, to find it by."""
    __table_args__ = (
        UniqueConstraint("namespace_id", "key"),
        CheckConstraint("kind in ('adapter', 'model', 'stack')", name="kind"),
        CheckConstraint("visibility in ('public', 'private')", name="visibility"),
        CheckConstraint("derivatives in ('inherit', 'open')", name="derivatives"),
        CheckConstraint("on_recall in ('move', 'keep')", name="on_recall"),
        Index("ix_repositories_updated", "updated_at", "id"),
    )


class Redirect(Base):
    """The name that a moved repository left behind."""

    __tablename__ = "redirects"
    namespace_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Blob(Base):
    """Bytes that are in the store, and what was seen while they streamed in."""

    __tablename__ = "blobs"
    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    """The inspection's, beside it: a list of files need not read the whole of each."""
    git_sha1: Mapped[str | None]
    """What git calls the file; null of one that is too large to be anything but an LFS file there."""
    inspection: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    unneeded_since: Mapped[datetime | None]
    """When a collection first found that nothing needs it; the grace period counts from there."""


class Lease(Base):
    """An object that is being placed, or was and has no row yet: collection leaves it alone, and the namespace pays for it."""

    __tablename__ = "leases"
    holder: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True, index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    namespace_id: Mapped[UUID | None] = mapped_column(ForeignKey("namespaces.id"), index=True)
    expires_at: Mapped[datetime]


class Deletion(Base):
    """An object that a collection is removing from the store: it has no row any more, and nobody places it meanwhile."""

    __tablename__ = "deletions"
    digest: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[UUID]
    """Which run removes it; another may take it over when that one has died."""
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Receipt(Base):
    """Proof that a user uploaded these bytes in full, and may name their digest."""

    __tablename__ = "receipts"
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("blobs.digest"), primary_key=True, index=True)
    expires_at: Mapped[datetime]


class Upload(Base):
    """An upload in parts that is not finished yet."""

    __tablename__ = "uploads"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    part_size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("user_id", "digest", "size_bytes"),)


class Tree(Base):
    """A set of files; its id is the digest of their canonical listing."""

    __tablename__ = "trees"
    id: Mapped[str] = mapped_column(primary_key=True)


class TreeEntry(Base):
    __tablename__ = "tree_entries"
    tree: Mapped[str] = mapped_column(ForeignKey("trees.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    # no foreign key: a deleted version still says what its files were when their bytes are gone
    digest: Mapped[str] = mapped_column(index=True)


class Commit(Base):
    __tablename__ = "commits"
    id: Mapped[str] = mapped_column(primary_key=True)
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"), index=True)
    parents: Mapped[list[str]]
    tree: Mapped[str] = mapped_column(ForeignKey("trees.id"), index=True)
    author_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    message: Mapped[str]
    created_at: Mapped[datetime]
    card: Mapped[dict[str, Any]]
    """The data at the head of README.md."""
    words: Mapped[str | None] = mapped_column(TSVECTOR)
    """Of README.md, to find the repository by."""
    tags: Mapped[list[str]]
    # no foreign key: versions refer to commits
    origin_id: Mapped[UUID | None]
    """Of a commit that is no version: the last version before it, whose files it may hold; who may not read that one may
    not read the commit."""


class Change(Base):
    """A path at which a commit has another file than the commit before it had, or none had."""

    __tablename__ = "changes"
    commit_id: Mapped[str] = mapped_column(ForeignKey("commits.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)


class Ref(Base):
    __tablename__ = "refs"
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    commit_id: Mapped[str] = mapped_column(ForeignKey("commits.id"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Xorb(Base):
    """Chunks of files as a Xet client packed and named them; later uploads to the repository may refer to them.

    It lies in the store as a blob. A client forgets what it has sent when the generation changes: the older ones go.
    """

    __tablename__ = "xorbs"
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("blobs.digest"), index=True)
    ends: Mapped[bytes]
    """Where each chunk ends in the blob: 4 bytes each, little endian."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Version(Base):
    """An immutable, numbered commit. A deleted one stays as its own tombstone, so that its number is never free again."""

    __tablename__ = "versions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"))
    major: Mapped[int]
    minor: Mapped[int]
    patch: Mapped[int]
    digest: Mapped[str] = mapped_column(unique=True)
    content_digest: Mapped[str] = mapped_column(index=True)
    commit_id: Mapped[str] = mapped_column(ForeignKey("commits.id"), index=True)
    base_model: Mapped[dict[str, Any] | None]
    summary: Mapped[dict[str, Any]]
    """What the files say in short: all that the answer to a reader shows."""
    facts: Mapped[dict[str, Any]]
    """An adapter's or a checkpoint's facts, module by module; read for planning and merging."""
    license: Mapped[str | None]
    datasets: Mapped[list[Any]]
    metrics: Mapped[dict[str, Any]]
    notes: Mapped[str | None]
    is_exact_linear: Mapped[bool] = mapped_column(default=False)
    created_by: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    created_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="published")
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[UUID | None] = mapped_column(ForeignKey("namespaces.id"))
    __table_args__ = (
        UniqueConstraint("repository_id", "major", "minor", "patch"),
        CheckConstraint("state in ('published', 'recalled', 'deleted')", name="state"),
        Index(
            "ix_versions_base_digest",
            text("(base_model ->> 'digest')"),
            postgresql_where=text("(base_model ->> 'digest') is not null"),
        ),
        # a recall changes the state of thousands at once: with room beside each row none of the indexes is touched
        {"postgresql_with": {"fillfactor": 50}},
    )


class Edge(Base):
    """What a version says of one parent; `position` keeps the order in which the parents were named."""

    __tablename__ = "edges"
    child_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), index=True)
    relation: Mapped[str]
    weight: Mapped[float]
    role: Mapped[str | None]
    __table_args__ = (
        CheckConstraint(
            "relation in ('builds_on', 'initialized_from', 'merged_from', 'extracted_from')", name="relation"
        ),
        CheckConstraint("role in ('trunk', 'branch', 'base')", name="role"),
    )


class VersionContent(Base):
    """Everything reachable through merged_from and extracted_from: who may not read all of it may not read the version."""

    __tablename__ = "version_contents"
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), primary_key=True, index=True)


class Alias(Base):
    __tablename__ = "aliases"
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), index=True)
    updated_by: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AliasEvent(Base):
    """One move of an alias; `version_id` is null when it was removed."""

    __tablename__ = "alias_events"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"))
    key: Mapped[str]
    version_id: Mapped[UUID | None] = mapped_column(ForeignKey("versions.id"))
    moved_by: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    moved_at: Mapped[datetime] = mapped_column(server_default=func.now())
    by_recall: Mapped[bool] = mapped_column(server_default=text("false"))
    """Not what anybody wanted it to name, but what was left."""
    __table_args__ = (Index("ix_alias_events_history", "repository_id", "key", "id"),)


class BaseModelAlias(Base):
    """Another name of a base model."""

    __tablename__ = "base_model_aliases"
    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    canonical: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int | None]
    location: Mapped[str | None]
    body: Mapped[bytes | None]
    made: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEvent(Base):
    """Who did what, written in the transaction that did it."""

    __tablename__ = "audit_events"
    # no running number: it would tell everybody how much is done in this registry
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    actor_id: Mapped[UUID | None] = mapped_column(ForeignKey("namespaces.id"))
    action: Mapped[str]
    subject: Mapped[str]
    namespace_id: Mapped[UUID | None] = mapped_column(ForeignKey("namespaces.id"))
    request_id: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    __table_args__ = (
        Index("ix_audit_events_at", "at", "id"),
        Index("ix_audit_events_namespace", "namespace_id", "at", "id"),
    )
