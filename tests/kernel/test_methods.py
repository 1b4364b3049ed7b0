"""Every method as it runs, against its meaning, and what each promises."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kernel import reference, tiles
from app.kernel.factors import Branch, Factors
from app.kernel.methods import element_wise, low_rank, merge_factors, merge_tiles
from app.merge.methods import methods
from tests.kernel.branches import branches, expected, fitting, merged, variant_id, variants
from tests.kernel.properties import properties
from tests.kernel.stacks import relative_error

every_variant = pytest.mark.parametrize(("name", "parameters"), list(variants()), ids=variant_id)
shapes = [(1, 1), (1, 9), (7, 5), (33, 65), (129, 31)]
rank_lists = [[4], [3, 8], [8, 1, 3], [16, 16, 16, 16]]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that the matrices of these tests are cut into many; fresh memory is NaN."""
    monkeypatch.setattr(tiles, "tile_values", 100)
    torch.use_deterministic_algorithms(True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)


@pytest.fixture(autouse=True)
def deterministic_no_more() -> Any:
    yield
    torch.use_deterministic_algorithms(False)


@every_variant
@pytest.mark.parametrize("ranks", rank_lists, ids=str)
@pytest.mark.parametrize("shape", shapes, ids=str)
def test_what_runs_is_what_the_reference_means(
    name: str, parameters: dict[str, Any], ranks: list[int], shape: tuple[int, int]
) -> None:
    found = fitting(name, branches(*shape, ranks))
    assert relative_error(merged(name, found, parameters), expected(name, found, parameters)) <= 1e-10


@every_variant
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_of_the_factors_is_taken(name: str, parameters: dict[str, Any], dtype: torch.dtype) -> None:
    found = fitting(name, branches(20, 30, [3, 8, 5], dtype=dtype))
    assert relative_error(merged(name, found, parameters), expected(name, found, parameters)) <= 1e-10


@every_variant
def test_the_order_of_the_layers_changes_what_it_says(name: str, parameters: dict[str, Any]) -> None:
    found = fitting(name, branches(20, 30, [3, 8, 5, 2]))
    one, other = merged(name, found, parameters), merged(name, found[::-1], parameters)
    assert (relative_error(one, other) <= 1e-9) is properties[name].ignores_order is methods[name].ignores_order


random_methods = {name for name, facts in methods.items() if "seed" in facts.parameters}


@every_variant
def test_deltas_twice_as_large_give_a_result_twice_as_large(name: str, parameters: dict[str, Any]) -> None:
    found = fitting(name, branches(20, 30, [3, 8, 5]))
    doubled = [Branch(Factors(one.delta.a, one.delta.b, 2 * one.delta.gain), one.weight, one.identity) for one in found]
    assert relative_error(merged(name, doubled, parameters), 2 * merged(name, found, parameters)) <= 1e-9


@pytest.mark.parametrize(
    ("name", "parameters"), [variant for variant in variants() if "lambda" in variant[1]], ids=variant_id
)
def test_lambda_multiplies_the_result(name: str, parameters: dict[str, Any]) -> None:
    found = branches(20, 30, [3, 8, 5])
    whole = merged(name, found, parameters | {"lambda": 1.0})
    quarter = merged(name, found, parameters | {"lambda": -0.25})
    assert (relative_error(quarter, -0.25 * whole) <= 1e-12) is properties[name].is_scaled_by_lambda


@pytest.mark.parametrize("name", sorted(methods))
def test_one_adapter_at_weight_one_comes_back_where_nothing_is_cut(name: str) -> None:
    parameters = {key: parameter.default for key, parameter in methods[name].parameters.items()}
    parameters |= {"density": 1.0} if "density" in parameters else {}
    parameters |= {"fraction": 1.0} if "fraction" in parameters else {}
    found = branches(20, 30, [8], of_weights=[1.0])
    is_kept = relative_error(merged(name, found, parameters), found[0].delta.dense()) <= 1e-10
    assert is_kept is properties[name].returns_single


@pytest.mark.parametrize("name", sorted(methods))
def test_an_adapter_that_agrees_with_itself(name: str) -> None:
    """Two equal adapters at weight 1: a mean gives one of them, a sum two, and what levels singular values neither."""
    parameters = {key: parameter.default for key, parameter in methods[name].parameters.items()}
    parameters |= {"density": 1.0} if "density" in parameters else {}
    parameters |= {"fraction": 1.0} if "fraction" in parameters else {}
    one = branches(20, 30, [8], of_weights=[1.0])[0]
    result = merged(name, [one, one], parameters)
    found = [times for times in (1, 2) if relative_error(result, times * one.delta.dense()) <= 1e-7]
    assert found == [times for times in [properties[name].of_duplicates] if times is not None]


@every_variant
def test_adapters_of_rank_one_and_a_b_of_zeros(name: str, parameters: dict[str, Any]) -> None:
    found = fitting(name, branches(9, 14, [1, 1, 1]))
    silent = Branch(Factors(found[0].delta.a, torch.zeros_like(found[0].delta.b), 1.0), 1.0, "silent")
    for stack in (found, [silent, *found[1:]], [silent], [silent] * min(2, len(found))):
        result = merged(name, stack, parameters)
        assert result.isfinite().all()
        assert relative_error(result, expected(name, stack, parameters)) <= 1e-9


@every_variant
def test_an_adapter_and_its_opposite_are_no_trouble(name: str, parameters: dict[str, Any]) -> None:
    one = branches(20, 30, [5], of_weights=[1.0])[0]
    other = Branch(Factors(one.delta.a, one.delta.b, -one.delta.gain), 1.0, one.identity)
    result = merged(name, [one, other], parameters)
    assert result.isfinite().all()
    if parameters.get("convention", "paper") == "paper":
        assert (float(result.norm()) <= 1e-6 * float(one.delta.dense().norm())) is properties[name].cancels


@pytest.mark.parametrize("name", sorted(low_rank))
def test_the_rank_of_a_low_rank_result_is_known_before(name: str) -> None:
    parameters = {key: parameter.default for key, parameter in methods[name].parameters.items()}
    for shape, ranks in [((20, 30), [3, 8]), ((5, 30), [8, 8]), ((30, 5), [8, 8]), ((6, 6), [4, 4])]:
        found = branches(*shape, ranks)
        rank = sum(pair.rank for pair in merge_factors(name, found, parameters))
        assert rank == methods[name].space.rank(0, sum(ranks), *shape)


@pytest.mark.parametrize("name", ["slerp", "nuslerp"])
def test_a_way_leads_between_two(name: str) -> None:
    with pytest.raises(ValueError, match="not through 3"):
        merged(name, branches(5, 5, [1, 1, 1]), {"t": 0.5} if name == "slerp" else {})


@pytest.mark.parametrize(("name", "parameters"), [v for v in variants() if v[0] in random_methods], ids=variant_id)
def test_randomness_goes_by_seed_and_adapter_and_not_by_tiles(
    name: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = branches(40, 50, [3, 8])
    result = merged(name, found, parameters)
    monkeypatch.setattr(tiles, "tile_values", 1 << 16)
    assert relative_error(merged(name, found, parameters), result) <= 1e-12
    assert relative_error(merged(name, found, parameters | {"seed": 8}), result) > 0.1
    renamed = [Branch(one.delta, one.weight, one.identity + "'") for one in found]
    assert relative_error(merged(name, renamed, parameters), result) > 0.1


@pytest.mark.parametrize(("name", "parameters"), [v for v in variants() if v[0] in element_wise], ids=variant_id)
def test_bits_do_not_depend_on_the_number_of_threads(name: str, parameters: dict[str, Any]) -> None:
    found = branches(64, 90, [16, 24])
    results = []
    threads_before = torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(merged(name, found, parameters))
    finally:
        torch.set_num_threads(threads_before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[1], results[2])


def test_rows_of_a_base_get_the_change_rounded_once() -> None:
    found = branches(40, 50, [3, 8])
    tiled = merge_tiles("ties", found, {"density": 0.3, "lambda": 1.0, "convention": "paper"})
    base = torch.randn(40, 50, generator=torch.Generator().manual_seed(1)).bfloat16()
    rows = [tiled.add_to_base(base[first:last], first, last, torch.bfloat16) for first, last in tiled.tiles.bounds]
    delta = reference.methods["ties"](found, density=0.3, scale=1.0, convention="paper")
    assert torch.equal(torch.cat(rows), reference.merge_into(base, delta, torch.bfloat16))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([1e-4, 0.01, 0.2, 0.5, 0.9, 0.999, 1.0]), st.booleans())
def test_a_threshold_keeps_exactly_as_many_as_it_says(seed: int, density: float, has_zeros: bool) -> None:
    (branch,) = branches(57, 41, [3], seed, of_weights=[1.0])
    if has_zeros:
        b = branch.delta.b.clone()
        b[seed % 57 :] = 0
        branch = Branch(Factors(branch.delta.a, b, 1.0), 1.0)
    delta = branch.delta.dense()
    result = merged("magnitude_prune", [branch], {"density": density, "lambda": 1.0})
    kept = int(density * delta.numel())
    assert int((result != 0).sum()) == min(kept, int((delta != 0).sum()))
    assert torch.allclose(result, reference.methods["magnitude_prune"]([branch], density=density, scale=1.0))
