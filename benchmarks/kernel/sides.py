"""Two sides of a comparison, each in a process of its own: time, peak memory, and the result to be compared.

A side is a function that prepares its inputs, the same on both sides, and returns the work and what has come of it. The
work is done once to warm up, with its peak of resident memory (VmHWM, above what the inputs took), and then timed.
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Prepared = tuple[Callable[[], object], Callable[[], dict[str, Tensor]]]
"""(the work, the tensors that it has made)."""

mergekit_python = Path(__file__).parents[2] / ".venv" / "mergekit" / "bin" / "python"
"""mergekit has an environment of its own, which `make bench` makes: it wants other versions of what Glulam uses."""


@dataclass(frozen=True)
class Figures:
    """What one side took: the least of its repeats."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Resident, above what was there before the work."""
    result: Mapping[str, Tensor]


def measure(
    row: str, function: str, /, python: Path | None = None, repeats: int = 3, threads: int = 1, **case: Any
) -> Figures:
    """`function` of `benchmarks.kernel.<row>`, called with the case, in a new process.

    Raises: subprocess.CalledProcessError when it fails there.
    """
    with tempfile.TemporaryDirectory() as folder:
        order = {"row": row, "function": function, "case": case, "repeats": repeats, "threads": threads}
        command = [str(python or sys.executable), "-m", "benchmarks.kernel.sides", json.dumps(order), folder]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures = json.loads(child.stdout.splitlines()[-1])
        path = Path(folder, "result.safetensors")
        return Figures(**figures, result=load_file(path) if path.exists() else {})


def status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"this kernel does not tell {field}")


def main() -> None:
    """The child: prints the figures and leaves the tensors in the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("order", type=json.loads)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    order = arguments.order
    torch.set_num_threads(order["threads"])
    prepare: Callable[..., Prepared] = getattr(
        importlib.import_module(f"benchmarks.kernel.{order['row']}"), order["function"]
    )
    work, made = prepare(**order["case"])
    before = status_bytes("VmRSS")
    # what was needed to prepare is no part of the work: the high-water mark starts again here
    Path("/proc/self/clear_refs").write_text("5")
    times = [timed(work)]
    peak_bytes = status_bytes("VmHWM") - before
    times += [timed(work) for _ in range(order["repeats"] - 1)]
    tensors = {name: tensor.contiguous() for name, tensor in made().items()}
    if tensors:
        save_file(tensors, arguments.folder / "result.safetensors")
    wall_seconds, cpu_seconds = (min(column) for column in zip(*times, strict=True))
    print(json.dumps({"wall_seconds": wall_seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes}))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds, those of child processes included."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - wall, cpu_seconds() - cpu


def cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
