"""Who is merged in an element: everybody, or those who agree with an elected sign. All deltas of a tile at once."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from app.kernel.buffers import Buffer, fresh_on


class Divisor(StrEnum):
    """What the sum over those who agree is divided by."""

    NOTHING = "nothing"
    COUNT = "count"
    WEIGHTS = "weights"


@dataclass(frozen=True, slots=True)
class Election:
    """How an element's sign is elected, and what becomes of those who agree."""

    divisor: Divisor
    counts_weights: bool = True
    """The sign is that of Σ weight·value, not of Σ value."""
    tie_is_plus: bool = True
    """Else a tie elects nobody, and the element is 0: an exact one, or one that rounding has broken."""

    def merge(self, values: Tensor, weights: Tensor, rounding: float, buffer: Buffer | None = None) -> Tensor:
        """The merge of N deltas, element by element; a value of 0 has no vote.

        Args:
            values: [N, …], one delta each; overwritten.
            weights: [N], of the same dtype.
            rounding: a vote that is closer than this share of the sum of all magnitudes is a tie.
            buffer: gives working memory, new if there is none; the result has its own.

        Returns: […], new memory.
        """
        shape, values = values.shape[1:], values.flatten(start_dim=1)
        count, buffer = values.shape[1], buffer or fresh_on(values.device)
        shares = weights if self.divisor is Divisor.WEIGHTS else torch.ones_like(weights)
        if self.counts_weights:
            for value, weight in zip(values, weights.tolist(), strict=True):
                if weight < 0:
                    # it stands for the other sign
                    value.neg_()
            weights = weights.abs()
        votes = buffer("votes", count, dtype=values.dtype)
        torch.mv(values.mT, weights if self.counts_weights else torch.ones_like(weights), out=votes)
        elected = torch.sign(votes, out=buffer("elected", count, dtype=values.dtype))
        if self.tie_is_plus:
            # signs by arithmetic: a comparison costs as much as four additions
            elected.add_(0.5).sign_()
        agreeing = values.mul_(elected).clamp_(min=0.0)
        merged = weighted_sum(agreeing, weights)
        if not self.tie_is_plus:
            # those who disagree have the agreeing less the vote: together 2·merged - |vote|
            elected.mul_(votes.abs_().sub_(merged, alpha=2 * rounding).clamp_(min=0.0).sign_())
        merged.mul_(elected)
        if self.divisor is not Divisor.NOTHING:
            divisor = torch.mv(agreeing.sign_().mT, shares, out=votes)
            least = float(shares.min())
            # nobody's sum is 0 whatever it is divided by; weights of both signs may add up to 0
            merged.div_(divisor.clamp_(min=least) if least > 0 else divisor.where(divisor != 0, 1.0))
        return merged.view(shape)


elections = {
    "paper": Election(Divisor.COUNT, tie_is_plus=False),
    "peft": Election(Divisor.COUNT, counts_weights=False),
    "mergekit": Election(Divisor.WEIGHTS),
    "weighted_sum": Election(Divisor.NOTHING),
}
"""By convention; `weighted_sum` is mergekit's for the methods that it does not normalize."""


def weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """Σ weightᵢ·valueᵢ; [N, …] and [N] → […], new memory."""
    return torch.mv(values.flatten(start_dim=1).mT, weights).view(values.shape[1:])
