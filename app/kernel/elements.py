"""Methods that look at every element of every delta, by tiles: never more than a tile of a delta is there.

First what an element must know of its whole matrix (a threshold, a sum), by sweeps; then the merge of any tile.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from app.kernel.elections import Election, elections, weighted_sum
from app.kernel.factors import Branch
from app.kernel.random_numbers import key_of, uniform
from app.kernel.selection import next_to
from app.kernel.tiles import Tiled, Tiles

Cut = Callable[[int, int, Tensor], None]
"""(index of the delta, first row, its rows from there on [rows, in]): drops and rescales elements, in place."""


def ties(branches: Sequence[Branch], dtype: torch.dtype, *, density: float, scale: float, convention: str) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, trimmed(tiles, density), elections[convention], scale)


def magnitude_prune(branches: Sequence[Branch], dtype: torch.dtype, *, density: float, scale: float) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, trimmed(tiles, density), None, scale)


def dare_linear(
    branches: Sequence[Branch], dtype: torch.dtype, *, density: float, scale: float, seed: int, convention: str
) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, dropped(tiles, density, seed, convention), None, scale)


def dare_ties(
    branches: Sequence[Branch], dtype: torch.dtype, *, density: float, scale: float, seed: int, convention: str
) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, dropped(tiles, density, seed, convention), unnormalized(convention), scale)


def breadcrumbs(branches: Sequence[Branch], dtype: torch.dtype, *, density: float, gamma: float, scale: float) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, banded(tiles, density, gamma), None, scale)


def breadcrumbs_ties(
    branches: Sequence[Branch], dtype: torch.dtype, *, density: float, gamma: float, scale: float, convention: str
) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, banded(tiles, density, gamma), unnormalized(convention), scale)


def della(
    branches: Sequence[Branch],
    dtype: torch.dtype,
    *,
    density: float,
    epsilon: float,
    scale: float,
    seed: int,
    convention: str,
) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, magpruned(tiles, density, epsilon, seed, convention), elections[convention], scale)


def della_linear(
    branches: Sequence[Branch],
    dtype: torch.dtype,
    *,
    density: float,
    epsilon: float,
    scale: float,
    seed: int,
    convention: str,
) -> Tiled:
    tiles = Tiles(branches, dtype)
    return merged(tiles, magpruned(tiles, density, epsilon, seed, convention), None, scale)


def sce(branches: Sequence[Branch], dtype: torch.dtype, *, density: float, scale: float) -> Tiled:
    tiles = Tiles(branches, dtype)
    weights = torch.tensor(tiles.weights, dtype=tiles.dtype, device=tiles.device)[:, None, None]

    def stacked(first: int, last: int) -> Tensor:
        return deltas_of(tiles, first, last).mul_(weights)

    def variance(deltas: Tensor) -> Tensor:
        return deltas.var(dim=0, correction=0)

    search = tiles.search(
        lambda first, last: variance(stacked(first, last)),
        int(density * tiles.shape[0] * tiles.shape[1]),
        variance(tiles.sample() * weights[:, 0]),
    )
    (threshold,) = tiles.find([search])

    def selected(first: int, last: int) -> Tensor:
        deltas = stacked(first, last)
        return deltas.masked_fill_(variance(deltas) < threshold, 0.0)

    energies = tiles.total(lambda first, last: selected(first, last).square_().sum(dim=(1, 2), dtype=torch.float64))
    energy = float(energies.sum())
    shares = (energies / energy if energy > 0 else energies).to(tiles.dtype)

    def merge(first: int, last: int) -> Tensor:
        deltas = selected(first, last)
        votes = deltas.sum(dim=0)
        votes.masked_fill_(votes.abs() <= tiles.rounding * deltas.abs().sum(dim=0), 0.0)
        elected = votes.sign_()
        agreeing = deltas.mul_(elected).clamp_(min=0.0)
        total = weighted_sum(agreeing, shares).mul_(elected)
        divisor = weighted_sum(agreeing.sign_(), shares)
        return total.div_(divisor.where(divisor != 0, 1.0)).mul_(scale)

    return Tiled(tiles, merge)


def unnormalized(convention: str) -> Election:
    """mergekit divides by nothing where it does not trim."""
    return elections["weighted_sum" if convention == "mergekit" else convention]


def merged(tiles: Tiles, cut: Cut, election: Election | None, scale: float) -> Tiled:
    """What is left of the deltas, put to the vote or summed."""
    weights = torch.tensor(tiles.weights, dtype=tiles.dtype, device=tiles.device)

    def merge(first: int, last: int) -> Tensor:
        values = deltas_of(tiles, first, last)
        for index, value in enumerate(values):
            cut(index, first, value)
        result = (
            weighted_sum(values, weights)
            if election is None
            else election.merge(values, weights, tiles.rounding, tiles.buffer)
        )
        return result if scale == 1 else result.mul_(scale)

    return Tiled(tiles, merge)


def deltas_of(tiles: Tiles, first: int, last: int) -> Tensor:
    """Rows of every delta; [N, rows, in], the thread's until they are asked for again."""
    values = tiles.buffer("deltas", len(tiles.branches), last - first, tiles.shape[1])
    for index, value in enumerate(values):
        tiles.delta(index, first, last, value)
    return values


def trimmed(tiles: Tiles, density: float) -> Cut:
    """To the int(density·m·n) largest magnitudes of each delta, and what equals the smallest of them."""
    thresholds = largest(tiles, [int(density * tiles.shape[0] * tiles.shape[1])])
    below = [just_below(tiles, threshold) for (threshold,) in thresholds]

    def cut(index: int, first: int, delta: Tensor) -> None:
        torch.hardshrink(delta, below[index], out=delta)

    return cut


def just_below(tiles: Tiles, threshold: float) -> float:
    """hardshrink drops what equals its bound, too."""
    return next_to(threshold, 0.0, tiles.dtype)


def banded(tiles: Tiles, density: float, gamma: float) -> Cut:
    """To as many of each delta, below the int(gamma·m·n) largest, of which fewer go where fewer are left beside them."""
    count = tiles.shape[0] * tiles.shape[1]
    amount = int(density * count)
    outliers = min(int(gamma * count), count - amount)
    below = [[just_below(tiles, bound) for bound in bounds] for bounds in largest(tiles, [outliers, outliers + amount])]

    def cut(index: int, first: int, delta: Tensor) -> None:
        high, low = below[index]
        torch.hardshrink(delta, low, out=delta)
        delta.sub_(torch.hardshrink(delta, high, out=tiles.buffer("outliers", *delta.shape)))

    return cut


def magnitude(tiles: Tiles, index: int, first: int, last: int) -> Tensor:
    """Rows of one |Δ|; the thread's until they are asked for again."""
    return tiles.delta(index, first, last, tiles.buffer("deltas", last - first, tiles.shape[1])).abs_()


def largest(tiles: Tiles, ks: Sequence[int]) -> list[list[float]]:
    """The k-th largest magnitude of each delta, for each k."""
    searches = [
        tiles.search(partial(magnitude, tiles, index), k, sample.abs())
        for index, sample in enumerate(tiles.sample())
        for k in ks
    ]
    found = iter(tiles.find(searches))
    return [[next(found) for _ in ks] for _ in tiles.branches]


def dropped(tiles: Tiles, density: float, seed: int, convention: str) -> Cut:
    """To each element with probability `density`, rescaled."""

    def cut(index: int, first: int, delta: Tensor) -> None:
        delta.masked_fill_(chances(tiles, index, seed, first, delta) >= density, 0.0)

    def cut_and_rescale(index: int, first: int, delta: Tensor) -> None:
        cut(index, first, delta)
        delta.div_(density)

    return keeping_l1(tiles, cut) if convention == "mergekit" else cut_and_rescale


def magpruned(tiles: Tiles, density: float, epsilon: float, seed: int, convention: str) -> Cut:
    """To each element with a probability that grows with the rank of its magnitude in its row, rescaled."""
    if density == 1:
        return lambda index, first, delta: None
    half_width = epsilon if convention == "mergekit" else epsilon / 2
    columns = tiles.shape[1]

    def cut(index: int, first: int, delta: Tensor) -> None:
        ascending = delta.abs().argsort(dim=1, stable=True)
        places = torch.arange(columns, dtype=torch.float64, device=tiles.device)
        places = places / (columns - 1) if columns > 1 else torch.full_like(places, 0.5)
        by_rank = (density - half_width + 2 * half_width * places).clamp(0, 1)
        probability = torch.empty(delta.shape, dtype=torch.float64, device=tiles.device)
        probability.scatter_(1, ascending, by_rank.expand_as(delta))
        is_dropped = chances(tiles, index, seed, first, delta) >= probability
        if convention != "mergekit":
            delta /= probability
        # last: beside a probability of zero stands an infinity
        delta.masked_fill_(is_dropped, 0.0)

    return keeping_l1(tiles, cut) if convention == "mergekit" else cut


def chances(tiles: Tiles, index: int, seed: int, first: int, delta: Tensor) -> Tensor:
    """The random numbers of a delta's rows; they go by the place in the matrix alone."""
    columns = tiles.shape[1]
    key = key_of(seed, tiles.branches[index].identity)
    return uniform(key, first * columns, delta.numel(), tiles.device).view(delta.shape)


def keeping_l1(tiles: Tiles, cut: Cut) -> Cut:
    """As large as makes Σ |kept| of each delta what Σ |Δ| was."""

    def sums(first: int, last: int) -> Tensor:
        deltas = deltas_of(tiles, first, last)
        before = [delta.abs().sum(dtype=torch.float64) for delta in deltas]
        for index, delta in enumerate(deltas):
            cut(index, first, delta)
        after = [delta.abs().sum(dtype=torch.float64) for delta in deltas]
        return torch.stack([torch.stack(before), torch.stack(after)])

    factors = [before / after if after > 0 else 1.0 for before, after in zip(*tiles.total(sums).tolist(), strict=True)]

    def cut_and_rescale(index: int, first: int, delta: Tensor) -> None:
        cut(index, first, delta)
        delta.mul_(factors[index])

    return cut_and_rescale
