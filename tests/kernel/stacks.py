"""Random stacks of factors, and what they are measured with."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

from app.kernel.factors import Factors


def factors(
    out_features: int, in_features: int, rank: int, gain: float, seed: int, dtype: torch.dtype = torch.float32
) -> Factors:
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rank, in_features, generator=random, dtype=torch.float64).to(dtype)
    b = torch.randn(out_features, rank, generator=random, dtype=torch.float64).to(dtype)
    return Factors(a=a, b=b, gain=gain)


def stack_of(
    out_features: int, in_features: int, ranks: Sequence[int], seed: int, dtype: torch.dtype = torch.float32
) -> list[Factors]:
    gains = [0.7, -1.3, 2.0, 0.25, 1.0, -0.5, 1.7, 0.9]
    return [
        factors(out_features, in_features, rank, gains[index % len(gains)], 1000 * seed + index, dtype)
        for index, rank in enumerate(ranks)
    ]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Frobenius norm of the difference over that of what was expected (or over 1 when that is zero)."""
    scale = float(expected.norm())
    return float((found.double() - expected).norm()) / (scale if scale > 0 else 1.0)


gains = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-4, 4, allow_nan=False).map(lambda gain: round(gain, 3)))


@st.composite
def stacks(draw: st.DrawFn) -> list[Factors]:
    """One to five members of one odd shape, ranks 1 to 8, some of them duplicates or with a B of zeros."""
    out_features, in_features = draw(st.integers(1, 23)), draw(st.integers(1, 23))
    stack: list[Factors] = []
    for seed in draw(st.lists(st.integers(0, 2**32), min_size=1, max_size=5)):
        member = factors(out_features, in_features, draw(st.sampled_from([1, 3, 8])), draw(gains), seed)
        match draw(st.sampled_from(["fresh", "fresh", "duplicate", "zero"])):
            case "duplicate" if stack:
                member = Factors(a=stack[0].a, b=stack[0].b, gain=member.gain)
            case "zero":
                member = Factors(a=member.a, b=torch.zeros_like(member.b), gain=member.gain)
        stack.append(member)
    return stack
