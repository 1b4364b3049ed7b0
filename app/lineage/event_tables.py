"""The tables of what happens after something happened: recalls, events, webhooks and their deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.lineage.base import Base


class Recall(Base):
    """A version that was recalled, and perhaps restored."""

    __tablename__ = "recalls"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"))
    reason: Mapped[str]
    severity: Mapped[str]
    recalled_by: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    recalled_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    undone_by: Mapped[UUID | None] = mapped_column(ForeignKey("namespaces.id"))
    undone_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("severity in ('low', 'medium', 'high', 'critical')", name="severity"),
        Index("uq_recalls_active", "version_id", unique=True, postgresql_where=text("undone_at is null")),
        Index("ix_recalls_recalled_at", "recalled_at", "id"),
    )


class RecallMark(Base):
    """A version that an active recall reaches: the recalled one, and all that holds it or stands on it."""

    __tablename__ = "recall_marks"
    # no foreign keys: rows of neither table ever go, and a recall marks thousands at once
    recall_id: Mapped[UUID] = mapped_column(primary_key=True)
    version_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)


class Event(Base):
    """Something that happened, written in the transaction in which it did, until everybody was told."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    type: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    # no foreign keys, as above; events go as soon as they are told
    repository_id: Mapped[UUID]
    version_id: Mapped[UUID | None]
    details: Mapped[dict[str, Any]]


class Webhook(Base):
    """An address that wants to be told of events in a namespace, or in one of its repositories."""

    __tablename__ = "webhooks"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    namespace_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), index=True)
    repository_id: Mapped[UUID | None] = mapped_column(ForeignKey("repositories.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    url: Mapped[str]
    secret: Mapped[str]
    events: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    """When its oldest delivery that waits is to be tried; null: none waits."""
    leased_until: Mapped[datetime | None]
    """While a worker sends to it: one delivery at a time, in order."""
    __table_args__ = (Index("ix_webhooks_due_at", "due_at", postgresql_where=text("due_at is not null")),)


class Delivery(Base):
    """One event for one webhook, tried until it is taken."""

    __tablename__ = "deliveries"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    public_id: Mapped[UUID] = mapped_column(unique=True)
    """What its receiver knows it by: a number would tell how much is delivered here."""
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id"))
    event_id: Mapped[int] = mapped_column(BigInteger)
    replay: Mapped[int] = mapped_column(default=0)
    """0: the event's own delivery; n: the n-th time that somebody asked for it again."""
    payload: Mapped[dict[str, Any]]
    # no foreign keys, as above; what the payload tells of: who may know it is asked again whenever it is told
    repository_id: Mapped[UUID]
    version_id: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'delivered', 'failed')", name="state"),
        UniqueConstraint("webhook_id", "event_id", "replay"),
        Index("ix_deliveries_waiting", "webhook_id", "id", postgresql_where=text("state = 'waiting'")),
    )
