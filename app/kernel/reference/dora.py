"""DoRA on what it was trained upon."""

import torch
from torch import Tensor


def dora(before: Tensor, delta: Tensor, magnitude: Tensor) -> Tensor:
    """m ∘ (W + Δ) / ‖W + Δ‖, row by row; [out, in], float64.

    Args:
        before: [out, in], W as the adapter's foundation leaves it.
        delta: [out, in], scaling·B·A.
        magnitude: [out], m.

    Source: DoRA, arXiv:2402.09353, equation 5, with the norm of each output over its inputs, as PEFT has it.
    """
    trained = before.double() + delta.double()
    rows = [m * row / row.norm() for m, row in zip(magnitude.double(), trained, strict=True)]
    return torch.stack(rows)
