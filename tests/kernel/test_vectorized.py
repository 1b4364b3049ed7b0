"""Vectorized against the reference, on fresh random inputs."""

import secrets
from collections.abc import Iterator

import pytest
import torch

from app.kernel import reference
from app.kernel.factors import Factors
from app.kernel.vectorized import LowRank, best_rank, concatenate
from tests.kernel.stacks import factors, relative_error, stack_of

shapes = [(1, 1), (7, 5), (5, 7), (33, 65), (129, 31)]
rank_lists = [[1], [3, 8], [8, 8, 8], [1, 3, 8, 3]]
dtypes = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture
def seed() -> int:
    """Fresh for every run; pytest prints it with a failure."""
    return secrets.randbelow(2**20)


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fresh memory is NaN: a value that was read before it was written shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_fresh_memory_is_nan_in_these_tests() -> None:
    assert torch.empty(100).isnan().all()


@pytest.mark.parametrize("dtype", dtypes)
@pytest.mark.parametrize("ranks", rank_lists)
@pytest.mark.parametrize("shape", shapes)
def test_concatenation_is_the_exact_sum(
    shape: tuple[int, int], ranks: list[int], dtype: torch.dtype, seed: int
) -> None:
    stack = stack_of(*shape, ranks, seed, dtype)
    a, b = concatenate(stack, torch.float32)
    assert (a.dtype, b.dtype, len(a)) == (torch.float32, torch.float32, sum(ranks))
    magnitude = sum(abs(member.gain) * float(member.b.double().norm() * member.a.double().norm()) for member in stack)
    assert float((b.double() @ a.double() - reference.linear(stack)).norm()) <= 1e-6 * magnitude


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_concatenation_in_16_bits_rounds_each_value_once(dtype: torch.dtype, seed: int) -> None:
    stack = stack_of(6, 9, [3, 1], seed)
    a, b = concatenate(stack, dtype)
    assert torch.equal(b, torch.cat([member.b for member in stack], dim=1).to(dtype))
    expected = torch.cat([member.a.double() * member.gain for member in stack])
    assert torch.equal(a, reference.merge_into(expected, torch.zeros_like(expected), dtype))


def test_a_concatenation_into_memory_that_was_used_before(seed: int) -> None:
    stack = stack_of(6, 9, [3, 1], seed)
    memory = torch.full((100,), torch.nan)
    a, b = concatenate(stack, torch.float32, memory)
    fresh_a, fresh_b = concatenate(stack, torch.float32)
    assert torch.equal(a, fresh_a)
    assert torch.equal(b, fresh_b)
    assert a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr() == memory.untyped_storage().data_ptr()


def test_members_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        concatenate([factors(3, 4, 1, 1.0, 0), factors(4, 3, 1, 1.0, 1)], torch.float32)


def test_factors_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="needs"):
        Factors(a=torch.zeros(2, 3), b=torch.zeros(3, 3), gain=1.0)


def delta_of(low_rank: LowRank) -> torch.Tensor:
    return low_rank.b.double() @ low_rank.a.double()


@pytest.mark.parametrize("rank", [1, 3, 8, 100])
@pytest.mark.parametrize("ranks", rank_lists)
@pytest.mark.parametrize("shape", shapes)
def test_the_best_rank_has_the_optimal_error(shape: tuple[int, int], ranks: list[int], rank: int, seed: int) -> None:
    stack = stack_of(*shape, ranks, seed)
    delta = reference.linear(stack)
    expected = reference.truncate(delta, rank=rank)
    (found,) = best_rank([stack], torch.float32, rank=rank)
    assert found.rank == min(rank, sum(ranks), *shape)
    error, optimal = float((delta_of(found) - delta).norm()), float((expected.delta - delta).norm())
    assert error <= optimal * (1 + 1e-6) + 1e-6 * float(delta.norm())
    assert found.energy_kept == pytest.approx(expected.energy_kept, abs=1e-9)
    values = expected.singular_values[: len(found.singular_values)]
    assert float((found.singular_values - values).abs().max()) <= 1e-9 * float(values[0])


@pytest.mark.parametrize("energy", [0.2, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("ranks", rank_lists)
@pytest.mark.parametrize("shape", shapes)
def test_an_energy_takes_the_rank_of_the_dense_svd(
    shape: tuple[int, int], ranks: list[int], energy: float, seed: int
) -> None:
    stack = stack_of(*shape, ranks, seed)
    expected = reference.truncate(reference.linear(stack), energy=energy)
    (found,) = best_rank([stack], torch.float32, energy=energy)
    assert found.rank == expected.rank
    assert found.energy_kept >= energy
    assert relative_error(delta_of(found), expected.delta) <= 1e-6


def test_modules_of_one_shape_in_one_call_are_what_each_is_alone(seed: int) -> None:
    stacks = [stack_of(20, 30, [3, 8], seed + index) for index in range(5)]
    together = best_rank(stacks, torch.float32, energy=0.8)
    for stack, found in zip(stacks, together, strict=True):
        (alone,) = best_rank([stack], torch.float32, energy=0.8)
        assert torch.equal(found.a, alone.a)
        assert torch.equal(found.b, alone.b)


def test_factors_are_balanced_and_their_signs_are_fixed(seed: int) -> None:
    (found,) = best_rank([stack_of(40, 30, [8, 3], seed)], torch.float32, rank=6)
    assert torch.allclose(found.b.norm(dim=0), found.singular_values[:6].sqrt().float(), rtol=1e-5)
    assert torch.allclose(found.a.norm(dim=1), found.singular_values[:6].sqrt().float(), rtol=1e-5)
    largest = found.b.gather(0, found.b.abs().argmax(dim=0, keepdim=True))
    assert bool((largest > 0).all())


def test_a_rank_beyond_what_exists_adds_exact_zeros(seed: int) -> None:
    member = factors(30, 20, 4, 1.0, seed)
    (found,) = best_rank([[member, member, member]], torch.float32, rank=10)
    assert found.rank == 10
    assert not found.a[4:].any()
    assert not found.b[:, 4:].any()
    assert not torch.signbit(found.a[4:]).any()
    assert not found.singular_values[4:].any()
    assert relative_error(delta_of(found), 3 * reference.linear([member])) <= 1e-6


def test_the_whole_energy_of_duplicates_is_the_rank_of_one(seed: int) -> None:
    member = factors(30, 20, 4, 0.5, seed)
    (found,) = best_rank([[member] * 5], torch.float32, energy=1.0)
    assert (found.rank, found.energy_kept) == (4, 1.0)


def test_a_sum_of_zero_keeps_one_rank_of_zeros() -> None:
    nothing = factors(6, 5, 3, 0.0, 1)
    (by_energy,) = best_rank([[nothing]], torch.float32, energy=0.9)
    (by_rank,) = best_rank([[nothing]], torch.float32, rank=2)
    assert (by_energy.rank, by_rank.rank) == (1, 2)
    assert by_rank.energy_kept == by_energy.energy_kept == 1.0
    assert not by_rank.a.any()
    assert not by_rank.b.any()


def test_a_core_larger_than_the_module_is_no_trouble(seed: int) -> None:
    stack = stack_of(5, 9, [8, 8, 8], seed)
    (found,) = best_rank([stack], torch.float32, rank=24)
    assert found.rank == 5
    assert relative_error(delta_of(found), reference.linear(stack)) <= 1e-6


def test_either_a_rank_or_an_energy_is_needed() -> None:
    with pytest.raises(ValueError, match="either"):
        best_rank([[factors(2, 2, 1, 1.0, 0)]], torch.float32)


@pytest.mark.parametrize("shape", [(640, 300), (300, 640)])
def test_bits_do_not_depend_on_the_number_of_threads(shape: tuple[int, int], seed: int) -> None:
    stacks = [stack_of(*shape, [16, 24, 8], seed + index) for index in range(3)]
    results = []
    threads_before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(best_rank(stacks, torch.float32, rank=20))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads_before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one.a, two.a)
        assert torch.equal(one.b, two.b)
        assert torch.equal(one.singular_values, two.singular_values)
