"""What must hold of every mutant; each judge knows the formats by itself, and asks the safetensors library."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize, safe_open

from app.errors import RegistryError
from app.formats.adapter_config import read_config
from app.formats.peft import read_adapter
from tests.formats.files import inspect
from tests.fuzz.mutants import Mutant

patience_seconds = 10.0
"""For one mutant, which takes milliseconds: what takes longer has lost its bound, even on a machine that is five times slower."""

longest_pattern = 1024
deepest_config = 16
largest_config_bytes = 256 << 10

Judge = Callable[[Mutant], bool]
"""Whether a mutant was accepted. Raises: AssertionError when it should not have been, or took too long."""


def judge_file(mutant: Mutant) -> bool:
    """Accepted weights are what the library reads, finite, and of one meaning; refused ones have a named reason."""
    file, began = mutant.file(), time.monotonic()
    inspection = inspect(file, 37)
    assert inspection == inspect(file)
    try:
        inspection.check_weights("adapter_model.safetensors")
        read_adapter(json.dumps(mutant.config).encode(), inspection, "adapter_model.safetensors")
    except RegistryError as refused:
        json.dumps(refused.facts)
        is_adapter = False
    else:
        is_adapter = True
    assert time.monotonic() - began < patience_seconds
    if inspection.fault is None:
        tensors = read_by_library(file)
        assert {name: entry[:2] for name, entry in tensors.items()} == {
            tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in inspection.tensors
        }
        check_for_one_meaning(file)
        if inspection.not_finite is None:
            assert [name for name, entry in tensors.items() if holds_not_finite(entry[0], entry[2])] == []
    return is_adapter


def read_by_library(file: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    """Raises: AssertionError when the library refuses the file, from disk or from memory."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as stored:
        stored.write(file)
        stored.flush()
        try:
            with safe_open(stored.name, framework="numpy") as opened:
                names = set(opened.keys())
            entries = deserialize(file)  # type: ignore[no-untyped-call]  # compiled, and without annotations
        except SafetensorError as error:
            raise AssertionError(f"accepted here, refused by the library: {error}") from error
    tensors = {name: (entry["dtype"], entry["shape"], bytes(entry["data"])) for name, entry in entries}
    assert names == tensors.keys()
    return tensors


def check_for_one_meaning(file: bytes) -> None:
    """No key stands twice, and no two tensors share a byte: the library takes the first, and readers differ."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length], object_pairs_hook=without_repetition)
    spans = sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert sum(end - begin for begin, end in spans) == len(file) - 8 - length


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), f"a key stands twice among {[name for name, _ in pairs]}"
    return dict(pairs)


def holds_not_finite(dtype: str, data: bytes) -> bool:
    """By numpy's own numbers; of the small types only those that it knows are looked at."""
    if dtype == "BF16":
        widened = np.frombuffer(data, np.uint16).astype(np.uint32) << 16
        return not np.isfinite(widened.view(np.float32)).all()
    known = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "C64": np.complex64}
    return dtype in known and not np.isfinite(np.frombuffer(data, known[dtype])).all()


def judge_config(mutant: Mutant) -> bool:
    """An accepted configuration names nothing to import, is small, flat, and means one thing; matching it is quick."""
    text, began = mutant.configuration(), time.monotonic()
    inspection = inspect(mutant.file())
    try:
        read_config(text, "adapter_config.json")
    except RegistryError as refused:
        json.dumps(refused.facts)
        return False
    try:
        read_adapter(text, inspection, "adapter_model.safetensors")
    except RegistryError as refused:
        json.dumps(refused.facts)
        is_adapter = False
    else:
        is_adapter = True
    assert time.monotonic() - began < patience_seconds
    assert len(text) <= largest_config_bytes
    config = json.loads(text, object_pairs_hook=without_repetition, parse_constant=refuse_constant)
    assert depth_of(config) <= deepest_config
    for key, value in keys_in(config):
        if key == "parent_library" and value is not None:
            assert value.split(".")[0] in {"transformers", "diffusers", "peft"}
            assert value.replace(".", "").replace("_", "").isalnum()
        assert key != "base_model_class" or value is None or value.isidentifier()
        assert key != "megatron_core" or value in {None, "megatron.core"}
        assert key != "trust_remote_code" or not value
    for key in ("target_modules", "exclude_modules", "layers_pattern"):
        assert not isinstance(config.get(key), str) or len(config[key]) <= longest_pattern
    return is_adapter


def refuse_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


def depth_of(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, below), default=0) if isinstance(value, dict | list) else 0


def keys_in(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_in(below)


def judged(
    mutants: st.SearchStrategy[Mutant], judge: Judge, count: int, seed: int, *, shrinks: bool = True
) -> Counter[bool]:
    """Judge so many mutants; how many were accepted, and how many refused.

    Raises: what the judge raises, for the smallest mutant that does; for the first one unless it `shrinks`.
    """
    verdicts: Counter[bool] = Counter()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(mutants)
    def each(mutant: Mutant) -> None:
        verdicts[judge(mutant)] += 1

    each()
    return verdicts
