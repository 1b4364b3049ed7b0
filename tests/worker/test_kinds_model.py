"""Every kind of adapter, from files to a full model: what PEFT 0.21.2 merges itself, and chains that telescope."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from app.domain.recipe import Method, Output, OutputKind
from app.errors import ModuleNotInBase, ReplacementConflict, UnsupportedFeature
from app.kernel.reference.dora import dora
from app.kernel.rounding import round_once
from app.merge.methods import parse_method
from app.worker import dependents, model_output
from tests.worker.kinds import Kind, Pixels, expected, members, train
from tests.worker.made import (
    Bench,
    hand_made,
    loaded_model,
    logits_of,
    make_base,
    tensors_of,
    tiny_gpt2,
    tiny_llama,
)

model_as_base = Output(kind=OutputKind.MODEL, dtype=None)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that the tiny tensors of these tests are cut into many."""
    monkeypatch.setattr(model_output, "tile_values", 100)
    monkeypatch.setattr(dependents, "tile_values", 100)


def stored(model: Any, bench: Bench) -> Any:
    """The model in float64, whose checkpoint is the base of all plans."""
    model = model.double()
    if isinstance(model, Pixels):
        bench.base = hand_made(model.state_dict(), bench, "base")
    else:
        bench.base = make_base(model, bench.store, bench.folder / "base")
    return model


def merge(
    bench: Bench, kinds: Sequence[tuple[Kind, float]], trunk: Sequence[Kind] = (), method: Method = Method()
) -> dict[str, Tensor]:
    execution = bench.run(members(bench, kinds, trunk), model_as_base, method)
    return tensors_of(bench.saved(execution, f"result-{len(bench.files)}"))


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """To the last few bits of float64; every tensor is looked at."""
    assert found.keys() <= wanted.keys()
    for name, value in found.items():
        assert float((value.double() - wanted[name]).abs().max()) <= 1e-12, name


llama_kinds: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": ["q_proj", "down_proj"]},
    "dora": {"target_modules": ["q_proj", "down_proj"], "use_dora": True},
    "dora with patterns": {
        "target_modules": ["q_proj", "v_proj"],
        "use_dora": True,
        "use_rslora": True,
        "rank_pattern": {"v_proj": 2},
        "alpha_pattern": {"q_proj": 5},
    },
    "dora of an embedding": {"target_modules": ["embed_tokens", "q_proj"], "use_dora": True},
    "saved modules": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "model.norm"]},
    "trained tokens": {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [7, 3, 60]}},
    "saved embedding": {"target_modules": ["embed_tokens", "q_proj"], "saves_embeddings": True},
    "dora and saved": {"target_modules": ["q_proj"], "use_dora": True, "modules_to_save": ["down_proj"]},
}
gpt2_kinds: dict[str, dict[str, Any]] = {
    "dora": {"target_modules": ["c_attn", "mlp.c_proj"], "use_dora": True, "fan_in_fan_out": True},
    "bias of lora": {"target_modules": ["c_attn"], "bias": "lora_only", "fan_in_fan_out": True},
    "bias of all": {"target_modules": ["c_attn"], "bias": "all", "fan_in_fan_out": True},
    "lora bias": {"target_modules": ["c_attn", "mlp.c_fc"], "lora_bias": True, "fan_in_fan_out": True},
}
pixel_kinds: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": ["plane", "point", "line", "volume", "head"]},
    "dora": {"target_modules": ["plane", "point", "line", "head"], "use_dora": True},
    "lora bias": {"target_modules": ["plane", "head"], "lora_bias": True},
    "saved": {"target_modules": ["head"], "modules_to_save": ["grouped", "plane"], "bias": "lora_only"},
}
every_kind = [
    *((tiny_llama, name, options) for name, options in sorted(llama_kinds.items())),
    *((tiny_gpt2, name, options) for name, options in sorted(gpt2_kinds.items())),
    *((Pixels, name, options) for name, options in sorted(pixel_kinds.items())),
]


@pytest.mark.parametrize(("make", "name", "options"), every_kind, ids=lambda value: getattr(value, "__name__", None))
def test_one_adapter_is_what_peft_merges(bench: Bench, make: Any, name: str, options: dict[str, Any]) -> None:
    base = stored(make(), bench)
    one = train(base, bench, 1, **options)
    assert any(float(change.abs().max()) > 0.1 for change in one.change.values())
    assert_equal(merge(bench, [(one, 1.0)]), one.trained)


chains: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "dora on lora": (tiny_llama, llama_kinds["lora"], llama_kinds["dora"]),
    "dora on dora": (tiny_llama, llama_kinds["dora"], llama_kinds["dora"]),
    "lora on dora": (tiny_llama, llama_kinds["dora"], llama_kinds["lora"]),
    "saved on saved": (tiny_llama, llama_kinds["saved modules"], llama_kinds["saved modules"]),
    "saved on dora": (tiny_llama, llama_kinds["dora"], llama_kinds["dora and saved"]),
    "tokens on saved": (
        tiny_llama,
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        llama_kinds["trained tokens"],
    ),
    "saved embedding on lora": (tiny_llama, {"target_modules": ["embed_tokens"]}, llama_kinds["saved embedding"]),
    "saved embedding on a saved one": (tiny_llama, llama_kinds["saved embedding"], llama_kinds["saved embedding"]),
    "tokens on lora of the embedding": (
        tiny_llama,
        {"target_modules": ["embed_tokens"]},
        llama_kinds["trained tokens"],
    ),
    "dora of transposed weights on dora": (tiny_gpt2, gpt2_kinds["dora"], gpt2_kinds["dora"]),
    "bias on lora bias": (tiny_gpt2, gpt2_kinds["lora bias"], gpt2_kinds["bias of all"]),
    "dora of convolutions on lora": (Pixels, pixel_kinds["lora"], pixel_kinds["dora"]),
}


@pytest.mark.parametrize("name", sorted(chains))
def test_a_chain_telescopes_to_what_its_last_member_was_trained_to_be(bench: Bench, name: str) -> None:
    make, below, above = chains[name]
    base = stored(make(), bench)
    one = train(base, bench, 1, **below)
    two = train(base, bench, 2, [one], **above)
    assert_equal(merge(bench, [(two, 1.0)], [one]), two.trained)


@pytest.mark.parametrize("name", sorted(chains))
def test_a_share_of_a_chain_is_a_share_of_the_change_on_its_own_foundation(bench: Bench, name: str) -> None:
    """The norms and the values of the second stay those that it was trained with, whatever the sum weighs."""
    make, below, above = chains[name]
    base = stored(make(), bench)
    one = train(base, bench, 1, **below)
    two = train(base, bench, 2, [one], **above)
    weighted = [(one, 0.25), (two, -0.5)]
    assert_equal(merge(bench, weighted), expected(base, weighted))


def test_three_in_a_line_and_one_beside(bench: Bench) -> None:
    base = stored(tiny_llama(), bench)
    one = train(base, bench, 1, **llama_kinds["dora"])
    two = train(base, bench, 2, [one], **llama_kinds["dora"])
    three = train(base, bench, 3, [one, two], **llama_kinds["dora and saved"])
    beside = train(base, bench, 4, **llama_kinds["dora"])
    assert_equal(merge(bench, [(three, 1.0)], [one, two]), three.trained)
    weighted = [(three, 0.5), (beside, 0.75)]
    assert_equal(merge(bench, weighted, [one, two]), expected(base, [(one, 1.0), (two, 1.0), *weighted]))


def test_an_ancestor_at_weight_zero_is_still_what_the_other_was_trained_upon(bench: Bench) -> None:
    base = stored(tiny_llama(), bench)
    one = train(base, bench, 1, **llama_kinds["lora"])
    two = train(base, bench, 2, [one], **llama_kinds["dora"])
    assert_equal(merge(bench, [(two, 1.0), (one, 0.0)]), expected(base, [(two, 1.0)]))


def test_dora_is_the_reference_s(bench: Bench) -> None:
    base = stored(tiny_llama(), bench)
    one = train(base, bench, 1, target_modules=["q_proj"], use_dora=True)
    own = tensors_of(one.folder)
    found = merge(bench, [(one, 1.0)])
    for module in one.files.adapter.modules:
        a, b, magnitude = own[module.a_key], own[module.b_key], own[str(module.magnitude_key)]
        before = base.get_submodule(module.name).weight.detach()
        wanted = dora(before, module.scaling * (b @ a), magnitude)
        assert float((found[f"{module.name}.weight"] - wanted).abs().max()) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_of_fewer_bits_is_rounded_once(bench: Bench, dtype: torch.dtype) -> None:
    base = tiny_llama(dtype)
    bench.base = make_base(base, bench.store, bench.folder / "base")
    one = train(base, bench, 1, **llama_kinds["dora and saved"])
    found = merge(bench, [(one, 1.0)])
    assert found.keys() <= one.trained.keys()
    wrong = sum(int((value != round_once(one.trained[name], dtype)).sum()) for name, value in found.items())
    assert {value.dtype for value in found.values()} == {dtype}
    # PEFT's own float64 sum is rounded in another order
    assert wrong <= 2


def test_transformers_loads_the_model_and_it_computes_what_was_trained(bench: Bench) -> None:
    base = tiny_llama()
    bench.base = make_base(base, bench.store, bench.folder / "base")
    one = train(base, bench, 1, **llama_kinds["dora and saved"])
    execution = bench.run(members(bench, [(one, 1.0)]), model_as_base)
    found = loaded_model(bench.saved(execution))
    wanted = tiny_llama().double()
    wanted.load_state_dict(one.trained)
    assert float((logits_of(found).double() - logits_of(wanted)).abs().max()) <= 1e-5
    assert execution.report.values["changed_tensors"] == 4


def test_tokens_of_a_tied_embedding_are_trained_in_both_of_its_places(bench: Bench) -> None:
    """As PEFT 0.21.2 has it; a saved embedding would be in one of them only, and is refused."""
    base = tiny_llama(tied=True)
    bench.base = make_base(base, bench.store, bench.folder / "base")
    one = train(base, bench, 1, **llama_kinds["trained tokens"])
    found = loaded_model(bench.saved(bench.run(members(bench, [(one, 1.0)]), model_as_base)))
    live = PeftModel.from_pretrained(tiny_llama(tied=True), one.folder).eval()
    assert float((logits_of(found) - logits_of(live)).abs().max()) <= 1e-5
    saved = train(base, bench, 2, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    with pytest.raises(UnsupportedFeature) as refusal:
        merge(bench, [(saved, 1.0)])
    assert refusal.value.facts["feature"] == "an embedding with tied weights"


def test_two_strangers_do_not_replace_one_tensor_nor_one_row(bench: Bench) -> None:
    base = stored(tiny_llama(), bench)
    one, two = (train(base, bench, seed, **llama_kinds["saved modules"]) for seed in (1, 2))
    with pytest.raises(ReplacementConflict):
        merge(bench, [(one, 1.0), (two, 1.0)])
    rows = [
        train(base, bench, seed, target_modules=["q_proj"], trainable_token_indices=tokens)
        for seed, tokens in [(3, [1, 2]), (4, [2, 5]), (5, [7])]
    ]
    with pytest.raises(ReplacementConflict):
        merge(bench, [(rows[0], 1.0), (rows[1], 1.0)])
    weighted = [(rows[0], 1.0), (rows[2], 0.5)]
    assert_equal(merge(bench, weighted), expected(base, weighted))


@pytest.mark.parametrize("name", ["dora", "saved embedding", "saved modules", "trained tokens"])
def test_other_methods_do_not_vote_on_it(bench: Bench, name: str) -> None:
    base = stored(tiny_llama(), bench)
    one = train(base, bench, 1, **llama_kinds[name])
    two = train(base, bench, 2, target_modules=["v_proj"])
    ties = parse_method({"name": "ties"})
    with pytest.raises(UnsupportedFeature) as refusal:
        merge(bench, [(one, 1.0), (two, 1.0)], method=ties)
    assert refusal.value.facts["feature"].endswith(" with ties")
    # in the trunk it is added linearly, whatever the method
    alone = merge(bench, [(two, 1.0)], [one], ties)
    for tensor, value in one.trained.items():
        if "v_proj" not in tensor:
            assert float((alone[tensor] - value).abs().max()) <= 1e-12


def test_a_foundation_that_is_not_in_the_sum_as_published_is_refused(bench: Bench) -> None:
    base = stored(tiny_llama(), bench)
    one = train(base, bench, 1, **llama_kinds["lora"])
    two = train(base, bench, 2, [one], **llama_kinds["dora"])
    with pytest.raises(UnsupportedFeature) as refusal:
        merge(bench, [(two, 1.0)])
    assert "foundation" in refusal.value.facts["feature"]


def test_a_tensor_that_the_base_lacks_or_has_in_another_shape_is_refused(bench: Bench) -> None:
    base = tiny_llama()
    kinds = [
        train(base, bench, seed, **llama_kinds[name]) for seed, name in [(1, "saved modules"), (2, "trained tokens")]
    ]
    values = {name: value for name, value in base.state_dict().items() if name != "lm_head.weight"}
    short = {"lm_head.weight": torch.zeros(60, 24), "model.embed_tokens.weight": torch.zeros(60, 24)}
    for number, tensors in enumerate([values, values | short]):
        bench.base = hand_made(tensors, bench, str(number))
        with pytest.raises(ModuleNotInBase) as refusal:
            merge(bench, [(kinds[number], 1.0)])
        assert refusal.value.facts["module"] == ["lm_head", "model.embed_tokens"][number]


@pytest.mark.parametrize("name", ["ties", "karcher", "tsv"])
def test_a_convolution_in_a_model_is_what_it_is_in_an_adapter(bench: Bench, name: str) -> None:
    """Element by element, as a combination, and in the joint space: by tiles of the base's weight."""
    base = stored(Pixels(), bench)
    made = [(train(base, bench, seed, target_modules=["plane", "point"]), 1.0) for seed in (1, 2)]
    method = parse_method({"name": name})
    found = merge(bench, made, method=method)
    parts = tensors_of(bench.saved(bench.run(members(bench, made), Output(rank=100), method), "adapter"))
    for layer in ("plane", "point"):
        a, b = (parts[f"base_model.model.{layer}.lora_{letter}.weight"].double().flatten(1) for letter in "AB")
        change = found[f"{layer}.weight"] - base.get_submodule(layer).weight
        assert float((change - (b @ a).reshape(change.shape)).abs().max()) <= 1e-5
        assert float(change.abs().max()) > 0.01


def test_a_convolution_with_groups_does_not_fit_into_the_base_s_weight(bench: Bench) -> None:
    base = stored(Pixels(), bench)
    one = train(base, bench, 1, target_modules=["grouped"])
    with pytest.raises(ModuleNotInBase):
        merge(bench, [(one, 1.0)])
