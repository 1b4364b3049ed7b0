"""LoRA's factors of a convolution with groups, where each group of outputs has its own share of the ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor


def spread(b: Tensor, groups: int) -> Tensor:
    """B of all ranks, zero where an output's group has no share: [out, r / groups] → [out, r], so that ΔW = B·A."""
    out_features, own = b.shape
    blocks = b.new_zeros(groups, out_features // groups, groups, own)
    for group, block in enumerate(b.reshape(groups, out_features // groups, own)):
        blocks[group, :, group] = block
    return blocks.reshape(out_features, groups * own)


def gather(a: Tensor, b: Tensor, ranks: Sequence[int], groups: int) -> tuple[Tensor, Tensor]:
    """Factors that were spread and joined along the rank, as one such convolution has them again.

    Args:
        a: [R, in], b: [out, R].
        ranks: of the members, in their order; each is divisible by `groups`.

    Returns: A [R, in] with the ranks of the first group first, and B [out, R / groups].
    """
    order: list[list[int]] = [[] for _ in range(groups)]
    start = 0
    for rank in ranks:
        own = rank // groups
        for group, places in enumerate(order):
            places.extend(range(start + group * own, start + (group + 1) * own))
        start += rank
    rows = torch.tensor(order, device=b.device)
    parts = [block[:, places] for block, places in zip(b.tensor_split(groups), rows, strict=True)]
    return a[rows.flatten()], torch.cat(parts)
