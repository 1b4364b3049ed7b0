"""DoRA: a weight's directions and its lengths, apart."""

import torch
from torch import Tensor


def with_lengths(values: Tensor, lengths: Tensor, dim: int) -> Tensor:
    """The weight with each output made as long as DoRA's magnitudes say: m ∘ V / ‖V‖, the norm over all inputs.

    Args:
        values: [out, in] with `dim` 1, or [in, out] with `dim` 0; float64. All inputs, or the norm is another.
        lengths: [out], m; float64.
        dim: of the inputs.

    Returns: of the shape of `values`; not finite where an output of zeros is to have a length.
    Source: DoRA, arXiv:2402.09353, equation 5; peft 0.21.2, `DoraLinearVariant.merge_safe`.
    """
    gains: Tensor = lengths / torch.linalg.vector_norm(values, dim=dim)
    return values * gains.unsqueeze(dim)
