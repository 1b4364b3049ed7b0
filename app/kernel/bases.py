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
        gram = torch.stack([gram_of(module) for module in parts])
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
        modules = zip(self.parts, coefficients, strict=True)
        return (
            torch.stack([product(parts, small) for parts, small in modules])
            if len(core) > 1
            else product(self.parts[0], coefficients[0])[None]
        )


def product(parts: Sequence[Tensor], small: Tensor) -> Tensor:
    """C·small of the joined parts; [R, k] → [m, k], float64, laid out as the parts are."""
    rows, columns = len(parts[0]), small.shape[1]
    memory = torch.empty(rows * columns, dtype=torch.float64, device=small.device)
    if is_turned(parts):
        result = memory.view(columns, rows).mT
        for first, joined in chunks(parts):
            torch.mm(small.mT, joined.mT, out=result.mT[:, first : first + len(joined)])
    else:
        result = memory.view(rows, columns)
        for first, joined in chunks(parts):
            torch.mm(joined, small, out=result[first : first + len(joined)])
    return result


def gram_of(parts: Sequence[Tensor]) -> Tensor:
    """Cᵀ·C of the joined parts; [R, R], float64."""
    rank = sum(part.shape[1] for part in parts)
    gram = torch.zeros(rank, rank, dtype=torch.float64, device=parts[0].device)
    for _, joined in chunks(parts):
        for start in range(0, rank, gram_columns):
            end = min(start + gram_columns, rank)
            gram[start:end, start:].addmm_(joined[:, start:end].mT, joined[:, start:])
    return gram.triu() + gram.triu(diagonal=1).mT


def is_turned(parts: Sequence[Tensor]) -> bool:
    """The columns lie one after another in memory, not the rows."""
    return parts[0].stride(0) == 1


def chunks(parts: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """The parts joined, some rows at a time: (first row, [rows, R] in float64), laid out as the parts are.

    The memory is that of the chunk before: touching fresh memory costs ten copies.
    """
    rows, rank = len(parts[0]), sum(part.shape[1] for part in parts)
    memory = torch.empty(min(rows_at_once, rows) * rank, dtype=torch.float64, device=parts[0].device)
    for first in range(0, rows, rows_at_once):
        count = min(rows_at_once, rows - first)
        held = memory[: count * rank]
        joined = held.view(rank, count).mT if is_turned(parts) else held.view(count, rank)
        start = 0
        for part in parts:
            joined[:, start : start + part.shape[1]].copy_(part[first : first + count])
            start += part.shape[1]
        yield first, joined
