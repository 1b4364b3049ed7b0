"""The k-th largest of very many values that exist only while one looks at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import torch
from torch import Tensor

samples = 1 << 16
"""Looked at to guess where the value lies: the guess is off by less than 0.002 of all values, next to always."""
margin = 0.008
"""Of all values, on either side of the guess; four times as much after each miss."""


def kth_largest(values: Tensor, k: int) -> float:
    """Of a vector; infinity for k = 0."""
    if k == 0:
        return torch.inf
    return float(values.kthvalue(len(values) - k + 1).values)


Look = tuple[int, int, Tensor]


@dataclass
class Search:
    """For the k-th largest of values ≥ 0, by sweeps over all of them.

    A sweep counts what is above a bracket and gathers what is inside; exact, whatever the guess was.
    """

    values: Callable[[int, int], Tensor]
    """Of the rows from one to another."""
    count: int
    """Of all values."""
    k: int
    sample: Tensor
    """Ascending: values picked without regard to their size."""
    low: float = 0.0
    high: float = torch.inf
    width: float = margin
    found: float | None = None

    def __post_init__(self) -> None:
        if self.k == 0:
            self.found = torch.inf
        elif self.k == self.count:
            # everything is kept, whatever the least of it
            self.found = 0.0
        self.guess()

    def guess(self) -> None:
        """A bracket around the quantile, inside of what is known."""
        place = 1 - self.k / self.count
        last = len(self.sample) - 1
        low, high = floor((place - self.width) * last), ceil((place + self.width) * last)
        if low >= 0 and float(self.sample[low]) < self.high:
            self.low = max(self.low, float(self.sample[low]))
        if high <= last and float(self.sample[high]) > self.low:
            self.high = min(self.high, float(self.sample[high]))

    def look(self, first: int, last: int) -> Look:
        """In some rows: how many are at least `high`, how many at least `low`, and those strictly between."""
        values = self.values(first, last)
        at_least_low = values >= self.low
        candidates = values[at_least_low]
        is_below = candidates < self.high
        inside = candidates[is_below & (candidates > self.low)]
        return len(candidates) - int(is_below.sum()), len(candidates), inside

    def conclude(self, looks: Sequence[Look]) -> None:
        """After a sweep: the value is found, or the bracket moves to where it must be."""
        at_least_high = sum(look[0] for look in looks)
        at_least_low = sum(look[1] for look in looks)
        self.width *= 4
        if at_least_high >= self.k:
            self.low, self.high = self.high, torch.inf
            self.guess()
        elif at_least_low < self.k:
            self.low, self.high = 0.0, self.low
            self.guess()
        else:
            inside = torch.cat([look[2] for look in looks])
            rest = self.k - at_least_high
            self.found = kth_largest(inside, rest) if rest <= len(inside) else self.low
