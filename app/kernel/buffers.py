"""Working memory that is used again: fresh memory costs ten times its copy."""

import threading
from typing import Protocol

import torch
from torch import Tensor


class Buffer(Protocol):
    """Working memory by name: contiguous, with whatever it held, and the taker's until the name is taken again."""

    def __call__(self, name: str, *shape: int, dtype: torch.dtype) -> Tensor: ...


def fresh_on(device: torch.device) -> Buffer:
    """New memory each time."""
    return lambda name, *shape, dtype: torch.empty(shape, dtype=dtype, device=device)


class Buffers(threading.local):
    """Each thread's own."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, tuple[int, ...], torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        held = self.held.get((name, shape, dtype))
        if held is None:
            self.held[name, shape, dtype] = held = torch.empty(shape, dtype=dtype, device=device)
        return held
