"""A full model: config.json and one weights file, or several with an index."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from app.domain.adapter import Checkpoint, TensorFact
from app.errors import IndexMismatch, InvalidConfig, MissingFile
from app.formats.inspection import Inspection
from app.formats.json_text import read_object

config_path = "config.json"
index_path = "model.safetensors.index.json"
single_weights = "model.safetensors"
shard_pattern = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
largest_config_bytes = 256 << 10
largest_index_bytes = 32 << 20


def read_checkpoint(config: bytes, index: bytes | None, weights: Mapping[str, Inspection]) -> Checkpoint:
    """The model that a config.json, an index (of a sharded model) and the inspected weight files, by path, make.

    The keys of config.json are transformers' affair and kept as data: nothing in it is imported. With an index, the files
    hold exactly the tensors that it says, each once.
    Raises: InvalidConfig, MissingFile, IndexMismatch, and what `Inspection.check_weights` raises.
    """
    settings = read_object(config, config_path, largest_config_bytes)
    if not weights:
        raise MissingFile(single_weights, "a model has weights")
    for path, inspection in sorted(weights.items()):
        inspection.check_weights(path)
    if index is not None:
        check_index(read_weight_map(index), weights)
    elif len(weights) > 1:
        raise MissingFile(index_path, "several weight files need an index")
    elif shard_pattern.search(next(iter(weights))):
        raise MissingFile(index_path, "a weight file that is named as one of several needs an index")
    tensors = sorted(
        ((path, tensor) for path, inspection in weights.items() for tensor in inspection.tensors),
        key=lambda entry: entry[1].name,
    )
    names = {tensor.name for _, tensor in tensors}
    return Checkpoint(
        architectures=tuple(read_architectures(settings)),
        model_type=read_text(settings, "model_type"),
        tie_word_embeddings=read_tie(settings, names),
        dtype=dtype_of_most(tensor for _, tensor in tensors),
        parameters=sum(prod(tensor.shape) for _, tensor in tensors),
        weight_files=tuple(sorted(weights)),
        tensors=tuple(tensors),
    )


def read_weight_map(index: bytes) -> dict[str, str]:
    """Weight file by tensor name."""
    weight_map = read_object(index, index_path, largest_index_bytes).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(path, str) for path in weight_map.values()):
        raise InvalidConfig(index_path, "weight_map must be an object of file names", "weight_map")
    return weight_map


def check_index(weight_map: Mapping[str, str], weights: Mapping[str, Inspection]) -> None:
    """Raises: MissingFile, IndexMismatch."""
    for path in sorted(set(weight_map.values()) - weights.keys()):
        raise MissingFile(path, f"{index_path} names it")
    for path, inspection in sorted(weights.items()):
        for tensor in inspection.tensors:
            listed = weight_map.get(tensor.name)
            if listed != path:
                told = "does not list it" if listed is None else f"says that it is in {listed}"
                raise IndexMismatch(index_path, tensor.name, f"{path} holds it, the index {told}")
    found = {tensor.name for inspection in weights.values() for tensor in inspection.tensors}
    for name in sorted(weight_map.keys() - found):
        raise IndexMismatch(index_path, name, f"the index says that it is in {weight_map[name]}, which lacks it")


def read_architectures(settings: Mapping[str, Any]) -> list[str]:
    value = settings.get("architectures") or []
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise InvalidConfig(config_path, "architectures must be a list of names", "architectures")
    return value


def read_text(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidConfig(config_path, f"{key} must be a text", key)
    return value


def read_tie(settings: Mapping[str, Any], names: set[str]) -> bool:
    """Whether the output layer is the input embedding. Where the configuration leaves it to the model's class, the files
    decide: an output layer of its own is saved as `lm_head.weight`."""
    value = settings.get("tie_word_embeddings")
    if value is None:
        return "lm_head.weight" not in names
    if not isinstance(value, bool):
        raise InvalidConfig(config_path, "tie_word_embeddings must be true or false", "tie_word_embeddings")
    return value


def dtype_of_most(tensors: Iterable[TensorFact]) -> str:
    """The dtype of most values; an empty text when there is no tensor."""
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.dtype] += prod(tensor.shape)
    return max(sorted(counts), key=lambda dtype: counts[dtype], default="")
