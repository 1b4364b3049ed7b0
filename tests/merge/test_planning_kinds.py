"""Plans of adapters that are more than products of factors: what they cost, and what is refused before a tensor is read."""

from collections.abc import Sequence

import pytest

from app.domain.adapter import Adapter, Checkpoint, ModuleKind
from app.domain.base_model import BaseModel
from app.domain.content import adapter_content_digest
from app.domain.digest import digest_of_bytes
from app.domain.lineage import Kind
from app.domain.plan import BasePart, Plan
from app.domain.recipe import Dtype, Energy, Method, Output, OutputKind, Trunk
from app.errors import (
    BaseNeeded,
    ModuleNotInBase,
    RegistryError,
    ReplacementConflict,
    ShapeMismatch,
    UnsupportedFeature,
)
from app.merge.methods import parse_method
from app.merge.planning import plan
from tests.merge.files import adapter, checkpoint, module, saved, tokens, weight_files
from tests.merge.world import World

model = Output(OutputKind.MODEL, dtype=None)
shapes = {
    "q.weight": (6, 5),
    "q.bias": (6,),
    "head.weight": (9, 6),
    "embed.weight": (9, 5),
    "conv.weight": (6, 5, 3, 3),
}
dora = adapter(module("q", 2, is_dora=True))
biased = adapter(module("q", 2, has_bias=True))
saving = adapter(module("q", 2), replacements=(saved("head.weight", 9, 6),))
teaching = adapter(module("q", 2), replacements=(tokens("embed.weight", 5, 3, 7),))
plain = adapter(module("q", 3))


def a_plan(
    *stack: tuple[Adapter, list[int]],
    layers: list[int] | None = None,
    output: Output = Output(),
    method: Method = Method(),
    base: Checkpoint | None = None,
    weights: Sequence[float] = (),
) -> Plan:
    """Of adapters with the places of what each builds on; the layers are named, the others come along."""
    world = World()
    names = [f"x{place}/x@1.0.0" for place in range(len(stack))]
    entries = [world.add(name, [names[place] for place in on]) for name, (_, on) in zip(names, stack, strict=True)]
    facts = {entry.id: facts for entry, (facts, _) in zip(entries, stack, strict=True)}
    files = {entry.id: weight_files(1000) for entry in entries}
    part = None
    if output.kind is OutputKind.MODEL:
        entry = world.add("org/base@1.0.0", kind=Kind.MODEL)
        files[entry.id] = weight_files(50_000)
        part = (BasePart(entry.id, entry.reference, entry.digest, entry.content_digest), base or checkpoint(shapes))
    named = range(len(stack)) if layers is None else layers
    resolution = world.resolve(*((names[place], weights[place] if weights else 1.0) for place in named))
    return plan(resolution, facts, files, method, output, part, world.catalogue)


def refusal(error: type[RegistryError], *stack: tuple[Adapter, list[int]], **options: object) -> str:
    with pytest.raises(error) as refused:
        a_plan(*stack, **options)  # type: ignore[arg-type] # whatever `a_plan` takes
    return str(refused.value.facts.get("feature", refused.value.facts.get("reason", "")))


def test_members_that_depend_on_it_carry_their_foundation() -> None:
    planned = a_plan((plain, []), (dora, [0]), (plain, [0, 1]), layers=[2], output=model)
    foundations = {member.reference: member.foundation for member in planned.members}
    (root,) = [member for member in planned.trunk if member.reference == "x0/x@1.0.0"]
    assert foundations["x1/x@1.0.0"] == ((root.content_digest, 1.0),)
    assert foundations["x0/x@1.0.0"] == foundations["x2/x@1.0.0"] == ()


def test_a_model_takes_all_of_them() -> None:
    planned = a_plan((dora, []), (biased, []), (saving, []), (teaching, []), output=model)
    assert (planned.is_exact, planned.modules) == (True, 3)
    assert planned.rank_max == 0  # the query's weight is no sum of factors any more


def test_what_is_brought_whole_is_written_and_held() -> None:
    small, large = (
        a_plan((adapter(module("q", 2), replacements=(saved("head.weight", rows, 600),)), [])) for rows in (90, 90_000)
    )
    assert small.bytes_written > 90 * 600 * 4
    assert large.bytes_written - small.bytes_written > 89_000 * 600 * 4
    # by tiles, however large it is
    assert large.peak_bytes < 64 * 8 * 8 * (1 << 19)
    assert a_plan((saving, []), (plain, [])).modules == 2


@pytest.mark.parametrize("output", [Output(), Output(rank=2), Output(rank=Energy(0.5)), Output(dtype=Dtype.FLOAT16)])
def test_dora_needs_the_base_whatever_the_adapter(output: Output) -> None:
    assert refusal(BaseNeeded, (dora, []), (plain, []), output=output) == "dora"


def test_a_saved_tensor_goes_into_an_adapter_if_the_base_cancels() -> None:
    assert a_plan((saving, []), (saving, [0]), layers=[1]).modules == 2
    assert a_plan((saving, []), (plain, [])).modules == 2
    for unknown, feature in [(saving, "modules_to_save"), (teaching, "trainable_tokens")]:
        assert refusal(BaseNeeded, (unknown, []), (plain, []), weights=(0.5, 1.0)) == feature


def test_two_strangers_replace_nothing_in_common() -> None:
    for one, other in [(saving, saving), (teaching, teaching)]:
        with pytest.raises(ReplacementConflict):
            a_plan((one, []), (other, []))
        a_plan((one, []), (other, [0]), layers=[1])
    elsewhere = adapter(module("q", 2), replacements=(tokens("embed.weight", 5, 4),))
    assert a_plan((teaching, []), (elsewhere, [])).modules == 2


def test_a_tensor_has_one_shape() -> None:
    wider = adapter(module("q", 2), replacements=(saved("head.weight", 9, 7),))
    with pytest.raises(ShapeMismatch) as refused:
        a_plan((saving, []), (wider, [0]), layers=[1])
    assert sorted((refused.value.facts["expected"], refused.value.facts["found"])) == [[9, 6], [9, 7]]
    assert refused.value.facts["parent"] in ("x0/x@1.0.0", "x1/x@1.0.0")


def test_a_foundation_that_was_pinned_away_is_missing() -> None:
    world = World()
    world.add("a/root@1.0.0")
    other = world.add("a/root@2.0.0")
    top = world.add("b/top@1.0.0", ["a/root@1.0.0"])
    resolution = world.resolve("b/top@1.0.0", pins=["a/root@2.0.0"])
    base = world.add("org/base@1.0.0", kind=Kind.MODEL)
    files = {entry.id: weight_files(1) for entry in (top, other, base)}
    part = (BasePart(base.id, base.reference, base.digest, base.content_digest), checkpoint(shapes))
    facts = {top.id: dora, other.id: plain}
    with pytest.raises(UnsupportedFeature) as refused:
        plan(resolution, facts, files, Method(), model, part, world.catalogue)
    assert "foundation" in refused.value.facts["feature"]


@pytest.mark.parametrize("branch", [dora, saving])
def test_a_referenced_trunk_does_not_tell_what_they_stand_on(branch: Adapter) -> None:
    referenced = Output(trunk=Trunk.REFERENCED)
    feature = refusal(UnsupportedFeature, (plain, []), (branch, [0]), layers=[1], output=referenced)
    assert feature.endswith("with a referenced trunk")


@pytest.mark.parametrize("name", ["ties", "slerp", "tsv", "model_stock"])
def test_other_methods_take_products_only(name: str) -> None:
    method = parse_method({"name": name})
    for unusual, feature in [(dora, "dora"), (biased, "lora_bias"), (saving, "modules_to_save")]:
        found = refusal(UnsupportedFeature, (unusual, []), (plain, []), output=model, method=method)
        assert found == f"{feature} with {name}"


def test_what_peft_cannot_read_as_one_adapter() -> None:
    embedding = adapter(module("embed", 2, 5, 9, kind=ModuleKind.EMBEDDING))
    assert refusal(UnsupportedFeature, (biased, []), (embedding, [])) == "lora_bias beside an embedding"
    assert "same embedding" in refusal(UnsupportedFeature, (teaching, []), (embedding, []))
    alone = adapter(replacements=(saved("head.weight", 9, 6),))
    assert refusal(UnsupportedFeature, (alone, [])) == "an adapter that holds no product of factors"
    whole = adapter(module("k", 2), replacements=(saved("q.weight", 6, 5),))
    assert refusal(BaseNeeded, (whole, []), (biased, [])) == "lora_bias"


def test_convolutions_are_costed_as_matrices() -> None:
    convolution = adapter(module("conv", 2, kind=ModuleKind.CONV2D, kernel=(3, 3)))
    planned = a_plan((convolution, []), (convolution, []))
    values = 4 * 4 * (6 + 5 * 9)
    assert values < planned.bytes_written < values + 1000
    assert a_plan((convolution, []), output=model).modules == 1
    wide = adapter(module("conv", 2, kind=ModuleKind.CONV2D, kernel=(9, 1)))
    with pytest.raises(ShapeMismatch):
        a_plan((convolution, []), (wide, []))


def test_convolutions_with_groups_go_into_an_exact_adapter_alone() -> None:
    grouped = adapter(module("conv", 4, kind=ModuleKind.CONV2D, kernel=(3, 3), groups=2))
    assert a_plan((grouped, []), (grouped, [])).rank_max == 8
    assert a_plan((grouped, []), (grouped, []), method=parse_method({"name": "karcher"})).rank_max == 8
    assert "groups" in refusal(UnsupportedFeature, (grouped, []), output=Output(rank=4))
    assert "groups" in refusal(UnsupportedFeature, (grouped, []), method=parse_method({"name": "tsv"}))
    assert "groups" in refusal(ModuleNotInBase, (grouped, []), output=model)
    ungrouped = adapter(module("conv", 4, kind=ModuleKind.CONV2D, kernel=(3, 3)))
    assert "groups" in refusal(UnsupportedFeature, (grouped, []), (ungrouped, []))


def test_what_does_not_fit_the_base_is_refused() -> None:
    def fits(wrong: Adapter, **changes: tuple[int, ...]) -> str:
        changed = shapes | {name.replace("__", "."): shape for name, shape in changes.items()}
        kept = {name: shape for name, shape in changed.items() if shape}
        return refusal(ModuleNotInBase, (wrong, []), output=model, base=checkpoint(kept))

    assert "no tensor head.weight" in fits(saving, head__weight=())
    assert "the base's [9, 7]" in fits(saving, head__weight=(9, 7))
    assert "no tensor q.bias" in fits(biased, q__bias=())
    assert "row 7" in fits(teaching, embed__weight=(7, 5))
    assert "width 5" in fits(teaching, embed__weight=(9, 6))


def test_a_tied_embedding_is_not_saved_and_may_learn_tokens() -> None:
    named = {"lm_head.weight": (9, 5), "embed_tokens.weight": (9, 5), "q.weight": (6, 5)}
    tied = checkpoint(named, tied=True)
    for tensor in ("lm_head.weight", "embed_tokens.weight"):
        whole = adapter(module("q", 2), replacements=(saved(tensor, 9, 5),))
        assert "tied" in refusal(UnsupportedFeature, (whole, []), output=model, base=tied)
    learned = adapter(module("q", 2), replacements=(tokens("embed_tokens.weight", 5, 8),))
    assert a_plan((learned, []), output=model, base=tied).modules == 2


def test_whole_numbers_are_copied_or_refused() -> None:
    counting = adapter(module("q", 2), replacements=(saved("head.weight", 9, 6, dtype="I64"),))
    assert a_plan((counting, []), (plain, [])).modules == 2
    assert a_plan((counting, []), (counting, [0]), layers=[1]).modules == 2
    assert "dtype" in refusal(UnsupportedFeature, (counting, []), output=model, weights=[0.5])
    assert "dtype" in refusal(UnsupportedFeature, (counting, []), output=model)  # the base has numbers there


def test_the_base_is_part_of_what_depends_on_its_values() -> None:
    def digests(facts: Adapter) -> int:
        bases = [BaseModel("org/one"), BaseModel("org/two")]
        return len({adapter_content_digest(facts, [digest_of_bytes(b"the same")], [], base) for base in bases})

    assert [digests(facts) for facts in (plain, biased, dora, saving, teaching)] == [1, 1, 2, 2, 2]


def test_the_content_digest_covers_the_rows_that_are_replaced() -> None:
    def digest(*rows: int) -> str:
        facts = adapter(module("q", 2), replacements=(tokens("embed.weight", 5, *rows),))
        return adapter_content_digest(facts, [digest_of_bytes(b"the same")], [], None)

    assert len({digest(1, 2), digest(2, 1), digest(1, 3)}) == 3
    assert digest(1, 2) == digest(1, 2)
