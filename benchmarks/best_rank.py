"""Many adapters as one of the best rank, beside PEFT's `svd` in the same run.

Nothing is reported when either misses the optimal error of the dense float64 SVD.
"""

import argparse
from functools import partial
from typing import Any

import torch

from app.kernel import reference
from app.kernel.factors import Factors
from app.kernel.vectorized import best_rank
from benchmarks.machine import describe, product_rate, seconds_of
from benchmarks.peers import delta_of_peft, merged_by_peft, stacked

allowed_excess = {"Glulam": 1e-6, "PEFT": 1e-4}
"""Relative to the optimal error; PEFT decomposes in float32."""


def operations_of(stack: list[Factors], rank: int) -> float:
    """Of the two QR decompositions with their Q, the product back, and the SVD of the core (about 22·R³)."""
    joined = sum(factors.rank for factors in stack)
    return sum(stack[0].shape) * (4 * joined**2 + 2 * joined * rank) + 22 * joined**3


def peft_svd(model: Any, adapters: int, rank: int) -> None:
    merged_by_peft(model, adapters, "svd", svd_rank=rank, svd_full_matrices=False)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=2048, help="of the square module that is decomposed")
    width = parser.parse_args().width
    print(describe("peft"))
    limit = product_rate(torch.float64)
    print(f"matrix product: {limit / 1e9:.0f} GFLOP/s float64; {width} × {width}, to the adapters' rank; CPU seconds")
    print("| adapters, rank | Glulam | PEFT svd | ratio | share of the product rate |")
    print("|---|---|---|---|---|")
    for adapters, rank in [(4, 16), (8, 16), (8, 64)]:
        model, stacks = stacked(width, adapters, rank, ["q_proj"])
        stack = stacks["q_proj"]
        peft_svd(model, adapters, rank)
        delta = reference.linear(stack)
        optimal = float((reference.truncate(delta, rank=rank).delta - delta).norm())
        (found,) = best_rank([stack], torch.float32, rank=rank)
        deltas = {"Glulam": found.b.double() @ found.a.double(), "PEFT": delta_of_peft(model, "q_proj")}
        for name, low_rank in deltas.items():
            excess = float((low_rank - delta).norm()) / optimal - 1
            if excess > allowed_excess[name]:
                raise SystemExit(f"{name} exceeds the optimal error by {excess:.1e}: nothing is reported")
        ours = seconds_of(partial(best_rank, [stack], torch.float32, rank=rank))
        peers = seconds_of(peft_svd, model, adapters, rank, repeats=1)
        share = operations_of(stack, rank) / ours / limit
        print(f"| {adapters}, {rank} | {ours * 1e3:.1f} ms | {peers * 1e3:.0f} ms | {peers / ours:.0f} | {share:.0%} |")


if __name__ == "__main__":
    main()
