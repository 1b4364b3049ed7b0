"""Bases of joined factors, by either decomposition."""

import pytest
import torch
from torch import Tensor

from app.kernel import bases, reference
from app.kernel.bases import Basis
from app.kernel.factors import Branch, Factors
from app.kernel.methods import merge_factors
from app.kernel.vectorized import best_rank
from tests.kernel.stacks import relative_error


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "rows_at_once", 10)
    monkeypatch.setattr(bases, "gram_columns", 3)


def random(rows: int, columns: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).to(dtype)


def check(parts: list[Tensor], is_made: bool) -> None:
    """Q·R are the parts, with orthonormal columns of Q; `is_made` is Q."""
    basis, joined = Basis.of([parts]), torch.cat([part.double() for part in parts], dim=1)
    (triangle,) = basis.triangle
    (q,) = basis.times(torch.eye(len(triangle), dtype=torch.float64)[None])
    assert (basis.q is not None) is is_made
    assert torch.allclose(q.mT @ q, torch.eye(len(triangle), dtype=torch.float64), rtol=0, atol=1e-9)
    assert relative_error(q @ triangle, joined) <= 1e-12


def test_independent_columns_need_no_orthogonal_factor() -> None:
    check([random(37, 4, 1), random(37, 1, 2), random(37, 8, 3)], is_made=False)
    check([random(4, 37, 1).mT, random(8, 37, 3).mT], is_made=False)
    check([random(37, 4, 1, torch.bfloat16), random(37, 4, 2, torch.float64)], is_made=False)


def test_columns_of_very_different_sizes_are_independent_all_the_same() -> None:
    check([random(37, 4, 1) * 1e-12, random(37, 4, 2) * 1e12], is_made=False)


def test_columns_that_depend_on_each_other_need_it() -> None:
    one = random(37, 4, 1)
    check([one, one], is_made=True)
    check([one, one + 1e-5 * random(37, 4, 2)], is_made=True)
    check([one, torch.zeros(37, 2)], is_made=True)
    check([random(7, 5, 1), random(7, 5, 2)], is_made=True)
    check([random(5, 7, 1).mT, random(5, 7, 2).mT], is_made=True)


def test_small_singular_values_keep_their_digits() -> None:
    """From 1 to 1e-11: those whose squares would be lost beside the largest one's."""
    decay = 10.0 ** -torch.arange(12, dtype=torch.float64)
    one = Factors(random(12, 60, 1, torch.float64), random(50, 12, 2, torch.float64) * decay, 1.0)
    (found,) = best_rank([[one]], torch.float64, rank=12)
    expected = torch.linalg.svdvals(one.dense())[:12]
    assert float(((found.singular_values - expected) / expected).abs().max()) <= 1e-3
    assert relative_error(found.b @ found.a, one.dense()) <= 1e-12


@pytest.mark.parametrize("name", ["tsv", "iso_c", "cart", "core_ties", "knots_ties"])
def test_a_method_on_dependent_factors_is_what_it_means(name: str) -> None:
    b = random(30, 4, 1)
    found = [
        Branch(Factors(random(4, 40, 2), b, 1.0), 1.0, "x"),
        Branch(Factors(random(4, 40, 3), b, 0.5), 0.7, "y"),
    ]
    parameters = {"lambda": 1.0}
    parameters |= {"density": 0.4} if name.endswith("ties") else {}
    parameters |= {"fraction": 0.4} if name == "cart" else {}
    expected = reference.methods[name](found, scale=1.0, **{k: v for k, v in parameters.items() if k != "lambda"})
    assert relative_error(reference.linear(merge_factors(name, found, parameters)), expected) <= 1e-9
