"""Who is merged in an element: everybody, or those who agree with an elected sign. Sums over the deltas, one at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

rounding = 1e-12
"""Of the sum of all magnitudes: a vote that is closer is a tie."""


class Divisor(StrEnum):
    """What the sum over those who agree is divided by."""

    NOTHING = "nothing"
    COUNT = "count"
    WEIGHTS = "weights"


@dataclass(frozen=True, slots=True)
class Election:
    """How an element's sign is elected, and what becomes of those who agree."""

    divisor: Divisor
    counts_weights: bool = True
    """The sign is that of Σ weight·value, not of Σ value."""
    tie_is_plus: bool = True
    """Else a tie elects nobody, and the element is 0: an exact one, or one that rounding has broken."""

    def merge(self, values: Iterable[tuple[Tensor, float]]) -> Tensor:
        """(value, weight) of each delta, one shape → their merge; float64. A value of 0 has no vote."""
        sums: list[Tensor] = []
        divisors: list[Tensor] = []
        total: Tensor | None = None
        for value, weight in values:
            weighted = value * weight
            voter = weighted if self.counts_weights else value
            if not sums:
                sums = [torch.zeros_like(value), torch.zeros_like(value)]
                divisors = [torch.zeros_like(value), torch.zeros_like(value)]
                total = torch.zeros_like(value)
            if total is not None:
                total += voter
            for sign, (side, divisor) in enumerate(zip(sums, divisors, strict=True)):
                agrees = voter > 0 if sign == 0 else voter < 0
                side += torch.where(agrees, weighted, 0.0)
                if self.divisor is not Divisor.NOTHING:
                    divisor.add_(agrees, alpha=weight if self.divisor is Divisor.WEIGHTS else 1.0)
        if total is None:
            raise ValueError("an election needs a value")
        plus, minus = sums
        is_tied = None if self.tie_is_plus else total.abs() <= rounding * (plus - minus)
        for side, divisor in zip(sums, divisors, strict=True):
            if self.divisor is not Divisor.NOTHING:
                side /= divisor.where(divisor != 0, 1.0)
        merged = torch.where(total >= 0, plus, minus)
        return merged if is_tied is None else merged.masked_fill_(is_tied, 0.0)


elections = {
    "paper": Election(Divisor.COUNT, tie_is_plus=False),
    "peft": Election(Divisor.COUNT, counts_weights=False),
    "mergekit": Election(Divisor.WEIGHTS),
    "weighted_sum": Election(Divisor.NOTHING),
}
"""By convention; `weighted_sum` is mergekit's for the methods that it does not normalize."""


def weighted_sum(values: Iterable[tuple[Tensor, float]]) -> Tensor:
    """Everybody is merged."""
    total: Tensor | None = None
    for value, weight in values:
        total = value * weight if total is None else total.add_(value, alpha=weight)
    if total is None:
        raise ValueError("a sum needs a value")
    return total
