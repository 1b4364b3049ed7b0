"""Methods that go by the deltas' singular vectors. `eps` of a float64 SVD decides what is a singular value and what is zero."""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from app.kernel.factors import Branch
from app.kernel.reference.directions import sum_of, weighted
from app.kernel.reference.elements import elect, trim


def svd(matrix: Tensor, magnitude: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, Vᵀ without the singular values that are rounding noise: as many as the numerical rank.

    `magnitude` is what the matrix was summed from, where that may have cancelled; else the largest singular value.
    """
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    noise = max(matrix.shape) * torch.finfo(torch.float64).eps * (s[0] if magnitude is None else magnitude)
    rank = int((s > noise).sum())
    return u[:, :rank], s[:rank], vh[:rank]


def polar(columns: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns, U·Vᵀ of its SVD; on dependent columns a partial isometry.

    A column beyond the numerical rank would be arbitrary, so that it is left out: two equal columns become each 1/√2.
    """
    u, _, vh = svd(columns)
    return u @ vh


def tsv(branches: Sequence[Branch], *, scale: float) -> Tensor:
    """The deltas' singular vectors side by side, made orthogonal together, with their own singular values.

    Each delta keeps all of its singular vectors, since it has no more than its rank. (The published code takes min(m, n) / N for
    each, which for a LoRA are arbitrary vectors of a null space.)

    Source: Task Singular Vectors, arXiv:2412.00081, algorithm 1.
    """
    parts = [svd(delta) for delta in weighted(branches) if float(delta.norm()) > 0]
    if not parts:
        return torch.zeros(branches[0].delta.shape, dtype=torch.float64)
    u = polar(torch.cat([part[0] for part in parts], dim=1))
    v = polar(torch.cat([part[2].mT for part in parts], dim=1))
    return scale * u @ torch.diag(torch.cat([part[1] for part in parts])) @ v.mT


def iso_c(branches: Sequence[Branch], *, scale: float) -> Tensor:
    """The sum with all of its singular values made equal to their mean.

    The mean goes over the numerical rank; the published one goes over min(m, n), zeros with arbitrary vectors included.

    Source: No Task Left Behind, arXiv:2502.04959, section 4 (Iso-C).
    """
    deltas = weighted(branches)
    u, s, vh = svd(sum_of(deltas), sum_of([delta.norm() for delta in deltas]))
    return scale * s.sum() / max(len(s), 1) * (u @ vh)


def iso_cts(branches: Sequence[Branch], *, scale: float, common_fraction: float) -> Tensor:
    """Iso-C whose smallest directions are given to the single deltas: each brings what the common part does not span.

    Of the sum's numerical rank R the largest `common_fraction` is common; the rest is shared evenly, and what does not divide
    stays common.

    Source: No Task Left Behind, arXiv:2502.04959, section 4 (Iso-CTS), with R in the place of min(m, n).
    """
    deltas = weighted(branches)
    u, s, vh = svd(sum_of(deltas), sum_of([delta.norm() for delta in deltas]))
    if len(s) == 0:
        return torch.zeros_like(deltas[0])
    own_rank = own_dimensions(len(s), len(deltas), common_fraction)
    common = len(s) - own_rank * len(deltas)
    common_u = u[:, :common]
    us, ss, vs = [common_u], [s[:common]], [vh[:common].mT]
    for delta in deltas:
        own_u, own_s, own_vh = torch.linalg.svd(delta - common_u @ (common_u.mT @ delta), full_matrices=False)
        # what the projection leaves of a direction that the common part spans is noise of the delta's own size
        rank = min(own_rank, int((own_s > 1e-12 * delta.norm()).sum()))
        us.append(own_u[:, :rank])
        ss.append(own_s[:rank])
        vs.append(own_vh[:rank].mT)
    return scale * torch.cat(ss).mean() * polar(torch.cat(us, dim=1)) @ polar(torch.cat(vs, dim=1)).mT


def own_dimensions(rank: int, count: int, common_fraction: float) -> int:
    """How many directions each of `count` deltas brings of its own."""
    return min(rank // count, round((rank - int(rank * common_fraction)) / count))


def cart(branches: Sequence[Branch], *, scale: float, fraction: float) -> Tensor:
    """The mean, and of each delta's difference from it the largest singular directions.

    `fraction` is of R, the sum of the ranks (the published one is of min(m, n), where a LoRA would lose nothing); at 1
    nothing is cut and the differences cancel: the mean.

    Source: Revisiting Weight Averaging for Model Merging (CART), arXiv:2412.12153, section 4.
    """
    deltas = weighted(branches)
    mean = sum_of(deltas) / len(deltas)
    rank = ceil(fraction * min(sum(branch.delta.rank for branch in branches), *mean.shape))
    result = mean.clone()
    for delta in deltas:
        u, s, vh = torch.linalg.svd(delta - mean, full_matrices=False)
        result += scale * (u[:, :rank] @ torch.diag(s[:rank]) @ vh[:rank])
    return result


def knots_ties(branches: Sequence[Branch], *, density: float, scale: float) -> Tensor:
    """TIES on the deltas' coordinates in one common basis: U of [Δ₁ … Δ_N] = U·S·[V₁ … V_N], coordinates S·Vᵢ.

    Source: KnOTS, arXiv:2410.19735, section 4; TIES as in `ties`, convention `paper`.
    """
    deltas = [branch.delta.dense() for branch in branches]
    side_by_side = torch.cat(deltas, dim=1)
    if float(side_by_side.norm()) == 0:
        return deltas[0]
    u, _, _ = svd(side_by_side)
    coordinates = [trim(u.mT @ delta, density) for delta in deltas]
    return scale * u @ elect(coordinates, [branch.weight for branch in branches], "paper")


def core_ties(branches: Sequence[Branch], *, density: float, scale: float) -> Tensor:
    """TIES on the R × R cores Mᵢ = U_Bᵀ·Δᵢ·V_A; U_B are the left singular vectors of [B₁ … B_N], V_A the right ones of [A₁; …].

    Source: Core Space, arXiv:2509.17786, section 3; TIES as in `ties`, convention `paper`.
    """
    b = torch.cat([branch.delta.b.double() for branch in branches], dim=1)
    a = torch.cat([branch.delta.a.double() for branch in branches])
    if float(b.norm()) == 0 or float(a.norm()) == 0:
        return branches[0].delta.dense()
    u, _, _ = svd(b)
    _, _, vh = svd(a)
    cores = [trim(u.mT @ branch.delta.dense() @ vh.mT, density) for branch in branches]
    return scale * u @ elect(cores, [branch.weight for branch in branches], "paper") @ vh
