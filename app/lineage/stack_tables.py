"""The tables of stacks: what they ask for, where they look, and what came of it.

stacks ─┬─ stack_inputs               the repositories whose changes may change the outcome
        ├─ locks ── lock_members      every version that a lock names
        └─ proposals
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.lineage.base import Base


class Stack(Base):
    __tablename__ = "stacks"
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"), primary_key=True)
    definition: Mapped[dict[str, Any]]
    update_policy: Mapped[str]
    maintainer_id: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"), index=True)
    resolved: Mapped[str | None]
    problem: Mapped[dict[str, Any] | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (CheckConstraint("update_policy in ('auto', 'propose', 'pin')", name="update_policy"),)


class StackInput(Base):
    """A repository that the last resolution looked at: a layer's, or one of a version above a candidate."""

    __tablename__ = "stack_inputs"
    stack_id: Mapped[UUID] = mapped_column(ForeignKey("stacks.repository_id"), primary_key=True)
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id"), primary_key=True, index=True)


class Lock(Base):
    __tablename__ = "locks"
    stack_id: Mapped[UUID] = mapped_column(ForeignKey("stacks.repository_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str]
    outcome: Mapped[dict[str, Any]]
    because: Mapped[str]
    created_by: Mapped[UUID] = mapped_column(ForeignKey("namespaces.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class LockMember(Base):
    __tablename__ = "lock_members"
    stack_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("versions.id"), primary_key=True, index=True)
    __table_args__ = (ForeignKeyConstraint(["stack_id", "number"], ["locks.stack_id", "locks.number"]),)


class Proposal(Base):
    __tablename__ = "proposals"
    stack_id: Mapped[UUID] = mapped_column(ForeignKey("stacks.repository_id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str]
    outcome: Mapped[dict[str, Any]]
    because: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey("namespaces.id"))
    decided_at: Mapped[datetime | None]
    lock_number: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("state in ('open', 'accepted', 'rejected', 'withdrawn')", name="state"),
        Index("uq_proposals_open", "stack_id", unique=True, postgresql_where=text("state = 'open'")),
    )
