"""What a plan costs, and what it refuses before a tensor is read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.domain.adapter import Adapter, Checkpoint, ModuleKind
from app.domain.lineage import Kind, VersionState
from app.domain.plan import BasePart, Plan
from app.domain.recipe import Dtype, Energy, Method, Output, OutputKind, Ranks, Trunk
from app.errors import (
    ModuleNotInBase,
    ModuleNotInResult,
    NoExactAdapter,
    PlanTooLarge,
    RecalledInPlan,
    ShapeMismatch,
    TooManyLayers,
    UnsupportedFeature,
)
from app.merge.methods import methods, parse_method
from app.merge.planning import Limits, plan
from tests.merge.files import adapter, checkpoint, module, weight_files
from tests.merge.world import Source, World

model = Output(OutputKind.MODEL, dtype=None)
base_shapes = {"q.weight": (6, 5), "v.weight": (6, 5), "other.weight": (6, 5)}


def a_plan(
    *adapters: Adapter,
    output: Output = Output(),
    method: Method = Method(),
    base: Checkpoint | None = None,
    base_state: VersionState = VersionState.PUBLISHED,
    limits: Limits = Limits(),
) -> Plan:
    """Of one layer for each adapter, at weight 1."""
    world = World()
    layers = [f"x{number}/x@1.0.0" for number in range(len(adapters))]
    ids = [world.add(layer).id for layer in layers]
    files = dict.fromkeys(ids, weight_files(1000))
    part = None
    if base is not None:
        entry = world.add("org/base@1.0.0", kind=Kind.MODEL, state=base_state)
        files[entry.id] = weight_files(50_000)
        part = (BasePart(entry.id, entry.reference, entry.digest, entry.content_digest), base)
    facts: Mapping[Any, Adapter] = dict(zip(ids, adapters, strict=True))
    return plan(world.resolve(*layers), facts, files, method, output, part, world.catalogue, limits)


def test_an_exact_adapter_has_the_sum_of_the_ranks() -> None:
    planned = a_plan(adapter(module("q", 2)), adapter(module("q", 3), module("v", 9)))
    assert (planned.modules, planned.rank_min, planned.rank_max, planned.is_exact) == (2, 5, 9, True)
    assert planned.bytes_read == 2000
    values = 4 * (5 + 9) * (6 + 5)
    assert values < planned.bytes_written < values + 1000


@pytest.mark.parametrize(("rank", "expected"), [(1, 1), (4, 4), (100, 5)])
def test_a_truncated_adapter_has_at_most_the_rank_that_exists(rank: int, expected: int) -> None:
    planned = a_plan(adapter(module("q", 4)), adapter(module("q", 4)), output=Output(rank=rank))
    assert (planned.rank_max, planned.is_exact) == (expected, False)


def test_an_energy_is_bounded_by_the_rank_that_exists() -> None:
    assert a_plan(adapter(module("q", 3)), output=Output(rank=Energy(0.5))).rank_max == 3
    assert a_plan(adapter(module("q", 30)), output=Output(rank=Energy(0.5))).rank_max == 5


def test_ranks_go_by_the_longest_name_that_fits() -> None:
    ranks = Ranks(2, (("a.q", 4), ("q", 3)))
    assert [ranks.of(name) for name in ("a.q", "x.a.q", "b.q", "q", "aq", "a.q.b")] == [4, 4, 3, 3, 2, 2]
    planned = a_plan(adapter(module("x.a.q", 9), module("x.b.q", 9), module("x.v", 9)), output=Output(rank=ranks))
    assert (planned.rank_min, planned.rank_max, planned.is_exact) == (2, 4, False)
    assert a_plan(adapter(module("x.a.q", 3)), output=Output(rank=ranks)).rank_max == 3


def test_a_rank_for_a_module_that_is_not_there_is_refused() -> None:
    for entries in ((("k", 3),), (("q", 3), ("qq", 3)), (("a.q", 3),)):
        with pytest.raises(ModuleNotInResult):
            a_plan(adapter(module("x.q", 9)), output=Output(rank=Ranks(2, entries)))


def test_half_precision_halves_what_is_written() -> None:
    full = a_plan(adapter(module("q", 200, 600, 500)))
    half = a_plan(adapter(module("q", 200, 600, 500)), output=Output(dtype=Dtype.BFLOAT16))
    assert half.bytes_written == pytest.approx(full.bytes_written / 2, rel=0.01)


def test_a_referring_result_reads_its_branches_only() -> None:
    world = World()
    world.add("a/trunk@1.0.0")
    branch = world.add("b/branch@1.0.0", ["a/trunk@1.0.0"])
    facts = {branch.id: adapter(module("q", 2))}
    files = {branch.id: weight_files(1000)}
    resolution = world.resolve("b/branch@1.0.0")
    planned = plan(resolution, facts, files, Method(), Output(trunk=Trunk.REFERENCED), None, world.catalogue)
    assert (planned.bytes_read, planned.rank_max, len(planned.trunk)) == (1000, 2, 1)


def test_what_is_not_merged_yet_is_refused_by_name_and_version() -> None:
    with pytest.raises(UnsupportedFeature) as refused:
        a_plan(adapter(module("q", 2)), adapter(module("q", 2), unsupported=("dora",)))
    assert refused.value.facts["feature"] == "dora"
    assert refused.value.facts["reference"] is not None


def test_a_module_of_two_shapes_is_refused() -> None:
    with pytest.raises(ShapeMismatch) as refused:
        a_plan(adapter(module("q", 2, 6, 5)), adapter(module("q", 2, 6, 7)))
    assert (refused.value.facts["expected"], refused.value.facts["found"]) == ([6, 5], [6, 7])
    assert refused.value.facts["parent"] == "x0/x@1.0.0"


def test_an_embedding_and_a_linear_layer_are_not_summed() -> None:
    with pytest.raises(UnsupportedFeature):
        a_plan(adapter(module("q", 2)), adapter(module("q", 2, kind=ModuleKind.EMBEDDING)))


def test_a_method_whose_result_is_not_low_rank_has_no_exact_adapter() -> None:
    ties = parse_method({"name": "ties"})
    with pytest.raises(NoExactAdapter):
        a_plan(adapter(module("q", 2)), method=ties)
    # however low the layers' ranks are, the result has what the module has
    assert a_plan(adapter(module("q", 2)), method=ties, output=Output(rank=Energy(0.9))).rank_max == 5
    dense_model = a_plan(adapter(module("q", 2)), method=ties, output=model, base=checkpoint(base_shapes))
    assert dense_model.is_exact


@pytest.mark.parametrize(
    ("name", "rank"), [("linear", 8), ("model_stock", 8), ("tsv", 5), ("core_ties", 5), ("knots_ties", 5)]
)
def test_the_rank_of_an_exact_adapter_goes_by_the_method(name: str, rank: int) -> None:
    planned = a_plan(adapter(module("q", 4)), adapter(module("q", 4)), method=parse_method({"name": name}))
    assert planned.rank_max == rank


def test_a_method_that_goes_from_one_to_another_takes_two_layers() -> None:
    slerp = parse_method({"name": "slerp"})
    a_plan(adapter(module("q", 1)), adapter(module("q", 1)), method=slerp)
    with pytest.raises(TooManyLayers) as refused:
        a_plan(*(adapter(module("q", 1)) for _ in range(3)), method=slerp)
    assert refused.value.facts == {"method": "slerp", "most": 2, "found": 3}


def test_every_method_says_what_it_holds() -> None:
    big = [adapter(module("q", 16, 4096, 4096)) for _ in range(4)]

    def peak(name: str) -> int:
        return a_plan(*big, method=parse_method({"name": name}), output=Output(rank=16)).peak_bytes

    peaks = {name: peak(name) for name, facts in methods.items() if facts.most_branches is None}
    assert min(peaks, key=lambda name: peaks[name]) == "linear"
    # N coordinates of R × in are more than N cores of R × R; dense deltas would be 4 · 134 MB
    assert peaks["linear"] < peaks["karcher"] < peaks["tsv"] < peaks["knots_ties"] < 4 * 8 * 4096**2
    assert peaks["ties"] < 2 * 10**9


def test_a_model_reads_and_writes_its_base() -> None:
    planned = a_plan(adapter(module("q", 2)), output=model, base=checkpoint(base_shapes))
    assert planned.bytes_read == 51_000
    assert 3 * 6 * 5 * 2 <= planned.bytes_written < 3 * 6 * 5 * 2 + 1000
    assert planned.base is not None
    assert planned.is_exact


def test_a_model_in_another_dtype_is_written_at_its_size() -> None:
    big = dict.fromkeys(base_shapes, (600, 500))
    wide = replace(model, dtype=Dtype.FLOAT32)
    small, large = (a_plan(adapter(module("q", 2, 600, 500)), output=it, base=checkpoint(big)) for it in (model, wide))
    assert large.bytes_written == pytest.approx(2 * small.bytes_written, rel=0.01)


def test_the_memory_of_a_model_does_not_grow_with_its_layers() -> None:
    def peak(layers: int) -> int:
        shapes = {f"layer{number}.weight": (8192, 8192) for number in range(layers)}
        low_rank = adapter(*(module(f"layer{number}", 8, 8192, 8192) for number in range(layers)))
        return a_plan(low_rank, output=model, base=checkpoint(shapes)).peak_bytes

    assert peak(64) == peak(32)


def test_a_module_that_the_base_lacks_is_refused() -> None:
    with pytest.raises(ModuleNotInBase) as refused:
        a_plan(adapter(module("k", 2)), output=model, base=checkpoint(base_shapes))
    assert refused.value.facts["module"] == "k"


def test_a_module_of_another_shape_than_the_bases_is_refused() -> None:
    with pytest.raises(ModuleNotInBase):
        a_plan(adapter(module("q", 2, 5, 6)), output=model, base=checkpoint(base_shapes))


@pytest.mark.parametrize("kind", [ModuleKind.LINEAR, ModuleKind.EMBEDDING])
def test_a_transposed_delta_fits_a_transposed_weight(kind: ModuleKind) -> None:
    transposed = adapter(module("q", 2, 5, 6, kind=kind, fan_in_fan_out=kind is ModuleKind.LINEAR))
    assert a_plan(transposed, output=model, base=checkpoint(base_shapes)).modules == 1


def test_a_convolution_fits_its_weight() -> None:
    convolution = replace(module("q", 2), kind=ModuleKind.CONV2D, a_shape=(2, 5, 3, 3), b_shape=(6, 2, 1, 1))
    assert a_plan(adapter(convolution), output=model, base=checkpoint({"q.weight": (6, 5, 3, 3)})).modules == 1
    with pytest.raises(ModuleNotInBase):
        a_plan(adapter(convolution), output=model, base=checkpoint({"q.weight": (6, 45)}))


def test_deltas_of_two_orientations_are_not_merged_into_a_model() -> None:
    square = checkpoint({"q.weight": (5, 5)})
    straight, turned = module("q", 2, 5, 5), module("q", 2, 5, 5, fan_in_fan_out=True)
    with pytest.raises(UnsupportedFeature) as refused:
        a_plan(adapter(straight), adapter(turned), output=model, base=square)
    assert refused.value.facts["feature"] == "mixed fan_in_fan_out"
    assert a_plan(adapter(straight), adapter(turned)).rank_max == 4


@pytest.mark.parametrize("shared", [module("embed", 2, 5, 6, kind=ModuleKind.EMBEDDING), module("lm_head", 2, 6, 5)])
def test_a_weight_that_embedding_and_output_share_is_not_changed_for_one_of_them(shared: Any) -> None:
    shapes = {"embed.weight": (6, 5), "lm_head.weight": (6, 5)}
    with pytest.raises(UnsupportedFeature):
        a_plan(adapter(shared), output=model, base=checkpoint(shapes, tied=True))
    assert a_plan(adapter(shared), output=model, base=checkpoint(shapes)).modules == 1


def test_a_quantized_base_weight_is_not_merged_into() -> None:
    with pytest.raises(UnsupportedFeature):
        a_plan(adapter(module("q", 2)), output=model, base=checkpoint(base_shapes, dtype="I8"))


def test_a_recalled_base_refuses_the_plan() -> None:
    with pytest.raises(RecalledInPlan):
        a_plan(adapter(module("q", 2)), output=model, base=checkpoint(base_shapes), base_state=VersionState.RECALLED)


def test_a_base_that_was_merged_from_a_recalled_adapter_refuses_the_plan() -> None:
    world = World()
    world.add("bad/bad@1.0.0", state=VersionState.RECALLED)
    world.add("a/a@1.0.0")
    base = world.add("org/full@1.0.0", merged_from=[Source("bad/bad@1.0.0")], kind=Kind.MODEL)
    part = (BasePart(base.id, base.reference, base.digest, base.content_digest), checkpoint(base_shapes))
    facts = {world.id("a/a@1.0.0"): adapter(module("q", 2))}
    files = {id: weight_files(1000) for id in world.catalogue}
    with pytest.raises(RecalledInPlan) as refused:
        plan(world.resolve("a/a@1.0.0"), facts, files, Method(), model, part, world.catalogue)
    assert refused.value.facts["paths"] == [[base.id, world.id("bad/bad@1.0.0")]]


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(members=1), "members of the sum"),
        (Limits(rank=3), "rank of a module of the result"),
        (Limits(read_bytes=1999), "bytes to read"),
        (Limits(written_bytes=10), "bytes to write"),
        (Limits(peak_bytes=10), "bytes of memory"),
    ],
)
def test_a_plan_over_a_limit_is_refused_with_the_figures(limits: Limits, what: str) -> None:
    adapters = adapter(module("q", 2)), adapter(module("q", 2))
    with pytest.raises(PlanTooLarge) as refused:
        a_plan(*adapters, limits=limits)
    assert refused.value.facts["what"] == what
    assert refused.value.facts["found"] > refused.value.facts["limit"]
    a_plan(*adapters, limits=Limits(members=2, rank=4, read_bytes=2000, written_bytes=10**6, peak_bytes=10**6))
