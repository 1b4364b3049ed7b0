"""Recalls: a version is pulled out, and with it all that holds it or stands on it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class OnRecall(StrEnum):
    """What a repository's aliases do when the version that they name is recalled."""

    MOVE = "move"
    """Back to the last version that they named and that is not recalled, until the recall is undone."""
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Recall:
    """One recall, as whoever may read its version sees it."""

    id: UUID
    version: UUID
    reference: str
    digest: str
    namespace: UUID
    reason: str
    severity: Severity
    recalled_by: str
    recalled_at: datetime
    undone_by: str | None
    undone_at: datetime | None
