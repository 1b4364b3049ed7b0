"""LoRA's factors of all experts in one tensor, as PEFT lays them out, and those of each."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def split(a: Tensor, b: Tensor, experts: int) -> list[tuple[Tensor, Tensor]]:
    """A [r, in] and B [out, r] of each expert, views where there is one alone.

    Args:
        a: [experts·r, in], the ranks of one expert after those of another.
        b: [out, r·experts], one rank of all experts after another; copied, so that an expert's own lies together.

    Source: PEFT 0.21.2, `tuners/lora/layer.py`, `ParamWrapper.get_delta_weight`.
    """
    if experts == 1:
        return [(a, b)]
    of_each = b.reshape(len(b), -1, experts).permute(2, 0, 1).contiguous()
    return list(zip(a.tensor_split(experts), of_each, strict=True))


def join(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """What `split` takes apart, at the largest rank: smaller ones are filled up with zeros, since all have one rank."""
    if len(pairs) == 1:
        return pairs[0]
    rank = max(len(a) for a, _ in pairs)
    a = torch.cat([pad(a, (0, 0, 0, rank - len(a))) for a, _ in pairs])
    b = torch.stack([pad(b, (0, rank - b.shape[1])) for _, b in pairs], dim=-1)
    return a, b.flatten(1)
