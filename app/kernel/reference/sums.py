"""The weighted sum of deltas, its best approximation, and what is added to a base."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.kernel.factors import Factors
from app.kernel.rounding import round_once


def linear(stack: Sequence[Factors]) -> Tensor:
    """ΔW = Σᵢ gainᵢ·Bᵢ·Aᵢ; [out, in], float64.

    Source: LoRA, arXiv:2106.09685, section 4.1; the sum is task arithmetic, arXiv:2212.04089.
    """
    delta = torch.zeros(stack[0].shape, dtype=torch.float64)
    for factors in stack:
        delta += factors.dense()
    return delta


@dataclass(frozen=True, slots=True)
class Truncation:
    """The best approximation of a delta by a matrix of low rank."""

    delta: Tensor
    """[out, in], float64."""
    rank: int
    singular_values: Tensor
    """Of the whole delta, descending, float64."""
    energy_kept: float
    """Share of the sum of the squared singular values; 1 for a delta of zeros."""


def truncate(delta: Tensor, *, rank: int | None = None, energy: float | None = None) -> Truncation:
    """The nearest matrix of that rank in the Frobenius norm, or of the smallest rank ≥ 1 that keeps `energy`.

    Source: Eckart and Young, Psychometrika 1(3), 1936.
    """
    u, s, vh = torch.linalg.svd(delta.double(), full_matrices=False)
    # what the SVD's own rounding leaves of a singular value that is zero
    s[s <= s[0] * max(delta.shape) * torch.finfo(torch.float64).eps] = 0
    total = float((s**2).sum())
    if energy is not None:
        rank = 1
        while rank < len(s) and float((s[rank:] ** 2).sum()) > (1 - energy) * total:
            rank += 1
    if rank is None:
        raise ValueError("a rank or an energy is needed")
    rank = min(rank, len(s))
    energy_kept = 1 - float((s[rank:] ** 2).sum()) / total if total > 0 else 1.0
    return Truncation(u[:, :rank] @ torch.diag(s[:rank]) @ vh[:rank], rank, s, energy_kept)


def merge_into(base: Tensor, delta: Tensor, dtype: torch.dtype) -> Tensor:
    """W + ΔW in float64, rounded once."""
    return round_once(base.double() + delta, dtype)
