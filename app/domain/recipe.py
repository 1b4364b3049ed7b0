"""What is asked of a merge."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.domain.digest import Digest


class Overlaps(StrEnum):
    REFUSE = "refuse"
    COVERED = "covered"
    ALLOW = "allow"


class Ancestors(StrEnum):
    REFUSE = "refuse"
    BRANCH = "branch"


class OutputKind(StrEnum):
    ADAPTER = "adapter"
    MODEL = "model"


class Trunk(StrEnum):
    INCLUDED = "included"
    REFERENCED = "referenced"


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True, slots=True)
class Energy:
    """The smallest rank, per module, that keeps this share of the squared singular values; 0 < share ≤ 1."""

    energy: float


@dataclass(frozen=True, slots=True)
class Method:
    """A merge method and its parameters, all defaults filled in."""

    name: str = "linear"
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """`rank` None is exact, an integer the best approximation of that rank; `dtype` None (models only) is the base's."""

    kind: OutputKind = OutputKind.ADAPTER
    rank: int | Energy | None = None
    dtype: Dtype | None = Dtype.FLOAT32
    trunk: Trunk = Trunk.INCLUDED


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry of a recipe as it was asked for."""

    adapter: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Publish:
    repository: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is asked: references not yet resolved, defaults filled in."""

    layers: tuple[Layer, ...]
    method: Method = field(default_factory=Method)
    output: Output = field(default_factory=Output)
    conflicts: dict[str, str] = field(default_factory=dict)
    """Pins: repository → version, alias or digest."""
    overlaps: Overlaps = Overlaps.REFUSE
    ancestors: Ancestors = Ancestors.REFUSE
    publish: Publish | None = None


@dataclass(frozen=True, slots=True)
class ResolvedLayer:
    """A layer whose reference has become a version of the catalogue."""

    version: UUID
    weight: float
    asked: str
    """The reference as it was given, for messages."""


@dataclass(frozen=True, slots=True)
class ResolvedPin:
    """A pin whose reference has become a version: edges to other versions of its repository are redirected to it."""

    repository: UUID
    version: UUID
    asked: str
    pointer: str
    """JSON pointer of the pin in the recipe."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of tensors in the store."""

    path: str
    digest: Digest
    size_bytes: int
