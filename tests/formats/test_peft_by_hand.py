"""Adapters made by hand: names that PEFT allows, and weights that contradict their configuration."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.domain.adapter import Adapter, Module, ModuleKind
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
from tests.formats.files import file_of, inspect, zeros

weight_path = "adapter_model.safetensors"


def read(config: bytes | Mapping[str, Any], weights: bytes) -> Adapter:
    data = config if isinstance(config, bytes) else json.dumps(dict(config)).encode()
    return read_adapter(data, inspect(weights), weight_path)


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
    "no bias of B": ({"lora_bias": True}, pair, UnpairedFactor),
    "a short bias of B": (
        {"lora_bias": True},
        pair | tensors(m__q__lora_B__bias=zeros("F32", 3)),
        FactorShape,
    ),
    "tokens that nobody names": (
        {"trainable_token_indices": {"wte": [1]}},
        pair | tensors(m__embed__token_adapter__trainable_tokens_delta=zeros("F32", 1, 4)),
        StrayTensor,
    ),
    "more tokens than rows": (
        {"trainable_token_indices": [1, 2]},
        pair | tensors(m__embed__token_adapter__trainable_tokens_delta=zeros("F32", 1, 4)),
        FactorShape,
    ),
    "one tensor replaced twice": (
        {"bias": "all"},
        pair | tensors(m__q__bias=zeros("F32", 4), m__q__base_layer__bias=zeros("F32", 4)),
        StrayTensor,
    ),
    "a bias of no target": ({"bias": "lora_only"}, pair | tensors(m__k__bias=zeros("F32", 4)), StrayTensor),
    "groups that do not divide the outputs": (
        {},
        tensors(conv__lora_A__weight=zeros("F32", 2, 6, 3, 3), conv__lora_B__weight=zeros("F32", 5, 1, 1, 1)),
        RankMismatch,
    ),
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
