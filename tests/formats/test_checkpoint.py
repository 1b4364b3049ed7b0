"""Full models: one weights file or shards with an index, and what contradicts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from app.domain.adapter import Checkpoint
from app.errors import IndexMismatch, InvalidConfig, InvalidContent, InvalidSafetensors, MissingFile, PickleRefused
from app.formats.checkpoint import read_checkpoint
from tests.formats.files import file_of, inspect, zeros

settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False}
first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
shards = {
    first: file_of({"a": zeros("BF16", 2, 3), "c": zeros("F32", 1)}),
    second: file_of({"b": zeros("BF16", 4)}),
}
weight_map = {"a": first, "b": second, "c": first}


def read(config: Any, index: Any, weights: Mapping[str, bytes]) -> Checkpoint:
    return read_checkpoint(
        config if isinstance(config, bytes) else json.dumps(config).encode(),
        None if index is None else json.dumps({"metadata": {"total_size": 24}, "weight_map": index}).encode(),
        {path: inspect(file) for path, file in weights.items()},
    )


def test_one_file_is_a_model() -> None:
    checkpoint = read(settings, None, {"model.safetensors": shards[first]})
    assert checkpoint.weight_files == ("model.safetensors",)
    assert [tensor.name for _, tensor in checkpoint.tensors] == ["a", "c"]


def test_shards_are_joined_by_the_index() -> None:
    checkpoint = read(settings, weight_map, shards)
    assert checkpoint.architectures == ("LlamaForCausalLM",)
    assert (checkpoint.model_type, checkpoint.tie_word_embeddings) == ("llama", False)
    assert (checkpoint.dtype, checkpoint.parameters) == ("BF16", 11)
    assert checkpoint.weight_files == (first, second)
    assert [(path, tensor.name) for path, tensor in checkpoint.tensors] == [(first, "a"), (second, "b"), (first, "c")]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard_size", ["1GB", "4KB"])
def test_what_transformers_saves_is_read(tied: bool, shard_size: str, tmp_path: Path) -> None:
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            tie_word_embeddings=tied,
        )
    )  # fmt: skip
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    index = tmp_path / "model.safetensors.index.json"
    assert index.exists() == (shard_size == "4KB")
    checkpoint = read_checkpoint(
        (tmp_path / "config.json").read_bytes(),
        index.read_bytes() if index.exists() else None,
        {path.name: inspect(path.read_bytes()) for path in tmp_path.glob("*.safetensors")},
    )
    assert checkpoint.parameters == model.num_parameters()
    assert checkpoint.tie_word_embeddings == tied
    assert checkpoint.dtype == "F32"


def test_a_configuration_that_leaves_the_tie_open_is_decided_by_the_files() -> None:
    assert read({}, None, {"model.safetensors": shards[first]}).tie_word_embeddings
    head = file_of({"lm_head.weight": zeros("F32", 2, 2)})
    assert not read({"tie_word_embeddings": None}, None, {"model.safetensors": head}).tie_word_embeddings


def test_any_key_may_stand_in_a_models_configuration() -> None:
    read(
        settings | {"auto_map": {"AutoModel": "modeling.Mine"}, "whatever": [1]},
        None,
        {"model.safetensors": shards[first]},
    )


wrong: dict[str, tuple[Any, Any, Mapping[str, bytes], type[InvalidContent]]] = {
    "no weights": (settings, None, {}, MissingFile),
    "the first of several without an index": (
        settings,
        None,
        {"model-00001-of-00003.safetensors": shards[first]},
        MissingFile,
    ),
    "shards without an index": (settings, None, shards, MissingFile),
    "a shard that is not there": (settings, weight_map, {first: shards[first]}, MissingFile),
    "a shard that nobody lists": (settings, {"a": first, "c": first}, shards, IndexMismatch),
    "a tensor that the index lacks": (settings, {"a": first, "b": second}, shards, IndexMismatch),
    "a tensor that the shard lacks": (settings, weight_map | {"d": first}, shards, IndexMismatch),
    "a tensor in another shard": (settings, weight_map | {"b": first}, shards, IndexMismatch),
    "a tensor in two shards": (settings, weight_map, shards | {second: shards[first]}, IndexMismatch),
    "no weight_map": (settings, [], shards, InvalidConfig),
    "weight_map of numbers": (settings, {"a": 1}, shards, InvalidConfig),
    "configuration is no JSON": (b"{", None, {"model.safetensors": shards[first]}, InvalidConfig),
    "configuration is a list": ([], None, {"model.safetensors": shards[first]}, InvalidConfig),
    "configuration too large": ({"a": "x" * (256 << 10)}, None, {"model.safetensors": shards[first]}, InvalidConfig),
    "architectures as text": ({"architectures": "A"}, None, {"model.safetensors": shards[first]}, InvalidConfig),
    "model_type is a number": ({"model_type": 1}, None, {"model.safetensors": shards[first]}, InvalidConfig),
    "tie as text": ({"tie_word_embeddings": "no"}, None, {"model.safetensors": shards[first]}, InvalidConfig),
    "a cut shard": (settings, weight_map, shards | {second: shards[second][:-1]}, InvalidSafetensors),
    "a pickled shard": (settings, weight_map, shards | {second: b"\x80\x02."}, PickleRefused),
}


@pytest.mark.parametrize("name", wrong)
def test_a_model_that_contradicts_itself_is_refused(name: str) -> None:
    config, index, weights, error = wrong[name]
    with pytest.raises(error):
        read(config, index, weights)
