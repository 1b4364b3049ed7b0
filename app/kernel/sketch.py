"""The best adapter of a rank for a change that exists only in tiles, by a randomized range finder.

Source: Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review 53(2), 2011, algorithms 4.4 and 5.1.
"""

import torch
from torch import Tensor

from app.kernel.rounding import round_once
from app.kernel.threads import alone
from app.kernel.tiles import Tiled
from app.kernel.vectorized import LowRank, balanced, kept_rank

oversampling = 16
first_sketch = 32
"""Columns of the first sketch for an energy; doubled until it is captured."""


def best_of_tiles(tiled: Tiled, dtype: torch.dtype, *, rank: int | None = None, energy: float | None = None) -> LowRank:
    """Nearly the best factors of a rank, or of the smallest rank ≥ 1 found to keep `energy`: Δ ≈ B·A, balanced.

    One power step, so four sweeps over the tiles for each width of the sketch. The energy kept is measured against the
    whole change, not estimated. The sketch is the same each time, and so is the result.

    Args:
        rank: at least 1; cut to min(out, in).
        energy: 0 < energy ≤ 1, instead of a rank.
    """
    if (rank is None) == (energy is None):
        raise ValueError("either a rank or an energy is needed")
    full = min(tiled.tiles.shape)
    width = min(full, first_sketch if rank is None else rank + oversampling)
    while True:
        u, s, vh, total = decompose(tiled, width)
        if width == full:
            kept, energy_kept = kept_rank(s.cpu(), rank, energy)
            break
        # what the sketch did not find, as one more singular value
        missed = (total - (s**2).sum()).clamp(min=0).sqrt()
        kept, energy_kept = kept_rank(torch.cat([s, missed[None]]).cpu(), rank, energy)
        if kept <= width:
            break
        width = min(full, 2 * width)
    a, b = balanced(u[:, :kept], s[:kept], vh[:kept])
    return LowRank(
        a=round_once(a, dtype).contiguous(),
        b=round_once(b, dtype).contiguous(),
        singular_values=s.cpu(),
        energy=float(total),
        energy_kept=energy_kept,
    )


def decompose(tiled: Tiled, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """U, S, Vᵀ of the change inside the range that a sketch of `width` columns finds, and the change's whole energy."""
    columns = tiled.tiles.shape[1]
    random = torch.Generator().manual_seed(0)
    directions = torch.randn(columns, width, generator=random, dtype=torch.float64).to(tiled.tiles.device)
    energy = tiled.tiles.total(lambda first, last: tiled.tile(first, last).square_().sum(dtype=torch.float64))
    u = orthonormal(times(tiled, directions))
    v = orthonormal(transposed_times(tiled, u))
    u = orthonormal(times(tiled, v))
    core = transposed_times(tiled, u)

    def svd() -> tuple[Tensor, Tensor, Tensor]:
        v, s, uh = torch.linalg.svd(core, full_matrices=False)
        s = torch.where(s > s[:1] * max(tiled.tiles.shape) * torch.finfo(torch.float64).eps, s, 0.0)
        return u @ uh.mT, s, v.mT

    return *alone(svd), energy


def times(tiled: Tiled, right: Tensor) -> Tensor:
    """Δ·right; [out, k]."""
    return torch.cat(list(tiled.tiles.each(lambda first, last: tiled.tile(first, last) @ right)))


def transposed_times(tiled: Tiled, left: Tensor) -> Tensor:
    """Δᵀ·left; [in, k], summed in the order of the tiles."""
    total = left.new_zeros(tiled.tiles.shape[1], left.shape[1])
    for part in tiled.tiles.each(lambda first, last: tiled.tile(first, last).mT @ left[first:last]):
        total += part
    return total


def orthonormal(columns: Tensor) -> Tensor:
    q: Tensor = alone(lambda: torch.linalg.qr(columns))[0]
    return q
