"""What the linear method promises, whatever the stack."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kernel import reference
from app.kernel.factors import Factors
from app.kernel.vectorized import best_rank, concatenate
from tests.kernel.stacks import factors, stacks

steady = settings(max_examples=60, deadline=None)


def summed(stack: list[Factors]) -> torch.Tensor:
    a, b = concatenate(stack, torch.float32)
    return b.double() @ a.double()


def magnitude(stack: list[Factors]) -> float:
    """What the members' norms add up to: the scale of rounding errors, also where the sum cancels."""
    return sum(abs(member.gain) * float(member.b.double().norm() * member.a.double().norm()) for member in stack)


@steady
@given(stacks())
def test_the_concatenation_equals_the_reference(stack: list[Factors]) -> None:
    assert float((summed(stack) - reference.linear(stack)).norm()) <= 1e-6 * magnitude(stack)


@steady
@given(stacks())
def test_order_changes_nothing_but_rounding(stack: list[Factors]) -> None:
    assert float((summed(stack) - summed(stack[::-1])).norm()) <= 1e-12 * max(magnitude(stack), 1e-300)


@steady
@given(stacks())
def test_a_member_of_gain_zero_changes_nothing(stack: list[Factors]) -> None:
    out_features, in_features = stack[0].shape
    silent = factors(out_features, in_features, 3, 0.0, 77)
    assert torch.allclose(summed([*stack, silent]), summed(stack), rtol=0, atol=1e-12 * max(magnitude(stack), 1e-300))


@steady
@given(stacks(), st.floats(-3, 3))
def test_the_sum_is_linear_in_the_gains(stack: list[Factors], factor: float) -> None:
    scaled = [Factors(a=member.a, b=member.b, gain=member.gain * factor) for member in stack]
    difference = float((summed(scaled) - factor * summed(stack)).norm())
    assert difference <= 1e-6 * magnitude(stack) * max(abs(factor), 1)


@steady
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 8]))
def test_one_adapter_of_gain_one_is_itself_bit_for_bit(out_features: int, in_features: int, rank: int) -> None:
    member = factors(out_features, in_features, rank, 1.0, 9)
    a, b = concatenate([member], torch.float32)
    assert torch.equal(a, member.a)
    assert torch.equal(b, member.b)


@steady
@given(stacks())
def test_a_stack_and_its_negative_cancel(stack: list[Factors]) -> None:
    negative = [Factors(a=member.a, b=member.b, gain=-member.gain) for member in stack]
    assert float(summed([*stack, *negative]).norm()) <= 1e-12 * max(magnitude(stack), 1e-300)


@steady
@given(stacks(), st.integers(1, 12))
def test_no_rank_has_a_smaller_error_than_the_dense_svd_gives(stack: list[Factors], rank: int) -> None:
    delta = reference.linear(stack)
    (found,) = best_rank([stack], torch.float32, rank=rank)
    assert found.a.isfinite().all()
    assert found.b.isfinite().all()
    optimal = float((reference.truncate(delta, rank=rank).delta - delta).norm())
    error = float((found.b.double() @ found.a.double() - delta).norm())
    assert error <= optimal * (1 + 1e-6) + 1e-6 * magnitude(stack)


@steady
@given(stacks(), st.floats(0.01, 1))
def test_an_energy_is_kept(stack: list[Factors], energy: float) -> None:
    (found,) = best_rank([stack], torch.float64, energy=energy)
    delta = reference.linear(stack)
    lost = float((found.b @ found.a - delta).norm() ** 2)
    assert found.energy_kept >= energy
    assert lost <= (1 - energy) * float(delta.norm() ** 2) + 1e-12 * magnitude(stack) ** 2
