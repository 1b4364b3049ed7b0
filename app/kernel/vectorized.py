"""What runs: the same as `reference`, without a dense delta. CPU and CUDA.

A stack's bits depend on the order of its members, so callers sort them (by content digest) and not on anything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from app.kernel.factors import Factors
from app.kernel.rounding import round_once
from app.kernel.threads import in_order


def concatenate(stack: Sequence[Factors], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The exact sum as one pair of factors, joined along the rank: ΔW = B·A with scaling 1.

    Every gain is folded in float64 into the smaller factor of its pair, and each value rounded once.

    Returns: A [R, in] and B [out, R] of `dtype`; R is the sum of the ranks.
    Raises: ValueError if the members' deltas differ in shape.
    """
    out_features, in_features = stack[0].shape
    if any(factors.shape != (out_features, in_features) for factors in stack):
        raise ValueError(f"one shape is needed, not {sorted({factors.shape for factors in stack})}")
    joined_rank = sum(factors.rank for factors in stack)
    device = stack[0].a.device
    a = torch.empty(joined_rank, in_features, dtype=dtype, device=device)
    b = torch.empty(out_features, joined_rank, dtype=dtype, device=device)
    start = 0
    for factors in stack:
        end = start + factors.rank
        scaled_a, scaled_b = factors.a, factors.b
        if out_features <= in_features:
            scaled_b = scaled_b.double() * factors.gain
        else:
            scaled_a = scaled_a.double() * factors.gain
        a[start:end] = round_once(scaled_a, dtype)
        b[:, start:end] = round_once(scaled_b, dtype)
        start = end
    return a, b


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

    QR of the joined B and Aᵀ, then the SVD of the R × R core, in float64: the error is the dense SVD's own. Singular
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
    joined = [concatenate(stack, torch.float64) for stack in stacks]
    a = torch.stack([a for a, _ in joined])
    b = torch.stack([b for _, b in joined])
    del joined
    q_b, r_b = torch.linalg.qr(b)
    q_a, r_a = torch.linalg.qr(a.mT)
    u_core, s, vh_core = torch.linalg.svd(r_b @ r_a.mT, full_matrices=False)
    s = torch.where(s > s[:, :1] * max(b.shape[1], a.shape[2]) * torch.finfo(torch.float64).eps, s, 0.0)
    singular_values = s.cpu()
    kept = [kept_rank(values, rank, energy) for values in singular_values]
    widest = max(rank_kept for rank_kept, _ in kept)
    a, b = balanced(q_b @ u_core[:, :, :widest], s[:, :widest], vh_core[:, :widest] @ q_a.mT)
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


def add_to_base(base: Tensor, a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """W + B·A for a tile of rows, summed in float64 and rounded once.

    float64, because a float32 sum has too few bits to spare: it misrounds 1 of 10,000 values of a large stack in
    bfloat16, and most values of a float32 result.

    Args:
        base: [rows, in], of any floating dtype.
        a: [R, in], b: [rows, R], float64, from `concatenate`; for a base that is stored as [in, out] those of the
            transposed factors.

    Returns: [rows, in] of `dtype`, new memory.
    """
    return round_once(base.to(torch.float64, copy=True).addmm_(b, a), dtype)
