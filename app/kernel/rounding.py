"""One correct rounding."""

import torch
from torch import Tensor

low_bits = {torch.bfloat16: 0x7FFF, torch.float16: 0x0FFF}
"""The bits of a float32 that are zero when it is a tie of the dtype, and else almost never."""


def round_once(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest value of `dtype`, ties to even; beyond its range an infinity.

    torch itself rounds float64 twice on the way to 16 bits: first to float32, which may be a tie that the value was
    not. Those few float32 are moved by one step towards the value before the second rounding, which then is the only
    one that counts.
    """
    if values.dtype is not torch.float64 or dtype not in low_bits:
        return values.to(dtype)
    nearest = values.to(torch.float32).contiguous()
    suspects = (nearest.view(torch.int32) & low_bits[dtype] == 0).nonzero(as_tuple=True)
    near, remainder = nearest[suspects], values[suspects]
    remainder = torch.where(near.isfinite(), remainder - near.to(torch.float64), 0.0)
    towards = torch.where(remainder > 0, torch.inf, -torch.inf).to(torch.float32)
    nearest[suspects] = torch.where(remainder != 0, torch.nextafter(near, towards), near)
    return nearest.to(dtype)
