"""Deltas that exist one tile of rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import torch
from torch import Tensor

from app.kernel.buffers import Buffers
from app.kernel.factors import Branch, fits_float32
from app.kernel.rounding import round_once
from app.kernel.selection import Search
from app.kernel.threads import in_order

tile_values = 1 << 19
"""Of one delta's tile, at most: a call takes longer than making it."""
values_at_once = 1 << 20
"""Of one tile of all deltas: a processor's caches hold them."""
sample_blocks = 64
"""That a sample is taken from, of rows and columns of which none is in two blocks: a 64th of all elements."""

Made = TypeVar("Made")


class Tiles:
    """The branches' deltas without their weights, in rows of the module's weight.

    The table of tiles goes by the shape and the number of deltas alone, and each is computed by one thread: a value has the
    same bits in every sweep, whatever the number of threads, so that it is always on one side of a threshold.

    Args:
        dtype: that deltas are computed in. float32 is enough for a result of 16 bits and is twice as fast; where it may
            not hold the values (see `range_of_float32`) it is float64 all the same.
    """

    def __init__(self, branches: Sequence[Branch], dtype: torch.dtype = torch.float64) -> None:
        self.branches = branches
        self.shape = branches[0].delta.shape
        a = [branch.delta.a for branch in branches]
        b = [branch.delta.b.double() * branch.delta.gain for branch in branches]
        self.dtype = dtype if all(map(fits_float32, [*a, *b])) else torch.float64
        self.a = [factor.to(self.dtype) for factor in a]
        self.b = [factor.to(self.dtype) for factor in b]
        self.device = self.a[0].device
        rows, columns = self.shape
        self.rows_at_once = max(1, min(tile_values, values_at_once // len(branches)) // columns)
        self.bounds = [(first, min(first + self.rows_at_once, rows)) for first in range(0, rows, self.rows_at_once)]
        self.buffers = Buffers()

    @property
    def weights(self) -> list[float]:
        return [branch.weight for branch in self.branches]

    @property
    def rounding(self) -> float:
        """How close a vote must be to be a tie that rounding has broken, as a share of the sum of all magnitudes."""
        return 1e-12 if self.dtype is torch.float64 else 4 * torch.finfo(self.dtype).eps

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Working memory of the calling thread; see `Buffers`."""
        return self.buffers.take(name, shape, dtype or self.dtype, self.device)

    def delta(self, index: int, first: int, last: int, out: Tensor) -> Tensor:
        """Rows of one Δ, in `out`; [rows, in]."""
        return torch.mm(self.b[index][first:last], self.a[index], out=out)

    def each(self, work: Callable[[int, int], Made]) -> Iterator[Made]:
        """`work` of every tile's bounds, in order, on as many threads as torch has."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        return in_order(lambda bounds: work(*bounds), self.bounds, threads)

    def total(self, work: Callable[[int, int], Tensor]) -> Tensor:
        """The sum of a small tensor over all tiles, in their order; float64."""
        return torch.stack(list(self.each(work))).sum(dim=0, dtype=torch.float64)

    def sample(self) -> Tensor:
        """The deltas where some random rows and columns cross, chosen without regard to their values; [N, places].

        Every row and every column is there, as often as any other: what makes one larger than another is no error.
        """
        random = torch.Generator().manual_seed(0)
        rows, columns = (shuffled(side, random).to(self.device) for side in self.shape)
        crossings = []
        for a, b in zip(self.a, self.b, strict=True):
            b_rows = b.index_select(0, rows).view(sample_blocks, -1, b.shape[1])
            a_columns = a.mT.contiguous().index_select(0, columns).view(sample_blocks, -1, len(a))
            crossings.append((b_rows @ a_columns.mT).flatten())
        return torch.stack(crossings)

    def search(self, values: Callable[[int, int], Tensor], k: int, sample: Tensor) -> Search:
        """For the k-th largest of what `values` gives for the rows of every tile."""
        rows, columns = self.shape
        return Search(values, rows * columns, k, sample)

    def find(self, searches: Sequence[Search]) -> list[float]:
        """What each search is for, by common sweeps."""
        while unfinished := [one for one in searches if one.found is None]:
            looks = list(self.each(lambda first, last: [one.look(first, last, self.buffer) for one in unfinished]))
            for index, one in enumerate(unfinished):
                one.conclude([tile[index] for tile in looks])
        return [one.found for one in searches if one.found is not None]


def shuffled(side: int, random: torch.Generator) -> Tensor:
    """All numbers below `side` in random order, some of them again until the blocks of a sample have equally many."""
    order = torch.randperm(side, generator=random)
    length = ceil(side / sample_blocks) * sample_blocks
    return order.repeat(ceil(length / side))[:length]


@dataclass(frozen=True, slots=True)
class Tiled:
    """A module's whole change, one tile at a time: what a method makes of the branches, and a sum beside it."""

    tiles: Tiles
    merge: Callable[[int, int], Tensor]
    """Of the rows from one to another; [rows, in], of the tiles' dtype, new memory."""
    summed: tuple[Tensor, Tensor] | None = None
    """A [R, in] and B [out, R], of the tiles' dtype, of what is added linearly."""

    def tile(self, first: int, last: int) -> Tensor:
        """Rows of the change; of the tiles' dtype, new memory."""
        merged = self.merge(first, last)
        if self.summed is None:
            return merged
        a, b = self.summed
        return merged.addmm_(b[first:last], a)

    def add_to_base(self, base: Tensor, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """Rows of W + ΔW, summed in the tiles' dtype and rounded once; [rows, in] of `dtype`, new memory."""
        return round_once(self.tile(first, last).add_(base), dtype)
