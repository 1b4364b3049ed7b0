"""A commit: one state of a repository's files."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.number import VersionNumber


@dataclass(frozen=True, slots=True)
class Commit:
    id: str
    """40 hex digits."""
    repository_id: UUID
    tree: str
    parents: tuple[str, ...]
    author: str
    message: str
    created_at: datetime
    number: VersionNumber | None = None
    """The version that it is; None: its files are no valid content, or stand on another ref than `main`."""
    base_model: BaseModel | None = None
    """Of the version."""
    card: dict[str, Any] = field(default_factory=dict)
    """The data at the head of README.md."""
    tags: tuple[str, ...] = ()
    """What it is found by: of the card, and of what the files say."""

    @property
    def title(self) -> str:
        return self.message.partition("\n")[0]

    @property
    def description(self) -> str:
        return self.message.partition("\n")[2].strip()
