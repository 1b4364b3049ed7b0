"""A weighted sum of deltas, added to a base some rows at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.kernel.buffers import Buffers
from app.kernel.factors import Factors, fits_float32
from app.kernel.rounding import round_once
from app.kernel.vectorized import concatenate

small_change = 0.01
"""‖ΔW‖ / ‖W‖ of a tile, up to which a float32 sum misrounds about 1e-5 of its bfloat16 values, as measured."""
doubt = 2.0**-20
"""Of the root mean square of ΔW: how far a float32 product may be off."""


class Addition:
    """Σ gain·B·A, to be added to a base whose result has a dtype.

    A float32 sum has too few bits to spare for a float32 or float16 result, which is summed in float64. For bfloat16 it
    misrounds a few in a million; where the change is large beside the base, so that it would be more, values that a float32
    error could push over a rounding boundary are summed again in float64.

    Args:
        stack: of one shape; for a base that is stored as [in, out] the transposed factors.
        dtype: of the result.
    """

    def __init__(self, stack: Sequence[Factors], dtype: torch.dtype) -> None:
        self.stack = stack
        self.dtype = dtype
        self.buffers = Buffers()
        self.a, self.b = concatenate(stack, torch.float32 if dtype is torch.bfloat16 else torch.float64)
        if not (fits_float32(self.a) and fits_float32(self.b)):
            self.a, self.b = concatenate(stack, torch.float64)

    def add_to_base(self, base: Tensor, first: int, last: int) -> Tensor:
        """Rows of W + ΔW, rounded once.

        Args:
            base: those rows of W, [rows, in], of any floating dtype.

        Returns: [rows, in], new memory.
        """
        dtype, device = self.a.dtype, self.a.device
        shape = (last - first, self.a.shape[1])
        change = torch.mm(self.b[first:last], self.a, out=self.buffers.take("change", shape, dtype, device))
        sum_with = self.buffers.take("base", shape, dtype, device).copy_(base)
        if dtype is torch.float64 or float(change.norm()) <= small_change * float(sum_with.norm()):
            rounded = round_once(sum_with.add_(change), self.dtype)
            # a float64 result is the working memory itself
            return rounded.clone() if rounded is sum_with else rounded
        return self.add_carefully(sum_with, change, first)

    def add_carefully(self, base: Tensor, change: Tensor, first: int) -> Tensor:
        """Both ends of what each value may be are rounded; where they differ, the exact sum decides."""
        bound = doubt * float(change.norm()) / change.numel() ** 0.5
        change.add_(base)
        result: Tensor = (change - bound).to(self.dtype)
        other = change.add_(bound).to(self.dtype)
        rows, columns = (result.view(torch.int16) != other.view(torch.int16)).nonzero(as_tuple=True)
        result[rows, columns] = round_once(self.exact(first + rows, columns).add_(base[rows, columns]), self.dtype)
        return result

    def exact(self, rows: Tensor, columns: Tensor) -> Tensor:
        """ΔW at some places; float64."""
        total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        for factors in self.stack:
            b, a = factors.b[rows].double(), factors.a[:, columns].double()
            total.add_(b.mul_(a.mT).sum(dim=1), alpha=factors.gain)
        return total
