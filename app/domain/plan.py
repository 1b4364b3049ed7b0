"""What will be executed; computed from headers and lineage alone."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.recipe import Method, Output, WeightFile


@dataclass(frozen=True, slots=True)
class Member:
    """One summand of a merge: a version, its role, and its weight in the sum."""

    version: UUID
    reference: str
    digest: Digest
    content_digest: Digest
    role: Role
    weight: float
    because: tuple[Digest, ...] = ()
    """Of a trunk member: the version digests of the branches that need it, in the order of the layers."""
    foundation: tuple[tuple[Digest, float], ...] = ()
    """Of a member whose change depends on the values that it was trained upon: what it stands on as it was published, by
    content digest, at its weights, sorted. Empty for all others."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """An edge that a pin redirected."""

    replaced: UUID
    replacement: UUID
    replaced_reference: str
    replacement_reference: str
    because: tuple[UUID, ...]
    """The versions whose edges were redirected."""


@dataclass(frozen=True, slots=True)
class Warning:
    """Something the caller should know and that does not stop the merge; `facts` name versions by uuid under `versions`."""

    name: str
    detail: str
    versions: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """What lineage made of a recipe: who is summed, in which role and at which weight."""

    branches: tuple[Member, ...]
    """In the order of the layers."""
    trunk: tuple[Member, ...]
    """Sorted by content digest."""
    covered: tuple[Member, ...]
    substitutions: tuple[Substitution, ...]
    warnings: tuple[Warning, ...]
    base_model: BaseModel | None
    """The most specific of the members' bases."""


@dataclass(frozen=True, slots=True)
class BasePart:
    """The base model of a model output, in this registry."""

    version: UUID
    reference: str
    digest: Digest
    content_digest: Digest


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be executed, with its cost."""

    base_model: BaseModel | None
    trunk: tuple[Member, ...]
    branches: tuple[Member, ...]
    covered: tuple[Member, ...]
    substitutions: tuple[Substitution, ...]
    warnings: tuple[Warning, ...]
    method: Method
    output: Output
    base: BasePart | None
    modules: int
    rank_min: int
    rank_max: int
    is_exact: bool
    bytes_read: int
    bytes_written: int
    peak_bytes: int
    task_type: str | None = None
    """What the adapters are for, if they agree; written into the result's configuration."""
    pins: tuple[tuple[str, UUID], ...] = ()
    """Each pin's repository, as it was asked for, and the version that it names."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Everything that is summed, in the one order that makes results equal whatever the roles: by content digest."""
        return tuple(sorted(self.trunk + self.branches, key=lambda member: member.content_digest))


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a finished merge tells of itself; JSON values."""

    values: dict[str, Any] = field(default_factory=dict)


__all__ = ["BasePart", "Member", "MergeReport", "Plan", "Resolution", "Substitution", "Warning", "WeightFile"]
