"""What both sides of a comparison are given: adapters with decaying spectra on the modules of an 8B Llama-3."""

from collections.abc import Mapping

import torch
from torch import Tensor

from app.kernel.factors import Branch, Factors

shapes: Mapping[str, tuple[int, int]] = {
    "q_proj": (4096, 4096),
    "k_proj": (1024, 4096),
    "v_proj": (1024, 4096),
    "o_proj": (4096, 4096),
    "gate_proj": (14336, 4096),
    "up_proj": (14336, 4096),
    "down_proj": (4096, 14336),
}
"""(out, in) of one layer's modules."""
layers = 32
alpha_over_rank = 2.0


def factors(out_features: int, in_features: int, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """A [rank, in] and B [out, rank], float32, of a size that trained adapters have beside their base."""
    random = torch.Generator().manual_seed(seed)
    decay = 0.9 ** torch.arange(rank)
    a = torch.randn(rank, in_features, generator=random).mul_(0.02)
    b = torch.randn(out_features, rank, generator=random).mul_(0.004).mul_(decay)
    return a, b


def branches(module: str, adapters: int, rank: int) -> list[Branch]:
    """Weights 1/adapters, alpha twice the rank."""
    found = []
    for number in range(adapters):
        a, b = factors(*shapes[module], rank, seed=number)
        found.append(Branch(Factors(a, b, alpha_over_rank), 1 / adapters, f"{number}"))
    return found


def stack(module: str, adapters: int, rank: int) -> list[Factors]:
    """Their weighted sum."""
    return [
        Factors(branch.delta.a, branch.delta.b, branch.weight * branch.delta.gain)
        for branch in branches(module, adapters, rank)
    ]
