"""Who is merged in an element: everybody, or those who agree with an elected sign. Sums over the deltas, one at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import copysign

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
        merged = Ballot(self)
        for value, weight in values:
            merged.add(value, weight)
        return merged.result()


class Ballot:
    """The sums that decide an election and its result, both sides of it in one.

    What agrees with a sign e = ±1 sums to (Σ weight·value + e·Σ weight·|value|) / 2, and so do the divisors.
    """

    def __init__(self, election: Election) -> None:
        self.election = election
        self.votes: Tensor | None = None

    def add(self, value: Tensor, weight: float) -> None:
        election = self.election
        # whose weight is negative stands for the other sign, where weights are counted
        side = copysign(1.0, weight) if election.counts_weights else 1.0
        if self.votes is None:
            self.sums, self.magnitudes = torch.zeros_like(value), torch.zeros_like(value)
            self.sides, self.present = torch.zeros_like(value), torch.zeros_like(value)
            self.votes = self.sums if election.counts_weights else torch.zeros_like(value)
        self.sums.add_(value, alpha=weight)
        self.magnitudes.add_(value.abs(), alpha=weight * side)
        if not election.counts_weights:
            self.votes.add_(value)
        if election.divisor is not Divisor.NOTHING:
            share = weight if election.divisor is Divisor.WEIGHTS else 1.0
            sign = value.sign()
            self.sides.add_(sign, alpha=share * side)
            self.present.add_(sign.abs_(), alpha=share)

    def result(self) -> Tensor:
        if self.votes is None:
            raise ValueError("an election needs a value")
        # signs by arithmetic: a comparison costs as much as four additions
        if self.election.tie_is_plus:
            elected = self.votes.sign().add_(0.5).sign_()
        else:
            is_clear = self.votes.abs().sub_(self.magnitudes, alpha=rounding).clamp_(min=0.0).sign_()
            elected = self.votes.sign().mul_(is_clear)
        merged = self.magnitudes.mul_(elected).add_(self.sums)
        match self.election.divisor:
            case Divisor.NOTHING:
                merged.div_(2.0)
            case Divisor.COUNT:
                # both are twice what they stand for
                merged.div_(self.sides.mul_(elected).add_(self.present).clamp_(min=2.0))
            case Divisor.WEIGHTS:
                divisor = self.sides.mul_(elected).add_(self.present)
                merged.div_(divisor.where(divisor != 0, 1.0))
        # beside a tie stands what rounding left of the sum
        return merged if self.election.tie_is_plus else merged.mul_(elected.abs_())


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
