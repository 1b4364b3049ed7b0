"""What runs: the same as `reference`, without a dense delta. CPU and CUDA.

A stack's bits depend on the order of its members, so callers sort them (by content digest) and not on anything else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.kernel.bases import Basis
from app.kernel.factors import Factors
from app.kernel.rounding import round_once
from app.kernel.threads import in_order

smallest_square = 1e-10
"""Of singular values, over the largest: what is smaller is decomposed with all its digits."""
scaled_at_once = 4
"""Ranks: what a processor's caches hold of them in float64."""


def concatenate(stack: Sequence[Factors], dtype: torch.dtype, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The exact sum as one pair of factors, joined along the rank: ΔW = B·A with scaling 1.

    Every gain is folded into the A of its pair, whose ranks lie one after another, and each value is rounded once.

    Args:
        out: memory for both, at least R·(out + in) values of `dtype`, used again; else new.

    Returns: A [R, in] and B [out, R] of `dtype`; R is the sum of the ranks.
    Raises: ValueError if the members' deltas differ in shape.
    """
    out_features, in_features = stack[0].shape
    if any(factors.shape != (out_features, in_features) for factors in stack):
        raise ValueError(f"one shape is needed, not {sorted({factors.shape for factors in stack})}")
    joined_rank = sum(factors.rank for factors in stack)
    if out is None:
        out = torch.empty(joined_rank * (out_features + in_features), dtype=dtype, device=stack[0].a.device)
    a = out[: joined_rank * in_features].view(joined_rank, in_features)
    b = out[joined_rank * in_features :][: joined_rank * out_features].view(out_features, joined_rank)
    start = 0
    for factors in stack:
        scale_into(a[start : start + factors.rank], factors.a, factors.gain)
        start += factors.rank
    torch.cat([round_once(factors.b, dtype) for factors in stack], dim=1, out=b)
    return a, b


def scale_into(target: Tensor, values: Tensor, gain: float) -> None:
    """gain·values, each rounded once to the dtype of `target`."""
    is_exact_gain = float(torch.tensor(gain, dtype=values.dtype)) == gain
    if values.dtype is target.dtype and is_exact_gain:
        # one product of two numbers of the dtype, which rounds once itself
        torch.mul(values, gain, out=target)
    else:
        for part, result in zip(torch.split(values, scaled_at_once), torch.split(target, scaled_at_once), strict=True):
            result.copy_(round_once(part.double() * gain, target.dtype))


@dataclass(frozen=True, slots=True)
class LowRank:
    """The best approximation of a module's delta: ΔW ≈ B·A, balanced (B = U·√S, A = √S·Vᵀ)."""

    a: Tensor
    """[rank, in]."""
    b: Tensor
    """[out, rank]. The largest entry of each column of U is positive, so that signs are no accident."""
    singular_values: Tensor
    """Descending, float64, on the CPU: of a sum all min(R, out, in) of them, of a sketch those it has found."""
    energy: float
    """Of the whole delta: the sum of all squared singular values."""
    energy_kept: float
    """Share of the energy; 1 for a delta of zeros."""

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def transposed(self) -> Self:
        """Of the transposed delta."""
        return replace(self, a=self.b.mT.contiguous(), b=self.a.mT.contiguous())


def best_rank(
    stacks: Sequence[Sequence[Factors]],
    dtype: torch.dtype,
    *,
    rank: int | None = None,
    energy: float | None = None,
) -> list[LowRank]:
    """The best factors of a rank, or of the smallest rank ≥ 1 that keeps `energy`, for modules of one shape.

    Bases of the joined B and Aᵀ, then the SVD of the R × R core, in float64: the error is the dense SVD's own. Singular
    values that are rounding noise are exact zeros, and so are their columns: a rank beyond what exists adds no garbage.

    Args:
        stacks: one per module, all of one shape and one sum R of ranks.
        rank: at least 1; cut to min(R, out, in).
        energy: 0 < energy ≤ 1, instead of a rank; at 1 the numerical rank.
    """
    if (rank is None) == (energy is None):
        raise ValueError("either a rank or an energy is needed")
    if stacks[0][0].a.device.type == "cpu":
        pieces = ([stack] for stack in stacks)
        results = in_order(lambda piece: _best_rank(piece, dtype, rank, energy), pieces, torch.get_num_threads())
        return [low_rank for result in results for low_rank in result]
    return _best_rank(stacks, dtype, rank, energy)


def _best_rank(
    stacks: Sequence[Sequence[Factors]], dtype: torch.dtype, rank: int | None, energy: float | None
) -> list[LowRank]:
    left = Basis.of([[factors.b for factors in stack] for stack in stacks])
    right = Basis.of([[factors.a.mT for factors in stack] for stack in stacks])
    gains = torch.stack([gains_of(stack) for stack in stacks])
    core = left.triangle * gains[:, None] @ right.triangle.mT
    u_core, s, v_core = svd_of_core(core, max(stacks[0][0].shape))
    singular_values = s.cpu()
    kept = [kept_rank(values, rank, energy) for values in singular_values]
    widest = max(rank_kept for rank_kept, _ in kept)
    u, v = left.times(u_core[:, :, :widest]), right.times(v_core(widest))
    a, b = balanced(u, s[:, :widest], v.mT)
    return [
        LowRank(
            a=round_once(a[index, :rank_kept], dtype).contiguous(),
            b=round_once(b[index, :, :rank_kept], dtype).contiguous(),
            singular_values=singular_values[index],
            energy=float((singular_values[index] ** 2).sum()),
            energy_kept=energy_kept,
        )
        for index, (rank_kept, energy_kept) in enumerate(kept)
    ]


def gains_of(stack: Sequence[Factors]) -> Tensor:
    """The gain of the member that owns each rank; [R], float64."""
    gains = [torch.full((factors.rank,), factors.gain, dtype=torch.float64) for factors in stack]
    return torch.cat(gains).to(stack[0].a.device)


def svd_of_core(core: Tensor, size: int) -> tuple[Tensor, Tensor, Callable[[int], Tensor]]:
    """U, S and so many columns of V of a batch of cores.

    By the eigenvectors of the square, in a third of the time, where no singular value is so small that it would suffer. Singular
    values that are rounding noise of a matrix with a side of `size` are zeros.
    """
    values, vectors = torch.linalg.eigh(core @ core.mT)
    if core.shape[1] <= core.shape[2] and bool((values[:, 0] > smallest_square * values[:, -1]).all()):
        u, s = vectors.flip(-1), values.flip(-1).sqrt()
        return u, s, lambda columns: core.mT @ (u[:, :, :columns] / s[:, None, :columns])
    u, s, vh = torch.linalg.svd(core, full_matrices=False)
    return (
        u,
        torch.where(s > s[:, :1] * size * torch.finfo(torch.float64).eps, s, 0.0),
        lambda columns: vh[:, :columns].mT,
    )


def balanced(u: Tensor, s: Tensor, vh: Tensor) -> tuple[Tensor, Tensor]:
    """A = √S·Vᵀ and B = U·√S of a batch, the largest entry of each column of U made positive."""
    largest = u.gather(-2, u.abs().argmax(dim=-2, keepdim=True))
    root = s[..., None, :].sqrt() * largest.sign()
    # a product with zero keeps the sign of its noise; these zeros have none
    return torch.where(root != 0, vh.mT * root, 0.0).mT, torch.where(root != 0, u * root, 0.0)


def kept_rank(singular_values: Tensor, rank: int | None, energy: float | None) -> tuple[int, float]:
    """The rank to keep of one module, and the share of the energy that it keeps."""
    largest = float(singular_values[0])
    if largest == 0:
        return min(rank or 1, len(singular_values)), 1.0
    squares = (singular_values / largest) ** 2
    # summed from the small end: what is lost is known to its last digit, also when it is next to nothing
    lost = torch.cat([squares.flip(0).cumsum(0).flip(0), squares.new_zeros(1)])
    lost /= lost[0].clone()
    if energy is not None:
        rank = 1 + int(torch.nonzero(lost[1:] <= 1 - energy)[0])
    kept = len(squares) if rank is None else min(rank, len(squares))
    return kept, 1.0 - float(lost[kept])
