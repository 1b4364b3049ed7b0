"""The factors of a convolution with groups, held to torch's own convolutions."""

import pytest
import torch
from torch.nn.functional import conv2d

from app.kernel.convolutions import gather, spread


def random_factors(rank: int, groups: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(rank, 5 * 3 * 3, generator=random, dtype=torch.float64)
    return a, torch.randn(12, rank // groups, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_spread_it_is_one_matrix(groups: int) -> None:
    a, b = random_factors(8, groups, 1)
    seen = torch.randn(2, 5, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = conv2d(conv2d(seen, a.reshape(8, 5, 3, 3)), b[..., None, None], groups=groups)
    found = conv2d(seen, (spread(b, groups) @ a).reshape(12, 5, 3, 3))
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_joined_and_gathered_it_is_the_sum(groups: int) -> None:
    made = [random_factors(rank, groups, seed) for seed, rank in enumerate([4, 8, 4])]
    spread_b = [spread(b, groups) for _, b in made]
    joined_a, joined_b = torch.cat([a for a, _ in made]), torch.cat(spread_b, dim=1)
    a, b = gather(joined_a, joined_b, [4, 8, 4], groups)
    assert (a.shape, b.shape) == ((16, 45), (12, 16 // groups))
    wanted = sum((one @ two for one, (two, _) in zip(spread_b, made, strict=True)), torch.zeros(12, 45))
    assert torch.allclose(spread(b, groups) @ a, wanted, rtol=1e-12, atol=1e-12)
