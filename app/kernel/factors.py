"""One adapter's part in one module."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

range_of_float32 = (1e-15, 1e15)
"""Of the largest values of A and of gain·B, so that no product of theirs comes near the ends of float32."""


@dataclass(frozen=True, slots=True)
class Factors:
    """gain·B·A, one summand of a module's delta.

    `a` is [r, in] and `b` [out, r], float16, bfloat16, float32 or float64; `gain` is weight·scaling, no unit.
    Raises: ValueError when the two do not fit together.
    """

    a: Tensor
    b: Tensor
    gain: float

    def __post_init__(self) -> None:
        if self.a.ndim != 2 or self.b.ndim != 2 or self.a.shape[0] != self.b.shape[1]:
            raise ValueError(f"B·A needs [out, r] and [r, in], not {list(self.b.shape)} and {list(self.a.shape)}")

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the delta: (out, in)."""
        return self.b.shape[0], self.a.shape[1]

    def transposed(self) -> Self:
        """The factors of (B·A)ᵀ = Aᵀ·Bᵀ, for a base that stores its weight as [in, out]; views, no copy."""
        return type(self)(a=self.b.mT, b=self.a.mT, gain=self.gain)

    def dense(self) -> Tensor:
        """gain·B·A; [out, in], float64."""
        product: Tensor = self.gain * (self.b.double() @ self.a.double())
        return product


@dataclass(frozen=True, slots=True)
class Branch:
    """One adapter's part in one module as a method takes it: what it changes, and what its vote weighs."""

    delta: Factors
    """Its gain is the scaling alone, so that Δ is what the adapter was trained to be."""
    weight: float
    """Not 0: a branch at weight 0 has no vote."""
    identity: str = ""
    """Names adapter and module; with the seed it decides the branch's random numbers."""

    def transposed(self) -> Self:
        return type(self)(self.delta.transposed(), self.weight, self.identity)


def fits_float32(factor: Tensor) -> bool:
    lowest, highest = range_of_float32
    largest = float(factor.abs().max()) if factor.numel() else 0.0
    return largest == 0 or lowest <= largest <= highest
