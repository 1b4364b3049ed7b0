"""The k-th largest of very many values that exist only while one looks at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, nextafter

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
        """In some rows: how many are at least `high`, how many are above `low`, and those between."""
        values = self.values(first, last)
        is_high, is_above = values >= self.high, values > self.low
        inside = values[is_above & ~is_high]
        return int(torch.count_nonzero(is_high)), int(torch.count_nonzero(is_above)), inside

    def conclude(self, looks: Sequence[Look]) -> None:
        """After a sweep: the value is found, or the bracket moves to where it must be."""
        at_least_high = sum(look[0] for look in looks)
        above_low = sum(look[1] for look in looks)
        self.width *= 4
        if at_least_high >= self.k:
            # it may be `high` itself
            self.low, self.high = nextafter(self.high, 0.0), torch.inf
            self.guess()
        elif above_low >= self.k:
            self.found = kth_largest(torch.cat([look[2] for look in looks]), self.k - at_least_high)
        elif self.low == 0:
            self.found = 0.0
        else:
            self.low, self.high = 0.0, nextafter(self.low, torch.inf)
            self.guess()
