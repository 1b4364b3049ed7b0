"""`ties` of one module, tile by tile, beside PEFT's and mergekit's own operations on dense deltas.

The peers are handed the dense deltas; making them is not counted.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from app.kernel import reference
from app.kernel.methods import merge_tiles
from app.kernel.selection import kth_largest
from benchmarks.kernel.inputs import branches, shapes
from benchmarks.kernel.report import Line, require
from benchmarks.kernel.sides import Prepared, measure, mergekit_python
from benchmarks.machine import product_rate

density = 0.2
bars = {"peft": 15, "mergekit": 30}
allowed_off = 1e-6
"""Share of elements off the float64 reference: ours; each of them within `near` of its threshold."""
near = 1e-6
allowed_off_peer = 1e-4
"""The peers compare in float32 too, and break ties in an order of their own."""


def ours(module: str, adapters: int, rank: int, convention: str) -> Prepared:
    found = branches(module, adapters, rank)
    # touched, so that the peak is what is held beside the result
    result = torch.zeros(shapes[module]).fill_(0.0)

    def work() -> None:
        parameters = {"density": density, "lambda": 1.0, "convention": convention}
        tiled = merge_tiles("ties", found, parameters, torch.float32)
        for (first, last), tile in zip(tiled.tiles.bounds, tiled.tiles.each(tiled.tile), strict=True):
            result[first:last] = tile

    return work, lambda: {"delta": result}


def dense(module: str, adapters: int, rank: int) -> tuple[list[Tensor], list[float]]:
    found = branches(module, adapters, rank)
    return [branch.delta.dense().float() for branch in found], [branch.weight for branch in found]


def peft(module: str, adapters: int, rank: int) -> Prepared:
    from peft.utils import merge_utils

    deltas, weights = dense(module, adapters, rank)
    function: Any = merge_utils.ties
    results: list[Tensor] = []

    def work() -> None:
        results[:] = [function(deltas, torch.tensor(weights), density)]

    return work, lambda: {"delta": results[0]}


def mergekit(module: str, adapters: int, rank: int) -> Prepared:
    """In mergekit's own environment: the steps of its generalized task arithmetic, on deltas that are there already."""
    from mergekit.merge_methods.generalized_task_arithmetic import get_mask
    from mergekit.sparsify import SparsificationMethod, sparsify

    deltas, of_deltas = dense(module, adapters, rank)
    weights = torch.tensor(of_deltas)[:, None, None]
    results: list[Tensor] = []

    def work() -> None:
        method = SparsificationMethod.magnitude
        weighted = torch.stack([sparsify(delta, density=density, method=method) for delta in deltas]).mul_(weights)
        mask = get_mask(weighted, method="sum")
        mixed = (weighted * mask).sum(dim=0)
        divisor = (weights * mask).sum(dim=0)
        divisor[divisor == 0] = 1
        results[:] = [mixed.div_(divisor)]

    return work, lambda: {"delta": results[0]}


def off_elements(found: Tensor, module: str, adapters: int, rank: int, convention: str) -> tuple[float, float]:
    """Share of the elements that differ from the float64 reference by more than rounding, and how far the farthest of them
    is from the nearest threshold of its deltas, relative to that."""
    made = branches(module, adapters, rank)
    expected = reference.methods["ties"](made, density=density, scale=1.0, convention=convention)
    places = ((found - expected).abs() > 1e-5 * expected.abs().max()).nonzero(as_tuple=True)
    distance = torch.full((len(places[0]),), torch.inf, dtype=torch.float64)
    for branch in made:
        magnitudes = branch.delta.dense().abs_()
        threshold = kth_largest(magnitudes.flatten(), int(density * magnitudes.numel()))
        distance = torch.minimum(distance, (magnitudes[places] / threshold - 1).abs())
    return len(distance) / found.numel(), float(distance.max()) if len(distance) else 0.0


def lines() -> Iterator[Line]:
    case: dict[str, Any] = {"module": "q_proj", "adapters": 4, "rank": 16}
    product = product_rate(torch.float32)
    least = 2 * 2 * case["adapters"] * case["rank"] * shapes["q_proj"][0] * shapes["q_proj"][1] / product
    for peer, python in [("peft", None), ("mergekit", mergekit_python)]:
        own = measure("ties", "ours", **case, convention=peer)
        theirs = measure("ties", peer, python=python, repeats=1, **case)
        share, distance = off_elements(own.result["delta"], **case, convention=peer)
        require(share <= allowed_off and distance <= near, f"ties: {share:.1e} off, {distance:.1e} from the threshold")
        share_peer, _ = off_elements(theirs.result["delta"], **case, convention=peer)
        require(share_peer <= allowed_off_peer, f"{peer}'s ties: {share_peer:.1e} off")
        yield Line(
            what="q_proj, 4 × rank 16",
            peer=f"{peer} ties, dense",
            own=own,
            theirs=theirs,
            bar=bars[peer],
            error=f"{share:.0e}, {share_peer:.0e} off",
            limit=f"{least / own.cpu_seconds:.0%} of the two products",
        )
