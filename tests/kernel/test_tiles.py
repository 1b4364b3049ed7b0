"""Tiles in float32, as a bfloat16 result takes them, and the search for thresholds."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.kernel import reference, tiles
from app.kernel.factors import Branch, Factors
from app.kernel.methods import arguments, element_wise, merge_tiles
from app.kernel.selection import kth_largest
from app.kernel.tiles import Tiles
from tests.kernel.branches import branches, of_delta, variant_id, variants
from tests.kernel.stacks import relative_error

element_wise_variants = pytest.mark.parametrize(
    ("name", "parameters"), [variant for variant in variants() if variant[0] in element_wise], ids=variant_id
)


def in_float32(name: str, found: list[Branch], parameters: dict[str, Any]) -> Tensor:
    tiled = merge_tiles(name, found, parameters, torch.float32)
    assert tiled.tiles.dtype is torch.float32
    return torch.cat([tile.clone() for tile in tiled.tiles.each(tiled.tile)])


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "tile_values", 1000)


@element_wise_variants
@pytest.mark.usefixtures("small_tiles")
def test_float32_is_the_reference_but_for_its_rounding(name: str, parameters: dict[str, Any]) -> None:
    found = branches(57, 88, [3, 8, 5])
    expected = reference.methods[name](found, **arguments(parameters))
    assert relative_error(in_float32(name, found, parameters), expected) <= 1e-5


@element_wise_variants
@pytest.mark.usefixtures("small_tiles")
def test_bits_of_float32_do_not_depend_on_the_number_of_threads(name: str, parameters: dict[str, Any]) -> None:
    found = branches(64, 90, [16, 24])
    threads_before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(in_float32(name, found, parameters))
    finally:
        torch.set_num_threads(threads_before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[1], results[2])


@pytest.mark.parametrize("convention", ["paper", "peft", "mergekit"])
def test_what_float32_trims_otherwise_is_at_its_threshold(convention: str) -> None:
    """Of ten million elements ten may be; of these it is one as a rule, or none."""
    found = branches(700, 1000, [16, 16, 16, 16], of_weights=[0.25] * 4)
    parameters = {"density": 0.2, "lambda": 1.0, "convention": convention}
    expected = reference.methods["ties"](found, **arguments(parameters))
    result = in_float32("ties", found, parameters)
    places = ((result - expected).abs() > 1e-5 * expected.abs().max()).nonzero(as_tuple=True)
    assert len(places[0]) <= 3
    distance = torch.full((len(places[0]),), torch.inf, dtype=torch.float64)
    for branch in found:
        magnitudes = branch.delta.dense().abs()
        threshold = kth_largest(magnitudes.flatten(), int(0.2 * magnitudes.numel()))
        distance = torch.minimum(distance, (magnitudes[places] / threshold - 1).abs())
    assert bool((distance <= 1e-6).all())


@pytest.mark.parametrize("size", [1e-30, 1e-18, 1e18, 1e30])
def test_sizes_beyond_float32_are_computed_in_float64(size: float) -> None:
    found = [
        Branch(Factors(one.delta.a, one.delta.b, one.delta.gain * size), one.weight) for one in branches(20, 30, [3, 8])
    ]
    tiled = merge_tiles("ties", found, {"density": 0.3, "lambda": 1.0, "convention": "paper"}, torch.float32)
    assert tiled.tiles.dtype is torch.float64
    expected = reference.methods["ties"](found, density=0.3, scale=1.0, convention="paper")
    assert relative_error(tiled.tile(0, 20), expected) <= 1e-10


def test_a_result_is_not_overwritten_by_the_next() -> None:
    found = branches(20, 30, [3, 8])
    tiled = merge_tiles("dare_linear", found, {"density": 0.3, "lambda": 1.0, "seed": 1, "convention": "paper"})
    first, before = tiled.tile(0, 10), tiled.tile(0, 10).clone()
    tiled.tile(10, 20)
    assert torch.equal(first, before)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 1.0000001, 2.0, 1e-30, 5.0]), min_size=1, max_size=4),
    st.integers(0, 2**20),
    st.sampled_from([torch.float32, torch.float64]),
    st.floats(0, 1),
)
def test_the_kth_largest_of_many_equal_values(values: list[float], seed: int, dtype: torch.dtype, share: float) -> None:
    random = torch.Generator().manual_seed(seed)
    delta = torch.tensor(values)[torch.randint(len(values), (24, 31), generator=random)]
    found = Tiles([of_delta(delta, 1.0)], dtype)
    magnitudes = delta.to(found.dtype)
    k = int(share * delta.numel())
    search = found.search(lambda first, last: magnitudes[first:last].clone(), k, magnitudes.flatten()[::7])
    (threshold,) = found.find([search])
    # every value is kept, whatever its size
    expected = 0.0 if k == delta.numel() else kth_largest(magnitudes.flatten(), k)
    assert threshold == expected
