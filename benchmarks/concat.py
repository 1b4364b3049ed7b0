"""The exact sum of adapters as one adapter, beside PEFT's `cat` in the same run.

PEFT also creates the new adapter's modules, which is a part of what its caller waits for. Nothing is reported when either
result differs from the float64 sum.
"""

import argparse

import torch

from app.kernel import reference
from app.kernel.factors import Factors
from app.kernel.vectorized import concatenate
from benchmarks.machine import copy_rate, describe, relative_error, seconds_of
from benchmarks.peers import delta_of_peft, merged_by_peft, stacked

all_modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
allowed_error = 1e-6


def concatenated(stacks: dict[str, list[Factors]]) -> None:
    for stack in stacks.values():
        concatenate(stack, torch.float32)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=2048, help="of the layer whose seven modules are merged")
    width = parser.parse_args().width
    print(describe("peft"))
    limit = copy_rate()
    print(f"copy: {limit / 1e9:.1f} GB/s read and written; one layer of width {width}, float32; CPU seconds")
    print("| adapters, rank | Glulam | PEFT cat | ratio | share of the copy rate |")
    print("|---|---|---|---|---|")
    for adapters, rank in [(2, 16), (4, 16), (8, 16), (4, 64), (8, 64)]:
        model, stacks = stacked(width, adapters, rank, all_modules)
        merged_by_peft(model, adapters, "cat")
        for name, stack in stacks.items():
            expected = reference.linear(stack)
            a, b = concatenate(stack, torch.float32)
            errors = (
                relative_error(b.double() @ a.double(), expected),
                relative_error(delta_of_peft(model, name), expected),
            )
            if max(errors) > allowed_error:
                raise SystemExit(f"{name}: relative errors {errors}: nothing is reported")
        ours = seconds_of(concatenated, stacks)
        peers = seconds_of(merged_by_peft, model, adapters, "cat")
        moved = 2 * sum(factors.a.nbytes + factors.b.nbytes for stack in stacks.values() for factors in stack)
        share = moved / ours / limit
        print(f"| {adapters}, {rank} | {ours * 1e3:.1f} ms | {peers * 1e3:.0f} ms | {peers / ours:.1f} | {share:.0%} |")


if __name__ == "__main__":
    main()
