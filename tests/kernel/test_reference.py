"""The reference itself, on cases that can be computed by hand."""

import torch

from app.kernel import reference
from app.kernel.factors import Factors


def test_a_delta_is_gain_times_b_times_a() -> None:
    one = Factors(a=torch.tensor([[1.0, 2.0, 3.0]]), b=torch.tensor([[1.0], [-1.0]]), gain=0.5)
    two = Factors(a=torch.tensor([[0.0, 1.0, 0.0]]), b=torch.tensor([[2.0], [0.0]]), gain=-1.0)
    expected = [[0.5, 1.0 - 2.0, 1.5], [-0.5, -1.0, -1.5]]
    assert reference.linear([one, two]).tolist() == expected


def test_truncation_keeps_the_largest_singular_values() -> None:
    truncation = reference.truncate(torch.diag(torch.tensor([1.0, 3.0, 2.0])), rank=2)
    assert torch.allclose(truncation.delta, torch.diag(torch.tensor([0.0, 3.0, 2.0], dtype=torch.float64)))
    assert truncation.energy_kept == 1 - 1 / 14


def test_an_energy_is_met_by_the_smallest_rank_that_meets_it() -> None:
    delta = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0]))
    ranks = [reference.truncate(delta, energy=energy).rank for energy in (0.1, 0.64, 0.65, 0.92, 0.93, 1.0)]
    assert ranks == [1, 1, 2, 2, 3, 3]


def test_a_delta_of_zeros_has_rank_one_and_loses_nothing() -> None:
    truncation = reference.truncate(torch.zeros(3, 4), energy=0.9)
    assert (truncation.rank, truncation.energy_kept) == (1, 1.0)


def test_a_merge_into_a_base_is_rounded_once() -> None:
    base = torch.ones(1, 1, dtype=torch.bfloat16)
    below_half_a_step = torch.full((1, 1), 2.0**-8 - 2.0**-40, dtype=torch.float64)
    assert float(reference.merge_into(base, below_half_a_step, torch.bfloat16)) == 1.0
