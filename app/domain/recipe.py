"""What is asked of a merge."""

from bisect import bisect_left
from collections.abc import Iterator
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
class Ranks:
    """A rank for each module: of the longest entry that is its name, or the end of it after a dot; else the default."""

    default: int
    modules: tuple[tuple[str, int], ...]
    """Sorted by name."""

    def entries_of(self, module: str) -> Iterator[tuple[str, int]]:
        """Those that fit the module of this name, the longest first."""
        parts = module.split(".")
        for start in range(len(parts)):
            end = ".".join(parts[start:])
            place = bisect_left(self.modules, (end,))
            if place < len(self.modules) and self.modules[place][0] == end:
                yield self.modules[place]

    def of(self, module: str) -> int:
        return next((rank for _, rank in self.entries_of(module)), self.default)


@dataclass(frozen=True, slots=True)
class Method:
    """A merge method and its parameters, all defaults filled in."""

    name: str = "linear"
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """`rank` None is exact, an integer the best approximation of that rank; `dtype` None (models only) is the base's."""

    kind: OutputKind = OutputKind.ADAPTER
    rank: int | Ranks | Energy | None = None
    dtype: Dtype | None = Dtype.FLOAT32
    trunk: Trunk = Trunk.INCLUDED

    def as_json(self) -> dict[str, Any]:
        """As a recipe writes it."""
        rank: Any = self.rank
        if isinstance(self.rank, Energy):
            rank = {"energy": self.rank.energy}
        elif isinstance(self.rank, Ranks):
            rank = {"default": self.rank.default, "modules": dict(self.rank.modules)}
        dtype = None if self.dtype is None else self.dtype.value
        return {"kind": self.kind.value, "rank": rank, "dtype": dtype, "trunk": self.trunk.value}

    def rank_of(self, module: str) -> int | None:
        """Asked for in one module; None where that is left to the sum, or to an energy."""
        if isinstance(self.rank, Ranks):
            return self.rank.of(module)
        return self.rank if isinstance(self.rank, int) else None


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
