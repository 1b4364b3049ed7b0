"""Rounding once, against exact rational arithmetic."""

from fractions import Fraction

import pytest
import torch

from app.kernel.rounding import round_once


def neighbours(value: float, dtype: torch.dtype) -> list[float]:
    near = torch.tensor(value, dtype=torch.float32).to(dtype)
    infinity = torch.tensor(torch.inf, dtype=dtype)
    return [float(near), float(torch.nextafter(near, infinity)), float(torch.nextafter(near, -infinity))]


def is_nearest(value: float, rounded: torch.Tensor, dtype: torch.dtype) -> bool:
    distances = {candidate: abs(Fraction(candidate) - Fraction(value)) for candidate in neighbours(value, dtype)}
    least = min(distances.values())
    winners = [candidate for candidate, distance in distances.items() if distance == least]
    if len(winners) == 1:
        return float(rounded) == winners[0]
    # a tie: the even one of the two
    return float(rounded) in winners and int(rounded.view(torch.int16)) & 1 == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float64_is_rounded_once_and_not_by_way_of_float32(dtype: torch.dtype) -> None:
    # just above the tie between 1 and its successor: float32 would make it the tie, and the tie goes down to 1
    half_step = torch.finfo(dtype).eps / 2
    above_tie = torch.tensor([1 + half_step + 2.0**-50], dtype=torch.float64)
    assert float(above_tie.to(dtype)) == 1.0
    assert float(round_once(above_tie, dtype)) == 1 + torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_value_becomes_its_nearest(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(5)
    spread = torch.randn(400, generator=random, dtype=torch.float64)
    scales = 2.0 ** torch.randint(-22, 12, (400,), generator=random).double()
    exact_ties = (spread * scales).to(dtype).double() * (1 + torch.finfo(dtype).eps / 2)
    near_ties = exact_ties * (1 + 1e-12 * torch.randn(400, generator=random, dtype=torch.float64))
    values = torch.cat([spread * scales, exact_ties, near_ties, torch.zeros(1, dtype=torch.float64)])
    rounded = round_once(values, dtype)
    wrong = [
        float(value) for value, found in zip(values, rounded, strict=True) if not is_nearest(float(value), found, dtype)
    ]
    assert wrong == []


def test_infinities_and_what_is_beyond_the_range_become_infinities() -> None:
    values = torch.tensor([torch.inf, -torch.inf, 1e300, 70000.0], dtype=torch.float64)
    assert round_once(values, torch.float16).tolist() == [torch.inf, -torch.inf, torch.inf, torch.inf]
