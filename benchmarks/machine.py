"""What this machine can do at most, and how a time is taken."""

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch


def describe(*packages: str) -> str:
    """The class of machine and the versions that figures belong to."""
    model = platform.machine()
    with open("/proc/cpuinfo") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", *packages))
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} used; {versions}"


def seconds_of(work: Callable[..., object], *arguments: Any, repeats: int = 5) -> float:
    """The least of the repeats, in CPU seconds: what else the machine is doing changes them little."""
    times = []
    for _ in range(repeats):
        started_at = time.process_time()
        work(*arguments)
        times.append(time.process_time() - started_at)
    return min(times)


def copy_rate() -> float:
    """Bytes per second that a copy reads and writes, both counted."""
    source = torch.ones(1 << 26)
    target = torch.empty_like(source).copy_(source)
    return 2 * source.nbytes / seconds_of(target.copy_, source)


def product_rate(dtype: torch.dtype) -> float:
    """Floating-point operations per second of a square matrix product."""
    size = 2048
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    target = torch.empty(size, size, dtype=dtype)
    return 2 * size**3 / seconds_of(lambda: torch.mm(left, right, out=target))
