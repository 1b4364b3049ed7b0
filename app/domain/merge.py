"""A merge: what one caller asked, and how far the one execution that serves it has come."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.domain.adapter import Adapter, Checkpoint
from app.domain.digest import Digest
from app.domain.plan import Plan
from app.domain.recipe import Recipe
from app.domain.version import File


class MergeState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {MergeState.SUCCEEDED, MergeState.FAILED, MergeState.CANCELLED}


@dataclass(frozen=True, slots=True)
class Progress:
    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class Result:
    """What an execution made."""

    content_digest: Digest
    facts: Adapter | Checkpoint
    files: tuple[File, ...]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Merge:
    """One caller's request, with the execution that serves it."""

    id: UUID
    execution: UUID
    user: UUID
    state: MergeState
    recipe: Recipe
    plan: Plan
    recipe_digest: Digest
    progress: Progress
    is_cached: bool
    content_digest: Digest | None
    files: tuple[File, ...]
    report: dict[str, Any]
    error: dict[str, Any] | None
    published: UUID | None
    is_evicted: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to execute: it ends when another worker claims the same execution, or the last request is withdrawn."""

    execution: UUID
    attempt: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class Publication:
    """A request whose result is to be published when its execution has succeeded."""

    request: UUID
    user: UUID
    repository: UUID
    version: str | None
    plan: Plan
    recipe: Recipe
