"""A weighted sum into a base, against the correctly rounded float64 result."""

import secrets

import pytest
import torch

from app.kernel import reference
from app.kernel.addition import Addition
from app.kernel.factors import Factors
from tests.kernel.stacks import stack_of

allowed_misrounded = 2e-5


@pytest.fixture
def seed() -> int:
    """Fresh for every run; pytest prints it with a failure."""
    return secrets.randbelow(2**20)


def base_of(rows: int, columns: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    return (torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.02).to(dtype)


def scaled(stack: list[Factors], base: torch.Tensor, share: float) -> list[Factors]:
    """The stack with a sum that is as large as a share of the base."""
    factor = share * float(base.double().norm()) / float(reference.linear(stack).norm())
    return [Factors(member.a, member.b, member.gain * factor) for member in stack]


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3, 10.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("base_dtype", [torch.bfloat16, torch.float32])
def test_it_is_the_correctly_rounded_sum(base_dtype: torch.dtype, dtype: torch.dtype, share: float, seed: int) -> None:
    base = base_of(1000, 700, seed, base_dtype)
    stack = scaled(stack_of(1000, 700, [8, 16, 64, 64, 16], seed), base, share)
    found = Addition(stack, dtype).add_to_base(base.clone(), 0, 1000)
    expected = reference.merge_into(base, reference.linear(stack), dtype)
    assert found.dtype is dtype
    # a large change is looked at more closely
    allowed = allowed_misrounded if share < 0.1 or dtype is not torch.bfloat16 else allowed_misrounded / 2
    assert int((found != expected).sum()) <= 2 * allowed * base.numel()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_tiles_of_rows_are_the_rows_of_the_whole(dtype: torch.dtype, seed: int) -> None:
    base = base_of(50, 40, seed, torch.bfloat16)
    addition = Addition(scaled(stack_of(50, 40, [3, 8], seed), base, 0.3), dtype)
    tiles = [addition.add_to_base(base[start : start + 7], start, min(start + 7, 50)) for start in range(0, 50, 7)]
    assert torch.equal(torch.cat(tiles), addition.add_to_base(base, 0, 50))


def test_a_transposed_base_takes_the_transposed_delta(seed: int) -> None:
    stack = stack_of(12, 9, [3, 1], seed)
    base = base_of(9, 12, seed, torch.float32)
    expected = reference.merge_into(base, reference.linear(stack).mT, torch.float32)
    turned = [member.transposed() for member in stack]
    assert torch.equal(Addition(turned, torch.float32).add_to_base(base, 0, 9), expected)


@pytest.mark.parametrize("gain", [1e-60, 1e-36, 1e30, 0.0])
def test_sizes_beyond_float32_are_summed_all_the_same(gain: float, seed: int) -> None:
    stack = [Factors(member.a, member.b, member.gain * gain) for member in stack_of(30, 20, [3, 8], seed)]
    base = (base_of(30, 20, seed, torch.float32) * gain).bfloat16()
    expected = reference.merge_into(base, reference.linear(stack), torch.bfloat16)
    assert torch.equal(Addition(stack, torch.bfloat16).add_to_base(base, 0, 30), expected)
