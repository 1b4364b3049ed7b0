"""Methods that look at every element of every delta, by tiles: never more than a tile of a delta is there.

First what an element must know of its whole matrix (a threshold, a sum), by sweeps; then the merge of any tile.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import nextafter

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from app.kernel.elections import Election, elections, rounding, weighted_sum
from app.kernel.factors import Branch
from app.kernel.random_numbers import key_of, uniform
from app.kernel.tiles import Tiled, Tiles

Kept = Callable[[int, int, int], Tensor]
"""(index of the delta, first row, last row) → what is kept of those rows; [rows, in], float64, new memory."""


def ties(branches: Sequence[Branch], *, density: float, scale: float, convention: str) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, trimmed(tiles, density), elections[convention], scale)


def magnitude_prune(branches: Sequence[Branch], *, density: float, scale: float) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, trimmed(tiles, density), None, scale)


def dare_linear(branches: Sequence[Branch], *, density: float, scale: float, seed: int, convention: str) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, dropped(tiles, density, seed, convention), None, scale)


def dare_ties(branches: Sequence[Branch], *, density: float, scale: float, seed: int, convention: str) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, dropped(tiles, density, seed, convention), unnormalized(convention), scale)


def breadcrumbs(branches: Sequence[Branch], *, density: float, gamma: float, scale: float) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, banded(tiles, density, gamma), None, scale)


def breadcrumbs_ties(
    branches: Sequence[Branch], *, density: float, gamma: float, scale: float, convention: str
) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, banded(tiles, density, gamma), unnormalized(convention), scale)


def della(
    branches: Sequence[Branch], *, density: float, epsilon: float, scale: float, seed: int, convention: str
) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, magpruned(tiles, density, epsilon, seed, convention), elections[convention], scale)


def della_linear(
    branches: Sequence[Branch], *, density: float, epsilon: float, scale: float, seed: int, convention: str
) -> Tiled:
    tiles = Tiles(branches)
    return merged(tiles, magpruned(tiles, density, epsilon, seed, convention), None, scale)


def sce(branches: Sequence[Branch], *, density: float, scale: float) -> Tiled:
    tiles = Tiles(branches)
    weights = torch.tensor(tiles.weights, dtype=torch.float64, device=tiles.device)[:, None, None]

    def stacked(first: int, last: int) -> Tensor:
        return torch.stack([tiles.delta(index, first, last) for index in range(len(branches))]).mul_(weights)

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

    energies = tiles.total(lambda first, last: selected(first, last).square_().sum(dim=(1, 2)))
    energy = float(energies.sum())
    shares = (energies / energy if energy > 0 else energies).tolist()

    def merge(first: int, last: int) -> Tensor:
        deltas = selected(first, last)
        votes = deltas.sum(dim=0)
        votes.masked_fill_(votes.abs() <= rounding * deltas.abs().sum(dim=0), 0.0)
        total, divisor = torch.zeros_like(deltas[0]), torch.zeros_like(deltas[0])
        for delta, share in zip(deltas, shares, strict=True):
            agrees = delta * votes > 0
            total.add_(torch.where(agrees, delta, 0.0), alpha=share)
            divisor.add_(agrees, alpha=share)
        return total.div_(divisor.where(divisor != 0, 1.0)).mul_(scale)

    return Tiled(tiles, merge)


def unnormalized(convention: str) -> Election:
    """mergekit divides by nothing where it does not trim."""
    return elections["weighted_sum" if convention == "mergekit" else convention]


def merged(tiles: Tiles, kept: Kept, election: Election | None, scale: float) -> Tiled:
    """What is kept of the deltas, put to the vote or summed."""
    merge_values = weighted_sum if election is None else election.merge

    def merge(first: int, last: int) -> Tensor:
        values = ((kept(index, first, last), weight) for index, weight in enumerate(tiles.weights))
        return merge_values(values).mul_(scale)

    return Tiled(tiles, merge)


def trimmed(tiles: Tiles, density: float) -> Kept:
    """The int(density·m·n) largest magnitudes of each delta, and what equals the smallest of them."""
    thresholds = largest(tiles, [int(density * tiles.shape[0] * tiles.shape[1])])
    # hardshrink drops what equals its bound, too
    below = [nextafter(threshold, 0.0) for (threshold,) in thresholds]

    def kept(index: int, first: int, last: int) -> Tensor:
        return hardshrink(tiles.delta(index, first, last), below[index])

    return kept


def banded(tiles: Tiles, density: float, gamma: float) -> Kept:
    """As many of each delta, below the int(gamma·m·n) largest, of which fewer go where fewer are left beside them."""
    count = tiles.shape[0] * tiles.shape[1]
    amount = int(density * count)
    outliers = min(int(gamma * count), count - amount)
    thresholds = largest(tiles, [outliers, outliers + amount])

    def kept(index: int, first: int, last: int) -> Tensor:
        delta = tiles.delta(index, first, last)
        high, low = thresholds[index]
        size = delta.abs()
        return delta.masked_fill_((size < low) | (size >= high), 0.0)

    return kept


def magnitude(tiles: Tiles, index: int, first: int, last: int) -> Tensor:
    return tiles.delta(index, first, last).abs_()


def largest(tiles: Tiles, ks: Sequence[int]) -> list[list[float]]:
    """The k-th largest magnitude of each delta, for each k."""
    searches = [
        tiles.search(partial(magnitude, tiles, index), k, sample.abs())
        for index, sample in enumerate(tiles.sample())
        for k in ks
    ]
    found = iter(tiles.find(searches))
    return [[next(found) for _ in ks] for _ in tiles.branches]


def dropped(tiles: Tiles, density: float, seed: int, convention: str) -> Kept:
    """Each element with probability `density`, rescaled."""

    def kept(index: int, first: int, last: int) -> Tensor:
        delta = tiles.delta(index, first, last)
        return delta.masked_fill_(chances(tiles, index, seed, first, last) >= density, 0.0)

    if convention == "mergekit":
        return keeping_l1(tiles, kept)
    return lambda index, first, last: kept(index, first, last).div_(density)


def magpruned(tiles: Tiles, density: float, epsilon: float, seed: int, convention: str) -> Kept:
    """Each element with a probability that grows with the rank of its magnitude in its row, rescaled."""
    if density == 1:
        return tiles.delta
    half_width = epsilon if convention == "mergekit" else epsilon / 2
    columns = tiles.shape[1]

    def kept(index: int, first: int, last: int) -> Tensor:
        delta = tiles.delta(index, first, last)
        ascending = delta.abs().argsort(dim=1, stable=True)
        places = torch.arange(columns, dtype=torch.float64, device=tiles.device)
        places = places / (columns - 1) if columns > 1 else torch.full_like(places, 0.5)
        by_rank = (density - half_width + 2 * half_width * places).clamp(0, 1)
        probability = torch.empty_like(delta).scatter_(1, ascending, by_rank.expand_as(delta))
        is_dropped = chances(tiles, index, seed, first, last) >= probability
        if convention != "mergekit":
            delta /= probability
        # last: beside a probability of zero stands an infinity
        return delta.masked_fill_(is_dropped, 0.0)

    return keeping_l1(tiles, kept) if convention == "mergekit" else kept


def chances(tiles: Tiles, index: int, seed: int, first: int, last: int) -> Tensor:
    """The random numbers of some rows; they go by the place in the matrix alone."""
    columns = tiles.shape[1]
    key = key_of(seed, tiles.branches[index].identity)
    return uniform(key, first * columns, (last - first) * columns, tiles.device).reshape(-1, columns)


def keeping_l1(tiles: Tiles, kept: Kept) -> Kept:
    """As large as makes Σ |kept| of each delta what Σ |Δ| was."""

    def sums(first: int, last: int) -> Tensor:
        indices = range(len(tiles.branches))
        before = [tiles.delta(index, first, last).abs_().sum() for index in indices]
        after = [kept(index, first, last).abs_().sum() for index in indices]
        return torch.stack([torch.stack(before), torch.stack(after)])

    factors = [before / after if after > 0 else 1.0 for before, after in zip(*tiles.total(sums).tolist(), strict=True)]
    return lambda index, first, last: kept(index, first, last).mul_(factors[index])
