"""The k-th largest of very many values that exist only while one looks at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt

import torch
from torch import Tensor

from app.kernel.buffers import Buffer, fresh_on

deviations = 3.5
"""Of a sample's quantile, on either side of it, where the value is looked for; four times as many after each miss."""
few = 1 << 13
"""Values of which the k-th largest is found at once."""
slack = 128
"""Places in a sample of a few, between which the k-th largest of all nearly always is."""


def kth_largest(values: Tensor, k: int) -> float:
    """Of a vector; infinity for k = 0. Many are first narrowed down to those around it, at a tenth of the cost."""
    if k == 0:
        return torch.inf
    while len(values) > 2 * few:
        # an odd step, which falls into no pattern of a power of two
        sample = values[:: len(values) // few | 1].sort(descending=True).values
        place = k * len(sample) // len(values)
        high, low = sample[max(place - slack, 0)], sample[min(place + slack, len(sample) - 1)]
        above, around = between(values, float(low), float(high), fresh_on(values.device))
        if not above < k <= above + len(around) or 2 * len(around) > len(values):
            break
        values, k = around, k - above
    return float(values.kthvalue(len(values) - k + 1).values)


def next_to(value: float, towards: float, dtype: torch.dtype) -> float:
    """The value of `dtype` beside one of its own."""
    return float(torch.nextafter(torch.tensor(value, dtype=dtype), torch.tensor(towards, dtype=dtype)))


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
    width: float = deviations
    """In standard deviations of the sample's quantile."""
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
        margin = self.width * (sqrt(place * (1 - place) / len(self.sample)) + 1 / len(self.sample))
        low, high = ceil((place + margin) * last), floor((place - margin) * last)
        if low <= last and (bound := kth_largest(self.sample, low + 1)) < self.high:
            self.low = max(self.low, bound)
        if high >= 0 and (bound := kth_largest(self.sample, high + 1)) > self.low:
            self.high = min(self.high, bound)

    def look(self, first: int, last: int, buffer: Buffer) -> Look:
        """In some rows: how many are at least `high`, how many are above `low`, and those between."""
        values = self.values(first, last).flatten()
        at_least_high, inside = between(values, self.low, self.high, buffer)
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


def between(values: Tensor, low: float, high: float, buffer: Buffer) -> tuple[int, Tensor]:
    """Of a vector: how many are at least `high`, and those below it that are above `low`."""
    # comparisons that write numbers, and their conversion, are several times as fast as those that write truth
    above = torch.gt(values, low, out=buffer("above", len(values), dtype=values.dtype))
    at_least = torch.ge(values, high, out=buffer("high", len(values), dtype=values.dtype))
    count = int(at_least.sum())
    mask = buffer("between", len(values), dtype=torch.bool).copy_(above.sub_(at_least))
    if len(values) % 8 == 0:
        # where the mask is empty for eight places in a row they are passed at once
        eights = mask.view(torch.int64).nonzero().squeeze(1)
        values = values.view(-1, 8).index_select(0, eights).flatten()
        mask = mask.view(-1, 8).index_select(0, eights).flatten()
    return count, values[mask]
