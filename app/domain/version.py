"""A version as readers see it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.digest import Digest
from app.domain.lineage import Kind, Relation, Role, VersionState
from app.domain.number import VersionNumber

pickled_suffixes = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class File:
    path: str
    digest: Digest
    size_bytes: int
    kind: str = "other"
    """By its bytes: safetensors, pickle, zip, …"""
    git_sha1: str | None = None
    """What git calls it; None where that was not asked for, and of what git would keep by LFS."""

    @property
    def is_pickle(self) -> bool:
        """An attachment that can run code when it is loaded: by its bytes, or by a name that loaders take for a pickle."""
        return self.kind == "pickle" or self.path.lower().endswith(pickled_suffixes)


@dataclass(frozen=True, slots=True)
class Parent:
    """One edge of a version as a reader may see it; of a hidden parent only relation, weight and role are told."""

    version: UUID
    relation: Relation
    weight: float
    role: Role | None
    reference: str
    digest: Digest
    is_readable: bool
    is_public: bool


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable, numbered commit of valid content."""

    id: UUID
    repository_id: UUID
    namespace_id: UUID
    repository: str
    is_public: bool
    kind: Kind
    number: VersionNumber
    digest: Digest
    content_digest: Digest
    commit: str
    base_model: BaseModel | None
    summary: dict[str, Any]
    """What the files say in short, as JSON: of an adapter the member `adapter` of the answer, of a model `model`."""
    license: str | None
    datasets: tuple[Any, ...]
    metrics: dict[str, Any]
    notes: str | None
    created_by: str
    created_at: datetime
    state: VersionState
    is_exact_linear: bool
    deleted_at: datetime | None
    files: tuple[File, ...] = ()
    parents: tuple[Parent, ...] = ()

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.number}"
