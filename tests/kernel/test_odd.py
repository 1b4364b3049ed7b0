"""Odd adapters get what the reference says, by every method."""

from typing import Any

import pytest
import torch

from app.kernel.addition import Addition
from app.kernel.factors import Branch, Factors
from app.kernel.reference import linear, merge_into
from tests.kernel.branches import branches, expected, fitting, merged, variant_id, variants
from tests.kernel.stacks import factors, relative_error

every_variant = pytest.mark.parametrize(("name", "parameters"), list(variants()), ids=variant_id)


def scaled(found: list[Branch], size: float) -> list[Branch]:
    return [Branch(Factors(one.delta.a, one.delta.b, one.delta.gain * size), one.weight, one.identity) for one in found]


def mixed() -> list[Branch]:
    """Every dtype in one stack."""
    dtypes = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    return [
        Branch(factors(9, 14, 3 + index, 0.5 + index, index, dtype), 0.7 - index, f"x{index}")
        for index, dtype in enumerate(dtypes)
    ]


def denormal() -> list[Branch]:
    """B below the smallest normal float32."""
    return [
        Branch(Factors(one.delta.a, (one.delta.b.double() * 1e-40).float(), one.delta.gain), one.weight, one.identity)
        for one in branches(9, 14, [3, 2, 4])
    ]


odd = {
    "alpha 0": lambda: [*branches(9, 14, [3, 2]), Branch(factors(9, 14, 2, 0.0, 5), 1.0, "silent")],
    "rank above the matrix size": lambda: branches(5, 6, [20, 30, 7]),
    "huge scaling": lambda: scaled(branches(9, 14, [3, 2, 4]), 1e25),
    "tiny scaling": lambda: scaled(branches(9, 14, [3, 2, 4]), 1e-25),
    "denormals": denormal,
    "mixed dtypes": mixed,
}


@every_variant
@pytest.mark.parametrize("kind", sorted(odd))
def test_a_method(name: str, parameters: dict[str, Any], kind: str) -> None:
    found = fitting(name, odd[kind]())
    assert relative_error_of_any_size(merged(name, found, parameters), expected(name, found, parameters)) <= 1e-9


def relative_error_of_any_size(result: torch.Tensor, known: torch.Tensor) -> float:
    """As `relative_error`, without squares that underflow."""
    size = float(known.abs().max()) or 1.0
    return relative_error(result.double() / size, known / size)


@pytest.mark.parametrize("kind", sorted(odd))
def test_a_sum_into_a_base(kind: str) -> None:
    stack = [Factors(one.delta.a, one.delta.b, one.weight * one.delta.gain) for one in odd[kind]()]
    base = torch.randn(stack[0].shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    assert torch.equal(
        Addition(stack, torch.bfloat16).add_to_base(base, 0, len(base)),
        merge_into(base, linear(stack), torch.bfloat16),
    )
