"""DoRA held to its reference, and to what it promises of lengths and directions."""

import pytest
import torch

from app.kernel.dora import with_lengths
from app.kernel.reference.dora import dora


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (16, 5)], ids=str)
def test_it_is_the_reference_s_in_either_orientation(shape: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(1)
    before, delta = (torch.randn(shape, generator=random, dtype=torch.float64) for _ in range(2))
    lengths = torch.rand(shape[0], generator=random, dtype=torch.float64) + 0.5
    wanted = dora(before, delta, lengths)
    assert torch.allclose(with_lengths(before + delta, lengths, 1), wanted, rtol=1e-14)
    assert torch.allclose(with_lengths((before + delta).mT, lengths, 0).mT, wanted, rtol=1e-14)
    assert torch.allclose(wanted.norm(dim=1), lengths, rtol=1e-14)


def test_a_weight_at_its_own_lengths_is_itself() -> None:
    weight = torch.randn(6, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(with_lengths(weight, weight.norm(dim=1), 1), weight, rtol=1e-14)


def test_nothing_has_no_direction() -> None:
    """What it gives is not finite, so that a result with it is refused by name."""
    assert (
        not with_lengths(torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, dtype=torch.float64), 1).isfinite().any()
    )
