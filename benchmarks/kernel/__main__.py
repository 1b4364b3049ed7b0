"""Every row of the kernel's table, or those that are named: python -m benchmarks.kernel [ties concat …]."""

import argparse
import importlib

from benchmarks.kernel.report import heading
from benchmarks.machine import describe

rows = ["ties", "best_rank", "concat", "joint", "model", "ties_into_base"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *rows], help="all of them by default")
    named = parser.parse_args().rows or rows
    print(describe("peft"))
    print("time is CPU seconds of the process; wall seconds beside it as a ratio alone")
    print(heading, flush=True)
    for name in named:
        for line in importlib.import_module(f"benchmarks.kernel.{name}").lines():
            print(line, flush=True)


if __name__ == "__main__":
    main()
