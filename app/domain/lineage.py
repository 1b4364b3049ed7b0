"""Versions and the edges between them."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.digest import Digest
from app.domain.number import VersionNumber


class Kind(StrEnum):
    ADAPTER = "adapter"
    MODEL = "model"
    STACK = "stack"


class Relation(StrEnum):
    """What a parent is to its child."""

    BUILDS_ON = "builds_on"
    """Trained with the parent's delta applied, and adding to it."""
    INITIALIZED_FROM = "initialized_from"
    """Training started from the parent's weights, and the child replaces it."""
    MERGED_FROM = "merged_from"
    EXTRACTED_FROM = "extracted_from"


class Role(StrEnum):
    """What a source was in the merge (or extraction) that used it."""

    TRUNK = "trunk"
    BRANCH = "branch"
    BASE = "base"


class VersionState(StrEnum):
    PUBLISHED = "published"
    RECALLED = "recalled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Edge:
    """From a child to one parent."""

    parent: UUID
    relation: Relation
    weight: float = 1.0
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class LineageVersion:
    """What lineage knows of a version: all that planning needs before any file is looked at."""

    id: UUID
    repository: UUID
    repository_name: str
    kind: Kind
    number: VersionNumber
    digest: Digest
    content_digest: Digest
    state: VersionState
    is_readable: bool
    """By the caller, now."""
    base_model: BaseModel | None
    edges: tuple[Edge, ...]
    is_exact_linear: bool = False
    """Made by this registry as an exact linear merge: its contents are known to the last weight."""

    @property
    def reference(self) -> str:
        return f"{self.repository_name}@{self.number}"
