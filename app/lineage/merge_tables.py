"""Merges in tables: the requests of callers, and the executions that serve them (the tree is drawn in `tables`)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.lineage.base import Base


class MergeExecution(Base):
    """One run of a plan; it serves every request with the same recipe digest while it is queued, running or kept."""

    __tablename__ = "merge_executions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    recipe_digest: Mapped[str]
    plan: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="queued")
    attempt: Mapped[int] = mapped_column(default=0)
    """Fences: a worker that was taken for dead cannot commit, because a later one has raised the number."""
    progress_done: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_total: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_unit: Mapped[str] = mapped_column(default="modules")
    content_digest: Mapped[str | None]
    facts: Mapped[dict[str, Any] | None]
    report: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    evicted_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
        Index(
            "uq_merge_executions_live",
            "recipe_digest",
            unique=True,
            postgresql_where=text("state in ('queued', 'running', 'succeeded') and evicted_at is null"),
        ),
    )


class ExecutionFile(Base):
    __tablename__ = "execution_files"
    execution_id: Mapped[UUID] = mapped_column(ForeignKey("merge_executions.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("blobs.digest"), index=True)


class MergeRequest(Base):
    """What one caller asked; the plan names the versions that this caller's references led to."""

    __tablename__ = "merge_requests"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    execution_id: Mapped[UUID] = mapped_column(ForeignKey("merge_executions.id"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    recipe: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any]]
    is_cached: Mapped[bool]
    target_id: Mapped[UUID | None] = mapped_column(ForeignKey("repositories.id"))
    """Where the result is to be published."""
    target_version: Mapped[str | None]
    published_id: Mapped[UUID | None] = mapped_column(ForeignKey("versions.id"), index=True)
    publish_error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    cancelled_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_merge_requests_user", "user_id", "created_at", "id"),)


class RequestInput(Base):
    """A version whose bytes went into a request's result: reading the result needs the right to read it."""

    __tablename__ = "request_inputs"
    request_id: Mapped[UUID] = mapped_column(ForeignKey("merge_requests.id"), primary_key=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), primary_key=True, index=True)
