"""Events: what happened, told to stacks that stand on it and to webhooks that asked for it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventType(StrEnum):
    VERSION_PUBLISHED = "version.published"
    VERSION_DELETED = "version.deleted"
    VERSION_RECALLED = "version.recalled"
    VERSION_RESTORED = "version.restored"
    """A recall was undone."""
    ALIAS_MOVED = "alias.moved"
    ALIAS_REMOVED = "alias.removed"
    REPOSITORY_CHANGED = "repository.changed"
    """Who may read it, where it stands, or whether it is there at all."""
    LOCK_CREATED = "lock.created"
    PROPOSAL_OPENED = "proposal.opened"
    MERGE_FINISHED = "merge.finished"


resolution_changes = frozenset(
    {
        EventType.VERSION_PUBLISHED,
        EventType.VERSION_DELETED,
        EventType.VERSION_RECALLED,
        EventType.VERSION_RESTORED,
        EventType.ALIAS_MOVED,
        EventType.ALIAS_REMOVED,
        EventType.REPOSITORY_CHANGED,
    }
)
"""After one of these in a repository a stack that looks there may come to another outcome."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened in a repository."""

    id: int
    type: EventType
    at: datetime
    repository: UUID
    version: UUID | None
    """Who may not read this version is told nothing."""
    details: dict[str, Any]
