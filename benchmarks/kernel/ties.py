"""TIES on one module, tile by tile, beside PEFT's `ties` on dense deltas in the same run.

PEFT is given the dense deltas; that it would have to make them is not counted. Nothing is reported when either result has
more elements off the float64 reference than allowed.
"""

import argparse
from functools import partial
from typing import Any

import torch
from peft.utils import merge_utils
from torch import Tensor

from app.kernel import reference
from app.kernel.factors import Branch, Factors
from app.kernel.methods import merge_tiles
from benchmarks.machine import describe, seconds_of

density = 0.2
allowed_off = {"Glulam": 1e-6, "PEFT": 1e-5}
"""Share of elements off by more than 1e-4 of the largest; PEFT compares in float32."""


def stack_of(width: int, adapters: int, rank: int) -> list[Branch]:
    """Random adapters with decaying spectra, scaling 2, weight 1/adapters."""
    torch.manual_seed(0)
    decay = 0.9 ** torch.arange(rank)
    return [
        Branch(Factors(torch.randn(rank, width), torch.randn(width, rank) * decay, 2.0), 1 / adapters, str(number))
        for number in range(adapters)
    ]


def merged(branches: list[Branch], result: Tensor) -> None:
    tiled = merge_tiles("ties", branches, {"density": density, "lambda": 1.0, "convention": "peft"})
    for first, last in tiled.tiles.bounds:
        result[first:last] = tiled.tile(first, last)


def off(found: Tensor, expected: Tensor) -> float:
    return int(((found - expected).abs() > 1e-4 * expected.abs().max()).sum()) / expected.numel()


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4096, help="of the square module that is merged")
    width = parser.parse_args().width
    print(describe("peft"))
    print(f"{width} × {width}, density {density}, result in float32; CPU seconds")
    print("| adapters, rank | Glulam | PEFT ties | ratio | elements off: Glulam, PEFT |")
    print("|---|---|---|---|---|")
    peers: Any = merge_utils.ties
    for adapters, rank in [(4, 16), (8, 16), (4, 64)]:
        branches = stack_of(width, adapters, rank)
        result = torch.empty(width, width)
        expected = reference.methods["ties"](branches, density=density, scale=1.0, convention="peft")
        dense = [branch.delta.dense().float() for branch in branches]
        weights = torch.full((adapters,), 1 / adapters)
        merged(branches, result)
        shares = {"Glulam": off(result, expected), "PEFT": off(peers(dense, weights, density), expected)}
        for name, share in shares.items():
            if share > allowed_off[name]:
                raise SystemExit(f"{name} has {share:.1e} of the elements wrong: nothing is reported")
        ours = seconds_of(partial(merged, branches, result), repeats=3)
        theirs = seconds_of(partial(peers, dense, weights, density), repeats=1)
        figures = ", ".join(f"{share:.0e}" for share in shares.values())
        print(f"| {adapters}, {rank} | {ours:.2f} s | {theirs:.1f} s | {theirs / ours:.1f} | {figures} |")


if __name__ == "__main__":
    main()
