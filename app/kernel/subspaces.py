"""Methods that live in the joint space of the factors: everything is computed on an R × R core (KnOTS: on R × in).

B = [B₁ … B_N] and A = [A₁; …; A_N] give B = Q_B·R_B and Aᵀ = Q_A·R_A, so that Δᵢ = Q_B·Mᵢ·Q_Aᵀ with a small Mᵢ. A method
that goes by singular vectors does the same to Mᵢ as to Δᵢ, since Q_B and Q_A have orthonormal columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from app.kernel.bases import Basis
from app.kernel.elections import elections
from app.kernel.factors import Branch, Factors
from app.kernel.selection import kth_largest

eps = torch.finfo(torch.float64).eps
rounding = 1e-12
"""Of the sum of all magnitudes: a vote that is closer is a tie."""
smallest_square = 1e-8
"""Of singular values, over the largest: squares have lost half of the digits of a smaller one."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The branches in the basis of all their factors."""

    left: Basis
    """Of the Bᵢ."""
    right: Basis
    """Of the Aᵢᵀ."""
    parts: list[tuple[Tensor, Tensor]]
    """Lᵢ and Rᵢ, [R, rᵢ]: the cores of the deltas without their weights are Mᵢ = Lᵢ·Rᵢᵀ."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, branches: Sequence[Branch]) -> "Joint":
        left = Basis.of([[branch.delta.b for branch in branches]])
        right = Basis.of([[branch.delta.a.mT for branch in branches]])
        parts, start = [], 0
        for branch in branches:
            end = start + branch.delta.rank
            parts.append((branch.delta.gain * left.triangle[0, :, start:end], right.triangle[0, :, start:end]))
            start = end
        return cls(left, right, parts, branches[0].delta.shape)

    @property
    def cores(self) -> list[Tensor]:
        return [left @ right.mT for left, right in self.parts]

    def svd(self, matrix: Tensor, magnitude: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """As `svd`; the noise is that of the dense delta's size."""
        return svd(matrix, max(self.shape), magnitude)

    def factors(self, core: Tensor) -> list[Factors]:
        """Q_B·core·Q_Aᵀ at the rank min(R, out, in)."""
        rows, columns = core.shape
        if rows <= columns:
            return self.product(torch.eye(rows, dtype=core.dtype, device=core.device), core)
        return self.product(core, torch.eye(columns, dtype=core.dtype, device=core.device))

    def product(self, b: Tensor, a: Tensor) -> list[Factors]:
        """(Q_B·b)·(a·Q_Aᵀ)."""
        return [Factors(a=self.right.times(a.mT[None])[0].mT, b=self.left.times(b[None])[0], gain=1.0)]


def svd(matrix: Tensor, size: int, magnitude: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, Vᵀ without the singular values that are rounding noise of a matrix with `size` rows or columns.

    `magnitude` is what the matrix was summed from, where that may have cancelled; else the largest singular value.
    """
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    rank = int((s > size * eps * (s[0] if magnitude is None else magnitude)).sum())
    return u[:, :rank], s[:rank], vh[:rank]


def polar(columns: Tensor, size: int) -> Tensor:
    """U·Vᵀ of the SVD: the nearest matrix with orthonormal columns, on dependent ones a partial isometry."""
    u, _, vh = svd(columns, size)
    return u @ vh


def weighted_cores(joint: Joint, branches: Sequence[Branch]) -> list[Tensor]:
    return [branch.weight * core for branch, core in zip(branches, joint.cores, strict=True)]


def tsv(branches: Sequence[Branch], *, scale: float) -> list[Factors]:
    joint = Joint.of(branches)
    parts = [
        svd_of_product(branch.weight * left, right, max(joint.shape))
        for branch, (left, right) in zip(branches, joint.parts, strict=True)
    ]
    s = torch.cat([part[1] for part in parts])
    if len(s) == 0:
        return joint.factors(torch.zeros_like(joint.cores[0]))
    u = polar(torch.cat([part[0] for part in parts], dim=1), joint.shape[0])
    v = polar(torch.cat([part[2].mT for part in parts], dim=1), joint.shape[1])
    return joint.factors(scale * (u * s) @ v.mT)


def svd_of_product(left: Tensor, right: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `svd`, of left·rightᵀ, which is never made."""
    q_left, r_left = torch.linalg.qr(left)
    q_right, r_right = torch.linalg.qr(right)
    u, s, vh = svd(r_left @ r_right.mT, size)
    return q_left @ u, s, vh @ q_right.mT


def iso_c(branches: Sequence[Branch], *, scale: float) -> list[Factors]:
    joint = Joint.of(branches)
    cores = torch.stack(weighted_cores(joint, branches))
    u, s, vh = joint.svd(cores.sum(dim=0), cores.norm(dim=(1, 2)).sum())
    return joint.factors(scale * s.sum() / max(len(s), 1) * (u @ vh))


def iso_cts(branches: Sequence[Branch], *, scale: float, common_fraction: float) -> list[Factors]:
    joint = Joint.of(branches)
    cores = torch.stack(weighted_cores(joint, branches))
    u, s, vh = joint.svd(cores.sum(dim=0), cores.norm(dim=(1, 2)).sum())
    if len(s) == 0:
        return joint.factors(torch.zeros_like(cores[0]))
    own_rank = min(len(s) // len(cores), round((len(s) - int(len(s) * common_fraction)) / len(cores)))
    common = len(s) - own_rank * len(cores)
    common_u = u[:, :common]
    us, ss, vs = [common_u], [s[:common]], [vh[:common].mT]
    for core in cores:
        own_u, own_s, own_vh = torch.linalg.svd(core - common_u @ (common_u.mT @ core), full_matrices=False)
        # what the projection leaves of a direction that the common part spans is noise of the delta's own size
        rank = min(own_rank, int((own_s > 1e-12 * core.norm()).sum()))
        us.append(own_u[:, :rank])
        ss.append(own_s[:rank])
        vs.append(own_vh[:rank].mT)
    u = polar(torch.cat(us, dim=1), joint.shape[0])
    v = polar(torch.cat(vs, dim=1), joint.shape[1])
    return joint.factors(scale * torch.cat(ss).mean() * (u @ v.mT))


def cart(branches: Sequence[Branch], *, scale: float, fraction: float) -> list[Factors]:
    joint = Joint.of(branches)
    cores = weighted_cores(joint, branches)
    mean = torch.stack(cores).sum(dim=0) / len(cores)
    rank = ceil(fraction * min(sum(branch.delta.rank for branch in branches), *joint.shape))
    result = mean.clone()
    for core in cores:
        u, s, vh = torch.linalg.svd(core - mean, full_matrices=False)
        result += scale * (u[:, :rank] * s[:rank]) @ vh[:rank]
    return joint.factors(result)


def knots_ties(branches: Sequence[Branch], *, density: float, scale: float) -> list[Factors]:
    """The SVD of [Δ₁ … Δ_N] is that of Q_B·[R_B,ᵢ·Lᵢ]·blockdiag(Qᵢᵀ), where Aᵢᵀ = Qᵢ·Lᵢᵀ: of a matrix of R columns."""
    left_basis = Basis.of([[branch.delta.b for branch in branches]])
    rights, smalls, start = [], [], 0
    for branch in branches:
        left = branch.delta.gain * left_basis.triangle[0, :, start : start + branch.delta.rank]
        triangle = Basis.of([[branch.delta.a.mT]]).triangle[0]
        rights.append(left)
        smalls.append(left @ triangle.mT)
        start += branch.delta.rank
    out_features, in_features = branches[0].delta.shape
    u, _, _ = svd(torch.cat(smalls, dim=1), max(out_features, in_features * len(branches)))
    coordinates = [(u.mT @ left) @ branch.delta.a.double() for left, branch in zip(rights, branches, strict=True)]
    merged = scale * voted(coordinates, branches, density)
    return at_joint_rank(left_basis.times(u[None])[0], merged, branches)


def core_ties(branches: Sequence[Branch], *, density: float, scale: float) -> list[Factors]:
    """The cores in the singular vectors of the joint factors: a basis that the factors alone decide."""
    joint = Joint.of(branches)
    u, v = (
        left_vectors(basis.triangle[0], max(basis.triangle.shape[2], side))
        for basis, side in zip((joint.left, joint.right), joint.shape, strict=True)
    )
    merged = scale * voted([(u.mT @ left) @ (v.mT @ right).mT for left, right in joint.parts], branches, density)
    (product,) = joint.product(u @ merged, v.mT)
    return at_joint_rank(product.b, product.a, branches)


def left_vectors(triangle: Tensor, size: int) -> Tensor:
    """U of `svd`, in any order; from the eigenvectors of the square where no singular value is so small that it suffers."""
    square: Tensor = triangle @ triangle.mT
    values, vectors = torch.linalg.eigh(square)
    if float(values[0]) > smallest_square * float(values[-1]):
        u: Tensor = vectors
        return u
    return svd(triangle, size)[0]


def voted(values: Sequence[Tensor], branches: Sequence[Branch], density: float) -> Tensor:
    """TIES, convention `paper`, of small matrices that are all there."""
    if values[0].numel() == 0:
        return values[0]
    k = int(density * values[0].numel())
    trimmed = [value.masked_fill(value.abs() < kth_largest(value.abs().flatten(), k), 0.0) for value in values]
    weights = torch.tensor([branch.weight for branch in branches], dtype=torch.float64, device=values[0].device)
    return elections["paper"].merge(torch.stack(trimmed), weights, rounding)


def at_joint_rank(b: Tensor, a: Tensor, branches: Sequence[Branch]) -> list[Factors]:
    """b·a at the rank min(R, out, in) that every joint method has, so that it is known without the values."""
    out_features, in_features = branches[0].delta.shape
    rank = min(sum(branch.delta.rank for branch in branches), out_features, in_features)
    if len(a) > rank:
        # more than one side of the delta: one factor is the delta itself, the other the identity
        delta, identity = b @ a, torch.eye(rank, dtype=torch.float64, device=b.device)
        b, a = (identity, delta) if out_features == rank else (delta, identity)
    missing = rank - len(a)
    if missing == 0:
        return [Factors(a=a, b=b, gain=1.0)]
    return [
        Factors(a=torch.nn.functional.pad(a, (0, 0, 0, missing)), b=torch.nn.functional.pad(b, (0, missing)), gain=1.0)
    ]
