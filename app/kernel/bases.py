"""Orthonormal bases of joined factors, of which only the small triangle is made where that is enough."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

rows_at_once = 1024
gram_columns = 128
"""Of one block of a Gram matrix, of which only the upper half is computed."""
least_distance = 1e-3
"""Of each column from the span of those before it, over its length: below, a Gram matrix has lost too many digits."""


@dataclass(frozen=True, slots=True)
class Basis:
    """[C₁ … C_N] = Q·R with orthonormal columns of Q, for modules of one shape; float64."""

    parts: Sequence[Sequence[Tensor]]
    """By module: the Cᵢ, [m, rᵢ], of any dtype."""
    triangle: Tensor
    """R; [modules, min(R, m), R]."""
    q: Tensor | None
    """[modules, m, min(R, m)]; None where it is [C₁ … C_N]·R⁻¹."""

    @classmethod
    def of(cls, parts: Sequence[Sequence[Tensor]]) -> "Basis":
        """By the Cholesky decomposition of the Gram matrix, at half the cost of Householder's and without Q, in columns
        scaled to one length; by Householder's where columns depend on each other so much that this loses digits."""
        gram = gram_of(parts)
        lengths = gram.diagonal(dim1=-2, dim2=-1).sqrt()
        if gram.shape[1] <= len(parts[0][0]) and bool((lengths > 0).all()):
            triangle, failed = torch.linalg.cholesky_ex(gram / (lengths[:, :, None] * lengths[:, None]), upper=True)
            distances = triangle.diagonal(dim1=-2, dim2=-1)
            if not bool(failed.any()) and bool((distances >= least_distance).all()):
                return cls(parts, triangle * lengths[:, None], None)
        q, triangle = torch.linalg.qr(torch.stack([torch.cat([c.double() for c in module], dim=1) for module in parts]))
        return cls(parts, triangle, q)

    def times(self, core: Tensor) -> Tensor:
        """Q·core; [modules, min(R, m), k] → [modules, m, k]."""
        if self.q is not None:
            return self.q @ core
        coefficients = torch.linalg.solve_triangular(self.triangle, core, upper=True)
        rows = self.parts[0][0].shape[0]
        result = torch.empty(len(core), rows, core.shape[2], dtype=torch.float64, device=core.device)
        for first, joined in chunks(self.parts):
            torch.matmul(joined, coefficients, out=result[:, first : first + joined.shape[1]])
        return result


def gram_of(parts: Sequence[Sequence[Tensor]]) -> Tensor:
    """Cᵀ·C of the joined parts of each module; [modules, R, R], float64."""
    rank = sum(part.shape[1] for part in parts[0])
    gram = torch.zeros(len(parts), rank, rank, dtype=torch.float64, device=parts[0][0].device)
    for _, joined in chunks(parts):
        for start in range(0, rank, gram_columns):
            end = min(start + gram_columns, rank)
            gram[:, start:end, start:] += joined[:, :, start:end].mT @ joined[:, :, start:]
    return gram.triu() + gram.triu(diagonal=1).mT


def chunks(parts: Sequence[Sequence[Tensor]]) -> Iterator[tuple[int, Tensor]]:
    """The parts of each module joined, some rows at a time: (first row, [modules, rows, R] in float64, used again)."""
    first_part = parts[0][0]
    rows, rank = len(first_part), sum(part.shape[1] for part in parts[0])
    shape = len(parts), min(rows_at_once, rows), rank
    if first_part.stride(0) == 1:
        # as the parts lie, so that their copies go along with both
        buffer = torch.empty(shape[0], shape[2], shape[1], dtype=torch.float64, device=first_part.device).mT
    else:
        buffer = torch.empty(shape, dtype=torch.float64, device=first_part.device)
    for first in range(0, rows, rows_at_once):
        joined = buffer[:, : min(rows_at_once, rows - first)]
        for module, target in zip(parts, joined, strict=True):
            start = 0
            for part in module:
                target[:, start : start + part.shape[1]] = part[first : first + rows_at_once]
                start += part.shape[1]
        yield first, joined
