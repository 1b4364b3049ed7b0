"""Adapters that PEFT itself made, in every variant."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.lora.layer import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from app.domain.adapter import Adapter, Module, ModuleKind
from app.domain.base_model import BaseModel
from app.errors import FactorShape
from app.formats.peft import read_adapter
from app.formats.peft_names import config_keys, peft_types
from tests.formats.files import inspect

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


def read(config: bytes, weights: bytes) -> Adapter:
    return read_adapter(config, inspect(weights), weight_path)


def modules_of(adapter: Adapter) -> dict[str, Module]:
    return {module.name: module for module in adapter.modules}


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
    adapted = made(llama(), peft.LoraConfig(r=4, target_modules=["q_proj"]))
    adapter = read(*saved(adapted, tmp_path))
    tensors = load_file(tmp_path / weight_path)
    for module in adapter.modules:
        assert tuple(tensors[module.a_key].shape) == module.a_shape
        assert tuple(tensors[module.b_key].shape) == module.b_shape


merged_variants: dict[str, tuple[Callable[[], Any], peft.LoraConfig, tuple[str, ...], tuple[str, ...]]] = {
    "dora": (llama, peft.LoraConfig(target_modules=["q_proj"], use_dora=True), ("dora",), ()),
    "bias of all": (
        gpt2,
        peft.LoraConfig(target_modules=["c_attn"], bias="all"),
        ("bias",),
        tuple(sorted(name for name in gpt2().state_dict() if name.endswith(".bias"))),
    ),
    "bias of lora": (
        gpt2,
        peft.LoraConfig(target_modules=["c_attn"], bias="lora_only"),
        ("bias",),
        ("transformer.h.0.attn.c_attn.bias", "transformer.h.1.attn.c_attn.bias"),
    ),
    "lora bias": (lambda: Pixels(), peft.LoraConfig(target_modules=["head"], lora_bias=True), ("lora_bias",), ()),
    "saved module": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head", "model.norm"]),
        ("modules_to_save",),
        ("lm_head.weight", "model.norm.weight"),
    ),
    "classifier": (
        lambda: llama(LlamaForSequenceClassification),
        peft.LoraConfig(target_modules=["q_proj"], task_type="SEQ_CLS"),
        ("modules_to_save",),
        ("score.weight",),
    ),
    "trained tokens": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [3, 1]}),
        ("trainable_tokens",),
        ("model.embed_tokens.weight",),
    ),
    "trained tokens of the input": (
        llama,
        peft.LoraConfig(target_modules=["q_proj"], trainable_token_indices=[3, 1]),
        ("trainable_tokens",),
        ("model.embed_tokens.weight",),
    ),
    "targeted embedding": (
        llama,
        peft.LoraConfig(target_modules=["q_proj", "embed_tokens"]),
        ("saved_embeddings",),
        ("model.embed_tokens.weight",),
    ),
    "targeted output": (
        llama,
        peft.LoraConfig(target_modules=["lm_head"]),
        ("saved_embeddings",),
        ("lm_head.weight",),
    ),
    "convolutions": (
        lambda: Pixels(),
        peft.LoraConfig(r=2, target_modules=["line", "plane", "volume"]),
        ("conv1d", "conv2d", "conv3d"),
        (),
    ),
    "grouped convolution": (lambda: Pixels(), peft.LoraConfig(r=4, target_modules=["grouped"]), ("conv2d",), ()),
}


@pytest.mark.parametrize("variant", merged_variants)
def test_what_is_more_than_a_product_is_described(variant: str, tmp_path: Path) -> None:
    model, config, features, replaced = merged_variants[variant]
    adapted = made(model(), config)
    adapter = read(*saved(adapted, tmp_path))
    assert (adapter.unsupported, adapter.features) == ((), features)
    assert tuple(one.tensor for one in adapter.replacements) == replaced
    own, base = load_file(tmp_path / weight_path), model().state_dict()
    for one in adapter.replacements:
        expected = base[one.tensor].shape if one.rows is None else (2, base[one.tensor].shape[1])
        assert one.shape == expected == tuple(own[one.key].shape)
        assert one.rows in (None, (3, 1))
        assert adapter.stands_on_values
    for module in adapter.modules:
        layer = adapted.base_model.model.get_submodule(module.name)
        assert (module.magnitude_key is None) is not config.use_dora
        assert module.bias_key == (f"base_model.model.{module.name}.lora_B.bias" if config.lora_bias else None)
        assert module.groups == getattr(layer.get_base_layer(), "groups", 1)
        assert {module.a_key, module.b_key} <= own.keys()


def test_a_vector_of_a_module_has_a_value_for_each_output(tmp_path: Path) -> None:
    config, weights = saved(made(llama(), merged_variants["dora"][1]), tmp_path)
    tensors = load_file(tmp_path / weight_path)
    name = next(name for name in tensors if name.endswith("magnitude_vector"))
    save_file(tensors | {name: tensors[name][1:].clone()}, tmp_path / weight_path)
    with pytest.raises(FactorShape):
        read(config, (tmp_path / weight_path).read_bytes())
    assert read(config, weights).modules


unmerged_variants: dict[str, tuple[Callable[[], Any], peft.PeftConfig, tuple[str, ...], int]] = {
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


class Experts(torch.nn.Module):
    """Parameters of experts, defined in this order."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(shape)))


def experts_of(*targets: str, **shapes: tuple[int, ...]) -> Any:
    model = torch.nn.ModuleDict({"experts": Experts(**shapes), "head": torch.nn.Linear(4, 4)})
    config = peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=["head"], target_parameters=list(targets), rank_pattern={"down_proj": 5}
    )
    return made(model, config)


shapes_of_experts = {"gate_up_proj": (3, 16, 6), "gate_up_proj_bias": (3, 16), "down_proj": (3, 6, 8)}


@pytest.mark.parametrize("targets", [["stacked"], ["experts.stacked"]], ids=str)
def test_a_parameter_of_experts_is_described_by_the_matrices_of_each(targets: list[str], tmp_path: Path) -> None:
    adapter = read(*saved(experts_of(*targets, stacked=(3, 8, 6)), tmp_path))
    assert (adapter.unsupported, adapter.features) == ((), ("target_parameters",))
    module, head = adapter.modules
    assert (module.name, module.tensor, module.kind) == ("experts.stacked", "experts.stacked", ModuleKind.EXPERTS)
    assert (module.rank, module.experts, module.groups, module.scaling) == (2, 3, 1, 1.5)
    assert {module.out_features, module.in_features} == {8, 6}
    assert (head.name, head.experts, head.groups) == ("head", 1, 1)


def test_parameters_of_one_module_lie_one_inside_another(tmp_path: Path) -> None:
    """PEFT wraps them in the order of their definition; which one a wrapper is for stands nowhere in the file."""
    targets = [f"experts.{name}" for name in ("down_proj", "gate_up_proj", "gate_up_proj_bias")]
    adapted = experts_of(*targets, **shapes_of_experts)
    adapter = read(*saved(adapted, tmp_path))
    assert adapter.unsupported == ()
    modules = {module.name.rpartition(".")[2]: module for module in adapter.modules}
    assert modules.keys() == {*shapes_of_experts, "head"}
    wrapper = adapted.base_model.model["experts"]
    while hasattr(wrapper, "parameter_name"):
        module = modules[wrapper.parameter_name]
        assert module.a_shape == tuple(wrapper.lora_A["default"].weight.shape)
        assert (module.experts, module.rank) == (wrapper.num_experts, wrapper.r["default"])
        wrapper = wrapper.base_layer
    assert modules["down_proj"].rank == 5


@pytest.mark.parametrize("targets", [["experts.down_proj", "experts.other"], ["down_proj", "gate_up_proj", "other"]])
def test_wrappers_whose_order_is_not_known_are_named(targets: list[str], tmp_path: Path) -> None:
    own = {target.rpartition(".")[2]: (3, 8, 6) for target in targets}
    adapter = read(*saved(experts_of(*targets, **own), tmp_path))
    assert adapter.unsupported == ("nested_parameters",)
    assert [module.name for module in adapter.modules] == ["head"]


def test_our_names_are_those_of_the_installed_release() -> None:
    written = {field.name for config in PEFT_TYPE_TO_CONFIG_MAPPING.values() for field in fields(config)}
    assert written <= config_keys
    assert {kind.value for kind in peft.PeftType} <= peft_types
