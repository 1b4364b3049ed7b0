"""Every kind of adapter, from files to an adapter that PEFT 0.21.2 loads: exact, or refused with the reason."""

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor

from app.domain.recipe import Dtype, Output
from app.errors import BaseNeeded, RegistryError, ReplacementConflict, UnsupportedFeature
from app.merge.methods import methods, parse_method
from tests.worker.kinds import Kind, Pixels, expected, members, pixels_seen, read_files, train
from tests.worker.made import Bench, logits_of, tensors_of, tiny_gpt2, tiny_llama


def loaded(base: Any, folder: Path) -> Any:
    """An adapter as PEFT loads it on a float64 copy of the base; a key that is missing or stray is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("error", message=".*(missing|unexpected).*keys.*")
        return PeftModel.from_pretrained(copy.deepcopy(base), folder).double().eval()


def outputs_of(model: Any) -> Tensor:
    if hasattr(model, "get_base_model") and isinstance(model.get_base_model(), Pixels):
        model = model.get_base_model()
    with torch.inference_mode():
        outputs: Tensor = model(pixels_seen) if isinstance(model, Pixels) else logits_of(model)
    return outputs


def merge(
    bench: Bench, kinds: Sequence[tuple[Kind, float]], trunk: Sequence[Kind] = (), output: Output = Output()
) -> Path:
    execution = bench.run(members(bench, kinds, trunk), output)
    folder = bench.saved(execution, f"result-{len(bench.files)}")
    # the registry reads its own results
    assert read_files(bench, folder).adapter.unsupported == ()
    return folder


def with_values(base: Any, values: dict[str, Tensor]) -> Any:
    model = copy.deepcopy(base).double()
    model.load_state_dict(values)
    return model.eval()


def assert_sum(base: Any, folder: Path, weighted: Sequence[tuple[Kind, float]]) -> None:
    """What PEFT computes with the result is what the float64 sum computes."""
    wanted = outputs_of(with_values(base, expected(base, weighted)))
    plain = outputs_of(copy.deepcopy(base).double().eval())
    assert float((wanted - plain).abs().max()) > 1e-2
    assert float((outputs_of(loaded(base, folder)) - wanted).abs().max()) <= 2e-6 * max(1, float(wanted.abs().max()))


@pytest.mark.parametrize("weight", [1.0, -0.6])
def test_convolutions_of_every_dimension(bench: Bench, weight: float) -> None:
    base = Pixels().double()
    modules = ["plane", "point", "line", "volume"]
    one = train(base, bench, 1, target_modules=modules)
    two = train(base, bench, 2, target_modules=["plane", "head"], r=3, use_rslora=True, rank_pattern={"plane": 5})
    folder = merge(bench, [(one, weight), (two, 0.5)])
    shapes = {name: tuple(value.shape) for name, value in tensors_of(folder).items()}
    assert shapes["base_model.model.plane.lora_A.weight"] == (9, 3, 3, 5)
    assert shapes["base_model.model.volume.lora_B.weight"] == (3, 4, 1, 1, 1)
    assert_sum(base, folder, [(one, weight), (two, 0.5)])


@pytest.mark.parametrize("name", sorted(methods))
def test_a_convolution_is_merged_as_a_matrix(bench: Bench, name: str) -> None:
    """By every method: a linear layer of in·height·width inputs with the same factors gives the same numbers."""
    base = Pixels().double()
    made = [(train(base, bench, seed, target_modules=["plane"]), weight) for seed, weight in [(1, 1.0), (2, 0.7)]]
    flat = [(flattened(bench, kind), weight) for kind, weight in made]
    method = parse_method({"name": name, **({"density": 0.4} if "density" in methods[name].parameters else {})})
    found, wanted = (
        product_in(bench.saved(bench.run(members(bench, kinds), Output(rank=30), method), folder))
        for kinds, folder in [(made, "planes"), (flat, "lines")]
    )
    assert torch.equal(found, wanted)
    assert float(found.abs().max()) > 0.01


def flattened(bench: Bench, kind: Kind) -> Kind:
    """The factors of a convolution as those of a linear layer, under the same identity, by which random numbers go."""
    folder = bench.folder / f"{kind.folder.name}-flat"
    folder.mkdir()
    save_file(
        {name: value.flatten(1) for name, value in tensors_of(kind.folder).items()},
        folder / "adapter_model.safetensors",
    )
    (folder / "adapter_config.json").write_bytes((kind.folder / "adapter_config.json").read_bytes())
    return replace(kind, files=read_files(bench, folder), identity=kind.content)


def product_in(folder: Path) -> Tensor:
    own = tensors_of(folder)
    a, b = (own[f"base_model.model.plane.lora_{letter}.weight"].double().flatten(1) for letter in "AB")
    return b @ a


@pytest.mark.parametrize("weights", [(1.0, 0.0), (1.0, -0.5)], ids=str)
def test_convolutions_with_groups_are_joined_group_by_group(bench: Bench, weights: tuple[float, float]) -> None:
    """PEFT 0.21.2 runs them and does not merge them: held to the sum of what each adds to the convolution's output."""
    base = Pixels().double()
    made = [train(base, bench, seed, r=rank, target_modules=["grouped"]) for seed, rank in [(1, 4), (2, 6)]]
    folder = merge(bench, list(zip(made, weights, strict=True)))
    seen = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def added(folder: Path) -> Tensor:
        with torch.inference_mode():
            change: Tensor = loaded(base, folder).get_base_model().grouped(seen) - base.grouped(seen)
        return change

    wanted = weights[0] * added(made[0].folder) + weights[1] * added(made[1].folder)
    assert tensors_of(folder)["base_model.model.grouped.lora_B.weight"].shape == (8, 5, 1, 1)
    assert float((added(folder) - wanted).abs().max()) <= 1e-5


def test_biases_of_b_are_summed_and_zero_where_nobody_has_one(bench: Bench) -> None:
    base = tiny_gpt2().double()
    common: dict[str, Any] = {"fan_in_fan_out": True}
    one = train(base, bench, 1, target_modules=["c_attn", "mlp.c_fc"], lora_bias=True, **common)
    two = train(base, bench, 2, target_modules=["c_attn", "mlp.c_proj"], use_rslora=True, **common)
    three = train(base, bench, 3, target_modules=["c_attn"], lora_bias=True, r=2, **common)
    weighted = [(one, 1.0), (two, 0.5), (three, -0.7)]
    folder = merge(bench, weighted)
    assert json.loads((folder / "adapter_config.json").read_bytes())["lora_bias"] is True
    assert_sum(base, folder, weighted)
    # an approximation of the weights leaves the biases exact
    truncated = merge(bench, weighted, output=Output(rank=2))
    for name, value in tensors_of(folder).items():
        if name.endswith("bias"):
            assert torch.equal(value, tensors_of(truncated)[name])


replacing: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "saved modules": (
        tiny_llama,
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "model.norm"]},
        {"modules_to_save": ["lm_head", "model.norm"]},
    ),
    "saved modules with parts": (
        tiny_llama,
        {"target_modules": ["q_proj"], "modules_to_save": ["layers.0.mlp"]},
        {"modules_to_save": [f"model.layers.0.mlp.{part}_proj" for part in ("down", "gate", "up")]},
    ),
    "trained tokens": (
        tiny_llama,
        {"target_modules": ["q_proj"], "trainable_token_indices": [7, 3, 60]},
        {"trainable_token_indices": {"model.embed_tokens": [3, 7, 60]}},
    ),
    "biases of the targets": (
        tiny_gpt2,
        {"target_modules": ["c_attn"], "bias": "lora_only", "fan_in_fan_out": True},
        {"bias": "lora_only"},
    ),
    "all biases": (tiny_gpt2, {"target_modules": ["c_attn"], "bias": "all", "fan_in_fan_out": True}, {"bias": "all"}),
    "all biases of all layers": (Pixels, {"target_modules": ["head", "plane"], "bias": "all"}, {"bias": "all"}),
}


@pytest.mark.parametrize("name", sorted(replacing))
def test_what_one_adapter_brings_whole_goes_on_whole(bench: Bench, name: str) -> None:
    make, options, settings = replacing[name]
    base = make().double()
    one = train(base, bench, 1, **options)
    two = train(base, bench, 2, target_modules=options["target_modules"], fan_in_fan_out="fan_in_fan_out" in options)
    folder = merge(bench, [(one, 1.0), (two, 0.5)])
    config = json.loads((folder / "adapter_config.json").read_bytes())
    assert {key: config[key] for key in settings} == settings
    assert_sum(base, folder, [(one, 1.0), (two, 0.5)])


@pytest.mark.parametrize("name", sorted(replacing))
def test_of_a_chain_the_last_value_is_left_to_the_last_bit(bench: Bench, name: str) -> None:
    make, options, _ = replacing[name]
    base = make().double()
    one = train(base, bench, 1, **options)
    two = train(base, bench, 2, [one], **options)
    folder = merge(bench, [(two, 1.0)], [one])
    assert_sum(base, folder, [(one, 1.0), (two, 1.0)])
    own = tensors_of(two.folder)
    is_row = "trainable_token_indices" in options
    order = [1, 0, 2] if is_row else slice(None)
    found = {name: value for name, value in tensors_of(folder).items() if ".lora_" not in name}
    assert len(found) >= 1
    for name, value in found.items():
        assert torch.equal(value, own[name].float()[order])


def test_an_embedding_that_peft_saved_unasked_goes_on_as_a_saved_module(bench: Bench) -> None:
    base = tiny_llama().double()
    options: dict[str, Any] = {"target_modules": ["embed_tokens", "q_proj"], "saves_embeddings": True}
    one = train(base, bench, 1, **options)
    two = train(base, bench, 2, [one], **options)
    assert two.files.adapter.features == ("saved_embeddings",)
    three = train(base, bench, 3, target_modules=["embed_tokens", "q_proj"])
    folder = merge(bench, [(two, 1.0), (three, 0.5)], [one])
    assert json.loads((folder / "adapter_config.json").read_bytes())["modules_to_save"] == ["model.embed_tokens"]
    assert_sum(base, folder, [(one, 1.0), (two, 1.0), (three, 0.5)])


def test_trained_tokens_of_a_line_come_together(bench: Bench) -> None:
    base = tiny_llama().double()
    one = train(base, bench, 1, target_modules=["q_proj"], trainable_token_indices=[7, 3])
    two = train(base, bench, 2, [one], target_modules=["q_proj"], trainable_token_indices=[60, 3])
    folder = merge(bench, [(two, 1.0)], [one])
    config = json.loads((folder / "adapter_config.json").read_bytes())
    assert config["trainable_token_indices"] == {"model.embed_tokens": [3, 7, 60]}
    assert_sum(base, folder, [(one, 1.0), (two, 1.0)])


def test_tokens_trained_in_a_saved_embedding_are_in_it(bench: Bench) -> None:
    base = tiny_llama().double()
    one = train(base, bench, 1, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    two = train(base, bench, 2, [one], target_modules=["q_proj"], trainable_token_indices=[60, 3])
    folder = merge(bench, [(two, 1.0)], [one])
    assert json.loads((folder / "adapter_config.json").read_bytes())["modules_to_save"] == ["model.embed_tokens"]
    assert_sum(base, folder, [(one, 1.0), (two, 1.0)])


def test_a_share_of_a_chain_needs_no_base_where_its_values_cancel(bench: Bench) -> None:
    """W + (V₁ − W) + ½(V₂ − V₁) is ½V₁ + ½V₂; a delta of a third adapter on the saved layer is added to it."""
    base = tiny_llama().double()
    one = train(base, bench, 1, target_modules=["q_proj"], modules_to_save=["lm_head"])
    two = train(base, bench, 2, [one], target_modules=["q_proj"], modules_to_save=["lm_head"])
    three = train(base, bench, 3, target_modules=["lm_head"])
    weighted = [(two, 0.5), (three, 0.7)]
    assert_sum(base, merge(bench, weighted, [one]), [(one, 1.0), *weighted])


def test_whole_numbers_of_a_saved_module_are_copied(bench: Bench) -> None:
    class Normed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.first, self.norm = torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6)
            self.config = {"tie_word_embeddings": False}

    base = Normed()
    base.norm.get_buffer("num_batches_tracked").add_(41)
    one = train(base, bench, 1, target_modules=["first"], modules_to_save=["norm"])
    folder = merge(bench, [(one, 1.0)], output=Output(dtype=Dtype.BFLOAT16))
    tracked = tensors_of(folder)["base_model.model.norm.num_batches_tracked"]
    assert (tracked.dtype, int(tracked)) == (torch.int64, 41)
    values = loaded(Normed(), folder).merge_and_unload().state_dict()
    assert int(values["norm.num_batches_tracked"]) == 41
    assert torch.allclose(values["norm.weight"], one.trained["norm.weight"], atol=0.02)


def refused(
    bench: Bench, error: type[RegistryError], kinds: Sequence[tuple[Kind, float]], **options: Any
) -> dict[str, Any]:
    objects = {stored.digest for stored in bench.store.digests()}
    with pytest.raises(error) as refusal:
        merge(bench, kinds, **options)
    assert {stored.digest for stored in bench.store.digests()} == objects
    facts: dict[str, Any] = refusal.value.facts
    return facts


def test_what_only_a_model_can_hold_is_refused_with_the_reason(bench: Bench) -> None:
    base = tiny_llama().double()
    dora = train(base, bench, 1, target_modules=["q_proj"], use_dora=True)
    saved = train(base, bench, 2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    tokens = train(base, bench, 3, target_modules=["q_proj"], trainable_token_indices=[3])
    plain = train(base, bench, 4, target_modules=["q_proj"])
    facts = refused(bench, BaseNeeded, [(dora, 1.0), (plain, 1.0)])
    assert (facts["feature"], facts["reference"]) == ("dora", dora.content)
    assert facts["tensor"] == "model.layers.0.self_attn.q_proj.weight"
    assert refused(bench, BaseNeeded, [(saved, 0.5), (plain, 1.0)])["feature"] == "modules_to_save"
    assert refused(bench, BaseNeeded, [(tokens, 2.0), (plain, 1.0)])["feature"] == "trainable_tokens"
    # at weight 0 they add nothing, and only that is asked
    weighted = [(dora, 0.0), (saved, 0.0), (tokens, 0.0), (plain, 1.0)]
    assert_sum(base, merge(bench, weighted), weighted)


def test_what_peft_cannot_read_as_one_adapter_is_refused(bench: Bench) -> None:
    base = tiny_llama().double()
    tokens = train(base, bench, 1, target_modules=["q_proj"], trainable_token_indices=[3])
    embedding = train(base, bench, 2, target_modules=["embed_tokens"])
    feature = refused(bench, UnsupportedFeature, [(tokens, 1.0), (embedding, 1.0)])["feature"]
    assert feature == "trainable_tokens beside a delta of the same embedding, in an adapter"


def test_two_strangers_do_not_replace_one_tensor(bench: Bench) -> None:
    base = tiny_llama().double()
    one, two = (train(base, bench, seed, target_modules=["q_proj"], modules_to_save=["lm_head"]) for seed in (1, 2))
    facts = refused(bench, ReplacementConflict, [(one, 1.0), (two, 1.0)])
    assert (facts["tensor"], set(facts["versions"])) == ("lm_head.weight", {one.content, two.content})
