"""Deltas that exist one tile of rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from app.kernel.factors import Branch
from app.kernel.rounding import round_once
from app.kernel.selection import Search, samples
from app.kernel.threads import in_order

tile_values = 1 << 16
"""Of one tile: a handful of float64 copies fit a processor's caches."""
sampled_at_once = 1 << 13

Made = TypeVar("Made")


class Tiles:
    """The branches' deltas without their weights, in rows of the module's weight.

    The table of tiles goes by the shape alone, and each is computed by one thread: a value has the same bits in every
    sweep, whatever the number of threads, so that it is always on one side of a threshold.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = branches
        self.shape = branches[0].delta.shape
        self.a = [branch.delta.a.double() for branch in branches]
        self.b = [branch.delta.b.double() * branch.delta.gain for branch in branches]
        self.device = self.a[0].device
        rows, columns = self.shape
        self.rows_at_once = max(1, tile_values // columns)
        self.bounds = [(first, min(first + self.rows_at_once, rows)) for first in range(0, rows, self.rows_at_once)]

    @property
    def weights(self) -> list[float]:
        return [branch.weight for branch in self.branches]

    def delta(self, index: int, first: int, last: int) -> Tensor:
        """Rows of one Δ; [rows, in], float64, new memory."""
        return self.b[index][first:last] @ self.a[index]

    def each(self, work: Callable[[int, int], Made]) -> Iterator[Made]:
        """`work` of every tile's bounds, in order, on as many threads as torch has."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        return in_order(lambda bounds: work(*bounds), self.bounds, threads)

    def total(self, work: Callable[[int, int], Tensor]) -> Tensor:
        """The sum of a small tensor over all tiles, in their order."""
        return torch.stack(list(self.each(work))).sum(dim=0)

    def sample(self) -> Tensor:
        """The deltas at some places, chosen without regard to their values; [N, places], float64."""
        rows, columns = self.shape
        random = torch.Generator().manual_seed(0)
        places = torch.randint(rows * columns, (min(samples, rows * columns),), generator=random).to(self.device)
        parts = []
        for part in torch.split(places, sampled_at_once):
            row, column = part // columns, part % columns
            pairs = zip(self.a, self.b, strict=True)
            parts.append(torch.stack([(b[row] * a.mT[column]).sum(dim=1) for a, b in pairs]))
        return torch.cat(parts, dim=1)

    def search(self, values: Callable[[int, int], Tensor], k: int, sample: Tensor) -> Search:
        """For the k-th largest of what `values` gives for the rows of every tile."""
        rows, columns = self.shape
        return Search(values, rows * columns, k, sample.sort().values.cpu())

    def find(self, searches: Sequence[Search]) -> list[float]:
        """What each search is for, by common sweeps."""
        while unfinished := [one for one in searches if one.found is None]:
            looks = list(self.each(lambda first, last: [one.look(first, last) for one in unfinished]))
            for index, one in enumerate(unfinished):
                one.conclude([tile[index] for tile in looks])
        return [one.found for one in searches if one.found is not None]


@dataclass(frozen=True, slots=True)
class Tiled:
    """A module's whole change, one tile at a time: what a method makes of the branches, and a sum beside it."""

    tiles: Tiles
    merge: Callable[[int, int], Tensor]
    """Of the rows from one to another; [rows, in], float64, new memory."""
    summed: tuple[Tensor, Tensor] | None = None
    """A [R, in] and B [out, R], float64, of what is added linearly."""

    def tile(self, first: int, last: int) -> Tensor:
        """Rows of the change; float64, new memory."""
        merged = self.merge(first, last)
        if self.summed is None:
            return merged
        a, b = self.summed
        return merged.addmm_(b[first:last], a)

    def add_to_base(self, base: Tensor, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """Rows of W + ΔW, summed in float64 and rounded once; [rows, in] of `dtype`."""
        return round_once(self.tile(first, last).add_(base), dtype)
