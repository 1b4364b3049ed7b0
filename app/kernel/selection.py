"""The k-th largest of very many values that exist only while one looks at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Protocol

import torch
from torch import Tensor

samples = 1 << 16
"""Looked at to guess where the value lies: the guess is off by 0.002 of all values, as a rule."""
margin = 0.006
"""Of all values, on either side of the guess; four times as much after each miss."""


def kth_largest(values: Tensor, k: int) -> float:
    """Of a vector; infinity for k = 0."""
    if k == 0:
        return torch.inf
    return float(values.kthvalue(len(values) - k + 1).values)


def next_to(value: float, towards: float, dtype: torch.dtype) -> float:
    """The value of `dtype` beside one of its own."""
    return float(torch.nextafter(torch.tensor(value, dtype=dtype), torch.tensor(towards, dtype=dtype)))


class Buffer(Protocol):
    """Working memory by name; see `Tiles.buffer`."""

    def __call__(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor: ...


Look = tuple[int, int, Tensor]


@dataclass
class Search:
    """For the k-th largest of values ≥ 0, by sweeps over all of them.

    A sweep counts what is above a bracket and gathers what is inside; exact, whatever the guess was.
    """

    values: Callable[[int, int], Tensor]
    """Of the rows from one to another; contiguous."""
    count: int
    """Of all values."""
    k: int
    sample: Tensor
    """Values picked without regard to their size, of the values' dtype."""
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
        else:
            self.guess()

    def guess(self) -> None:
        """A bracket around the quantile, inside of what is known."""
        place = self.k / self.count
        last = len(self.sample) - 1
        low, high = ceil((place + self.width) * last), floor((place - self.width) * last)
        if low <= last and (bound := kth_largest(self.sample, low + 1)) < self.high:
            self.low = max(self.low, bound)
        if high >= 0 and (bound := kth_largest(self.sample, high + 1)) > self.low:
            self.high = min(self.high, bound)

    def look(self, first: int, last: int, buffer: Buffer) -> Look:
        """In some rows: how many are at least `high`, how many are above `low`, and those between."""
        values = self.values(first, last).flatten()
        # comparisons that write numbers, and their conversion, are several times as fast as those that write truth
        above = torch.gt(values, self.low, out=buffer("above", len(values)))
        high = torch.ge(values, self.high, out=buffer("high", len(values)))
        at_least_high = int(high.sum())
        between = buffer("between", len(values), dtype=torch.bool).copy_(above.sub_(high))
        inside = selected(values, between)
        return at_least_high, at_least_high + len(inside), inside

    def conclude(self, looks: Sequence[Look]) -> None:
        """After a sweep: the value is found, or the bracket moves to where it must be."""
        at_least_high = sum(look[0] for look in looks)
        above_low = sum(look[1] for look in looks)
        self.width *= 4
        if at_least_high >= self.k:
            # it may be `high` itself
            self.low, self.high = next_to(self.high, 0.0, self.sample.dtype), torch.inf
            self.guess()
        elif above_low >= self.k:
            self.found = kth_largest(torch.cat([look[2] for look in looks]), self.k - at_least_high)
        elif self.low == 0:
            self.found = 0.0
        else:
            self.low, self.high = 0.0, next_to(self.low, torch.inf, self.sample.dtype)
            self.guess()


def selected(values: Tensor, mask: Tensor) -> Tensor:
    """values[mask] of vectors; where a mask is empty for eight places in a row they are passed at once."""
    if len(values) % 8 == 0:
        eights = mask.view(torch.int64).nonzero().squeeze(1)
        values = values.view(-1, 8).index_select(0, eights).flatten()
        mask = mask.view(-1, 8).index_select(0, eights).flatten()
    return values[mask]
