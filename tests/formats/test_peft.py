"""Adapters that PEFT itself made, in every variant, and what is refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.lora.layer import LoraLayer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from app.domain.adapter import Adapter, Module, ModuleKind
from app.domain.base_model import BaseModel
from app.errors import (
    EmptyAdapter,
    FactorShape,
    InvalidContent,
    NonFiniteValues,
    PickleRefused,
    RankMismatch,
    StrayTensor,
    UnpairedFactor,
)
from app.formats.peft import read_adapter
from app.formats.peft_names import config_keys, peft_types
from tests.formats.files import file_of, inspect, zeros

weight_path = "adapter_model.safetensors"


def llama(kind: Any = LlamaForCausalLM) -> Any:
    torch.manual_seed(0)
    return kind(
        LlamaConfig(
            vocab_size=20,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            pad_token_id=0,
        )
    )


def gpt2() -> Any:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=8))


class Pixels(torch.nn.Module):
    """A model with convolutions of every dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Conv1d(3, 8, 3)
        self.plane = torch.nn.Conv2d(3, 8, (3, 5))
        self.volume = torch.nn.Conv3d(3, 8, 3)
        self.grouped = torch.nn.Conv2d(4, 8, 3, groups=2)
        self.head = torch.nn.Linear(8, 4)


def made(model: Any, config: peft.PeftConfig) -> Any:
    """A PEFT model whose adapter is not zero."""
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return adapted


def saved(adapted: Any, folder: Path) -> tuple[bytes, bytes]:
    """The configuration and the weights that PEFT writes."""
    adapted.save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_bytes())
    if isinstance(adapted.get_base_model(), Pixels | torch.nn.ModuleDict):
        # a model of this file: PEFT names its module, which is code that a registry does not know
        config["auto_mapping"] = None
    return json.dumps(config).encode(), (folder / weight_path).read_bytes()


def read(config: bytes | Mapping[str, Any], weights: bytes) -> Adapter:
    data = config if isinstance(config, bytes) else json.dumps(dict(config)).encode()
    return read_adapter(data, inspect(weights), weight_path)


def modules_of(adapter: Adapter) -> dict[str, Module]:
    return {module.name: module for module in adapter.modules}


q, k, v, o = (f"model.layers.{{}}.self_attn.{letter}_proj" for letter in "qkvo")

plain_variants: dict[str, tuple[Callable[[], Any], peft.LoraConfig]] = {
    "lora": (llama, peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")),
    "fractional alpha": (llama, peft.LoraConfig(r=3, lora_alpha=0.7, target_modules=["q_proj"])),  # type: ignore[arg-type] # PEFT takes floats
    "alpha 0": (llama, peft.LoraConfig(r=3, lora_alpha=0, target_modules=["q_proj"])),
    "rslora": (llama, peft.LoraConfig(r=8, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "o_proj"])),
    "patterns": (
        llama,
        peft.LoraConfig(
            r=4,
            lora_alpha=6,
            target_modules=["q_proj", "v_proj", "down_proj"],
            rank_pattern={"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 7},
            alpha_pattern={"v_proj": 3, "layers.0.self_attn.v_proj": 32, "^model.layers.1.mlp.down_proj": 5},
        ),
    ),
    "rslora with patterns": (
        llama,
        peft.LoraConfig(
            r=4,
            use_rslora=True,
            target_modules=["q_proj", "v_proj"],
            rank_pattern={"q_proj": 9},
            alpha_pattern={"v_proj": 5},
        ),
    ),
    "target pattern": (llama, peft.LoraConfig(target_modules=r".*layers\.\d\.(self_attn|mlp)\.(q|down)_proj")),
    "all-linear": (llama, peft.LoraConfig(target_modules="all-linear")),
    "one layer": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="layers"),
    ),
    "excluded": (llama, peft.LoraConfig(target_modules=["q_proj", "v_proj"], exclude_modules=r".*\.0\..*")),
    "conv1d of gpt-2": (gpt2, peft.LoraConfig(r=2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "conv1d of gpt-2, unsaid": (gpt2, peft.LoraConfig(r=2, target_modules=["c_attn"])),
    "embedding of gpt-2": (gpt2, peft.LoraConfig(r=2, lora_alpha=5, target_modules=["wpe"])),
    "gaussian": (llama, peft.LoraConfig(target_modules=["q_proj"], init_lora_weights="gaussian")),
}


@pytest.mark.parametrize("variant", plain_variants)
def test_what_peft_saves_is_read_as_peft_means_it(variant: str, tmp_path: Path) -> None:
    """As it means it when it loads the files: saving sorts the patterns, so that another one may match first."""
    model, config = plain_variants[variant]
    adapter = read(*saved(made(model(), config), tmp_path))
    adapted = peft.PeftModel.from_pretrained(model(), tmp_path)
    layers: dict[str, Any] = {
        name.removeprefix("base_model.model."): layer
        for name, layer in adapted.named_modules()
        if isinstance(layer, LoraLayer)
    }
    found = modules_of(adapter)
    assert found.keys() == layers.keys()
    assert list(found) == sorted(found)
    for name, layer in layers.items():
        module = found[name]
        assert module.scaling == pytest.approx(layer.scaling["default"], rel=1e-15)
        assert module.rank == layer.r["default"]
        assert (module.in_features, module.out_features) == (layer.in_features, layer.out_features)
        delta = layer.get_delta_weight("default")
        shape = (module.out_features, module.in_features)
        assert delta.shape == (shape[::-1] if module.is_transposed else shape)
        assert (module.a_dtype, module.b_dtype) == ("F32", "F32")
    assert adapter.unsupported == ()
    assert adapter.peft_type == "LORA"
    assert adapter.dtype == "F32"
    assert adapter.parameters == sum(p.numel() for n, p in adapted.named_parameters() if "lora_" in n)
    assert adapter.weight_file == weight_path


def test_the_facts_of_the_configuration_are_told(tmp_path: Path) -> None:
    adapted = made(
        llama(), peft.LoraConfig(r=4, lora_alpha=6, target_modules=["v_proj", "q_proj"], task_type="CAUSAL_LM")
    )
    adapted.peft_config["default"].base_model_name_or_path = "tiny/llama"
    adapted.peft_config["default"].revision = "abc"
    adapter = read(*saved(adapted, tmp_path))
    assert adapter.base_model == BaseModel("tiny/llama", "abc")
    assert (adapter.rank, adapter.alpha, adapter.use_rslora, adapter.use_dora) == (4, 6.0, False, False)
    assert (adapter.target_modules, adapter.target_pattern) == (("q_proj", "v_proj"), None)
    assert adapter.task_type == "CAUSAL_LM"


def test_the_auto_mapping_that_peft_writes_is_data(tmp_path: Path) -> None:
    config, weights = saved(made(llama(), peft.LoraConfig(target_modules=["q_proj"])), tmp_path)
    mapping = json.loads(config)["auto_mapping"]
    assert mapping["parent_library"].startswith("transformers.")
    assert read(config, weights).modules


def test_the_factors_are_where_the_header_says(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    adapted = made(llama(), peft.LoraConfig(r=4, target_modules=["q_proj"]))
    adapter = read(*saved(adapted, tmp_path))
    tensors = load_file(tmp_path / weight_path)
    for module in adapter.modules:
        assert tuple(tensors[module.a_key].shape) == module.a_shape
        assert tuple(tensors[module.b_key].shape) == module.b_shape


unmerged_variants: dict[str, tuple[Callable[[], Any], peft.PeftConfig, tuple[str, ...], int]] = {
    "dora": (llama, peft.LoraConfig(target_modules=["q_proj"], use_dora=True), ("dora",), 2),
    "bias of all": (lambda: gpt2(), peft.LoraConfig(target_modules=["c_attn"], bias="all"), ("bias",), 2),
    "bias of lora": (lambda: gpt2(), peft.LoraConfig(target_modules=["c_attn"], bias="lora_only"), ("bias",), 2),
    "lora bias": (lambda: Pixels(), peft.LoraConfig(target_modules=["head"], lora_bias=True), ("lora_bias",), 1),
    "saved module": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head", "norm"]),
        ("modules_to_save",),
        2,
    ),
    "classifier": (
        lambda: llama(LlamaForSequenceClassification),
        peft.LoraConfig(target_modules=["q_proj"], task_type="SEQ_CLS"),
        ("modules_to_save",),
        2,
    ),
    "targeted embedding": (
        llama,
        peft.LoraConfig(target_modules=["q_proj", "embed_tokens"]),
        ("saved_embeddings",),
        3,
    ),
    "trained tokens": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [1, 3]}),
        ("trainable_tokens",),
        2,
    ),
    "convolutions": (
        Pixels,
        peft.LoraConfig(r=2, target_modules=["line", "plane", "volume"]),
        ("conv1d", "conv2d", "conv3d"),
        3,
    ),
    "grouped convolution": (Pixels, peft.LoraConfig(r=4, target_modules=["grouped"]), ("conv2d",), 1),
    "pissa": (llama, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa"), ("pissa",), 2),
    "olora": (llama, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="olora"), ("olora",), 2),
    "replicated layers": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], layer_replication=[(0, 2), (1, 2)]),
        ("layer_replication",),
        3,
    ),
    "invocation tokens": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], alora_invocation_tokens=[1, 2], task_type="CAUSAL_LM"),
        ("alora",),
        2,
    ),
    "loha": (llama, peft.LoHaConfig(r=3, alpha=4, target_modules=["q_proj"]), ("loha",), 0),
    "lokr": (llama, peft.LoKrConfig(r=3, target_modules=["q_proj"]), ("lokr",), 0),
    "ia3": (llama, peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[]), ("ia3",), 0),
    "oft": (llama, peft.OFTConfig(oft_block_size=4, r=0, target_modules=["q_proj"]), ("oft",), 0),
    "vera": (llama, peft.VeraConfig(r=4, target_modules=["q_proj"]), ("vera",), 0),
    "adalora": (llama, peft.AdaLoraConfig(target_modules=["q_proj"], total_step=10), ("adalora",), 0),
    "prompt": (llama, peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), ("prompt_tuning",), 0),
}


@pytest.mark.parametrize("variant", unmerged_variants)
def test_what_is_not_merged_yet_is_read_and_named(variant: str, tmp_path: Path) -> None:
    model, config, unsupported, modules = unmerged_variants[variant]
    adapter = read(*saved(made(model(), config), tmp_path))
    assert adapter.unsupported == unsupported
    assert len(adapter.modules) == modules
    assert adapter.parameters > 0


def test_a_convolution_is_described_by_its_flattened_shape(tmp_path: Path) -> None:
    adapter = read(*saved(made(Pixels(), peft.LoraConfig(r=2, lora_alpha=3, target_modules=["plane"])), tmp_path))
    (module,) = adapter.modules
    assert module.kind is ModuleKind.CONV2D
    assert (module.in_features, module.out_features) == (3 * 3 * 5, 8)
    assert module.scaling == 1.5


def test_a_targeted_parameter_is_named_and_described_by_no_module(tmp_path: Path) -> None:
    class Experts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stacked = torch.nn.Parameter(torch.zeros(3, 8, 6))

    adapted = made(
        torch.nn.ModuleDict({"experts": Experts(), "head": torch.nn.Linear(4, 4)}),
        peft.LoraConfig(r=2, target_modules=["head"], target_parameters=["experts.stacked"]),
    )
    adapter = read(*saved(adapted, tmp_path))
    assert adapter.unsupported == ("target_parameters",)
    assert [module.name for module in adapter.modules] == ["head"]


def test_our_names_are_those_of_the_installed_release() -> None:
    written = {field.name for config in PEFT_TYPE_TO_CONFIG_MAPPING.values() for field in fields(config)}
    assert written <= config_keys
    assert {kind.value for kind in peft.PeftType} <= peft_types


# -- adapters made by hand -------------------------------------------------------------------------------------------

A, B = zeros("F32", 2, 6), zeros("F32", 4, 2)
prefix = "base_model.model."
config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q", "embed", "conv"]}
pair = {f"{prefix}m.q.lora_A.weight": A, f"{prefix}m.q.lora_B.weight": B}


def tensors(**named: Any) -> dict[str, Any]:
    """`m__q__lora_A` for `base_model.model.m.q.lora_A`."""
    return {prefix + name.replace("__", "."): tensor for name, tensor in named.items()}


def test_a_pair_made_by_hand_is_read() -> None:
    (module,) = read(config, file_of(pair)).modules
    assert module == Module(
        name="m.q",
        kind=ModuleKind.LINEAR,
        rank=2,
        alpha=4.0,
        scaling=2.0,
        fan_in_fan_out=False,
        a_key=f"{prefix}m.q.lora_A.weight",
        b_key=f"{prefix}m.q.lora_B.weight",
        a_shape=(2, 6),
        b_shape=(4, 2),
        a_dtype="F32",
        b_dtype="F32",
    )


def test_an_adapter_name_in_the_keys_is_understood() -> None:
    adapter = read(config, file_of(tensors(m__q__lora_A__default__weight=A, m__q__lora_B__default__weight=B)))
    assert [module.name for module in adapter.modules] == ["m.q"]
    adapter = read(
        config,
        file_of(tensors(embed__lora_embedding_A__x=zeros("F32", 2, 9), embed__lora_embedding_B__x=zeros("F32", 4, 2))),
    )
    assert [(module.name, module.kind) for module in adapter.modules] == [("embed", ModuleKind.EMBEDDING)]


def test_half_precision_is_merged_and_eight_bits_are_named() -> None:
    halves = tensors(m__q__lora_A__weight=zeros("BF16", 2, 6), m__q__lora_B__weight=zeros("F16", 4, 2))
    adapter = read(config, file_of(halves))
    assert (adapter.dtype, adapter.unsupported) == ("mixed", ())
    bytes_ = tensors(m__q__lora_A__weight=zeros("F8_E4M3", 2, 6), m__q__lora_B__weight=zeros("I8", 4, 2))
    assert read(config, file_of(bytes_)).unsupported == ("dtype_f8_e4m3", "dtype_i8")


def test_a_huge_alpha_is_finite_and_allowed() -> None:
    (module,) = read(config | {"lora_alpha": 1e300, "use_rslora": True}, file_of(pair)).modules
    assert module.scaling == 1e300 / 2**0.5


def test_absent_rank_and_alpha_are_those_of_peft() -> None:
    eight = tensors(m__q__lora_A__weight=zeros("F32", 8, 6), m__q__lora_B__weight=zeros("F32", 4, 8))
    adapter = read({"peft_type": "LORA", "target_modules": ["q"]}, file_of(eight))
    assert (adapter.rank, adapter.alpha) == (8, 8.0)


wrong: dict[str, tuple[dict[str, Any], dict[str, Any], type[InvalidContent]]] = {
    "A without B": ({}, tensors(m__q__lora_A__weight=A), UnpairedFactor),
    "B without A": ({}, tensors(m__q__lora_B__weight=B), UnpairedFactor),
    "embedding without B": ({}, tensors(embed__lora_embedding_A=A), UnpairedFactor),
    "magnitude alone": ({"use_dora": True}, tensors(m__q__lora_magnitude_vector=zeros("F32", 4)), UnpairedFactor),
    "dora without magnitude": ({"use_dora": True}, pair, UnpairedFactor),
    "magnitude without dora": ({}, pair | tensors(m__q__lora_magnitude_vector=zeros("F32", 4)), StrayTensor),
    "rank of A": ({"r": 3}, pair, RankMismatch),
    "rank of B": ({}, pair | tensors(m__q__lora_B__weight=zeros("F32", 4, 3)), RankMismatch),
    "rank of the pattern": ({"rank_pattern": {"q": 5}}, pair, RankMismatch),
    "A and B swapped": ({}, tensors(m__q__lora_A__weight=zeros("F32", 6, 2), m__q__lora_B__weight=B), RankMismatch),
    "A is a vector": ({}, pair | tensors(m__q__lora_A__weight=zeros("F32", 2)), FactorShape),
    "B is a vector": ({}, pair | tensors(m__q__lora_B__weight=zeros("F32", 8)), FactorShape),
    "A is a scalar": ({}, pair | tensors(m__q__lora_A__weight=zeros("F32")), FactorShape),
    "empty A": ({}, pair | tensors(m__q__lora_A__weight=zeros("F32", 2, 0)), FactorShape),
    "empty B": ({}, pair | tensors(m__q__lora_B__weight=zeros("F32", 0, 2)), FactorShape),
    "six dimensions": ({}, pair | tensors(m__q__lora_A__weight=zeros("F32", 2, 6, 1, 1, 1, 1)), FactorShape),
    "B of a convolution": (
        {},
        tensors(conv__lora_A__weight=zeros("F32", 2, 6, 3, 3), conv__lora_B__weight=zeros("F32", 4, 2, 3, 3)),
        FactorShape,
    ),
    "embedding of 3 dimensions": (
        {},
        tensors(embed__lora_embedding_A=zeros("F32", 2, 6, 1), embed__lora_embedding_B=zeros("F32", 4, 2, 1)),
        FactorShape,
    ),
    "two kinds of factor": ({}, pair | tensors(m__q__lora_embedding_A=A), StrayTensor),
    "untargeted module": ({}, tensors(m__k__lora_A__weight=A, m__k__lora_B__weight=B), StrayTensor),
    "excluded module": ({"exclude_modules": ["q"]}, pair, StrayTensor),
    "no prefix": ({}, {"m.q.lora_A.weight": A, "m.q.lora_B.weight": B}, StrayTensor),
    "half a prefix": ({}, {"base_model.m.q.lora_A.weight": A}, StrayTensor),
    "a weight that nobody names": ({}, pair | tensors(m__k__weight=A), StrayTensor),
    "a bias that nobody names": ({}, pair | tensors(m__q__base_layer__bias=B), StrayTensor),
    "a bias of B": ({}, pair | tensors(m__q__lora_B__bias=zeros("F32", 4)), StrayTensor),
    "a bias of A": ({"lora_bias": True}, pair | tensors(m__q__lora_A__bias=zeros("F32", 4)), StrayTensor),
    "an unknown factor": ({}, pair | tensors(m__q__lora_C__weight=A), StrayTensor),
    "no leaf": ({}, tensors(m__q__lora_A=A, m__q__lora_B=B), StrayTensor),
    "two adapters": ({}, pair | tensors(m__q__lora_A__other__weight=A), StrayTensor),
    "kohya's names": ({}, {"lora_unet_m_q.lora_down.weight": A}, StrayTensor),
    "no tensors at all": ({}, {}, EmptyAdapter),
    "NaN": ({}, pair | tensors(m__q__lora_A__weight=("F32", (2, 6), b"\0\0\xc0\x7f" * 12)), NonFiniteValues),
}


@pytest.mark.parametrize("name", wrong)
def test_weights_that_contradict_their_configuration_are_refused(name: str) -> None:
    changes, contents, error = wrong[name]
    with pytest.raises(error) as refused:
        read(config | changes, file_of(contents))
    assert refused.value.facts["path"] == weight_path


def test_pickled_weights_are_refused_before_anything_is_read() -> None:
    with pytest.raises(PickleRefused):
        read(b"not even JSON", b"\x80\x02}q\x00.")


def test_names_of_modules_may_hold_what_looks_like_a_factor() -> None:
    """A module that is itself called lora_A: the last one counts."""
    adapter = read(config, file_of(tensors(lora_A__q__lora_A__weight=A, lora_A__q__lora_B__weight=B)))
    assert [module.name for module in adapter.modules] == ["lora_A.q"]


def test_thousands_of_experts_are_read_in_a_moment() -> None:
    """The largest file that is allowed: 32,768 modules."""
    small_a, small_b = zeros("U8", 1, 1), zeros("U8", 1, 1)
    contents: dict[str, Any] = {}
    for number in range(32_768):
        contents |= tensors(**{f"e{number}__q__lora_A__weight": small_a, f"e{number}__q__lora_B__weight": small_b})
    adapter = read(config | {"r": 1, "target_modules": r"e\d+\.q"}, file_of(contents))
    assert len(adapter.modules) == 32_768
