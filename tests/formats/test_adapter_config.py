"""adapter_config.json is data: what is refused, and with which name."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ImportKeyRefused, InvalidConfig, InvalidContent, RegistryError, UnknownConfigKey, UnsafePattern
from app.formats.adapter_config import AdapterConfig, read_config
from app.formats.peft_names import config_keys

good: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"]}
path = "adapter_config.json"


def read(text: Any) -> AdapterConfig:
    return read_config(text if isinstance(text, bytes) else json.dumps(text).encode(), path)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


texts: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "cut": b'{"peft_type":',
    "trailing text": b'{"peft_type":"LORA"} x',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"peft_type":"LORA"}'.encode("utf-16"),
    "not UTF-8": b'{"peft_type":"\xff"}',
    "comment": b'{"r":1 /* one */}',
    "duplicate key": b'{"peft_type":"LORA","r":2,"r":4,"target_modules":["q"]}',
    "duplicate key below": b'{"peft_type":"LORA","target_modules":["q"],"rank_pattern":{"q":2,"q":4}}',
    "NaN": b'{"peft_type":"LORA","target_modules":["q"],"lora_alpha":NaN}',
    "Infinity": b'{"peft_type":"LORA","target_modules":["q"],"lora_alpha":Infinity}',
    "1e999": b'{"peft_type":"LORA","target_modules":["q"],"lora_alpha":1e999}',
    "huge integer": b'{"peft_type":"LORA","target_modules":["q"],"lora_alpha":' + b"9" * 10_000 + b"}",
    "too large": b'{"peft_type":"LORA"' + b" " * (256 << 10) + b"}",
    "100,000 deep": b'{"runtime_config":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "lone surrogate": b'{"peft_type":"LORA","target_modules":["\\ud800"]}',
    "lone surrogate in a key": b'{"peft_type":"LORA","target_modules":["q"],"rank_pattern":{"\\udc00":1}}',
}

changes: dict[str, tuple[dict[str, Any], type[InvalidContent]]] = {
    "17 deep": ({"runtime_config": nested(16)}, InvalidConfig),
    "unknown key": ({"rank": 2}, UnknownConfigKey),
    "unknown keys": ({"__class__": "os.system", "exec": "rm"}, UnknownConfigKey),
    "unknown kind": ({"peft_type": "MYLORA"}, InvalidConfig),
    "kind is null": ({"peft_type": None}, InvalidConfig),
    "kind is a list": ({"peft_type": ["LORA"]}, InvalidConfig),
    "rank 0": ({"r": 0}, InvalidConfig),
    "rank -1": ({"r": -1}, InvalidConfig),
    "rank 2.0": ({"r": 2.0}, InvalidConfig),
    "rank true": ({"r": True}, InvalidConfig),
    "rank null": ({"r": None}, InvalidConfig),
    "rank as text": ({"r": "2"}, InvalidConfig),
    "rank of a billion": ({"r": 10**9}, InvalidConfig),
    "alpha as text": ({"lora_alpha": "4"}, InvalidConfig),
    "alpha true": ({"lora_alpha": True}, InvalidConfig),
    "alpha null": ({"lora_alpha": None}, InvalidConfig),
    "alpha beyond float64": ({"lora_alpha": 10**400}, InvalidConfig),
    "rank_pattern is a list": ({"rank_pattern": ["q"]}, InvalidConfig),
    "rank_pattern of texts": ({"rank_pattern": {"q": "2"}}, InvalidConfig),
    "rank_pattern without a key": ({"rank_pattern": {"": 2}}, InvalidConfig),
    "alpha_pattern of lists": ({"alpha_pattern": {"q": [2]}}, InvalidConfig),
    "use_rslora is 1": ({"use_rslora": 1}, InvalidConfig),
    "fan_in_fan_out as text": ({"fan_in_fan_out": "false"}, InvalidConfig),
    "target_modules null": ({"target_modules": None}, InvalidConfig),
    "target_modules of numbers": ({"target_modules": [1]}, InvalidConfig),
    "target_modules with an empty name": ({"target_modules": [""]}, InvalidConfig),
    "target_modules is an object": ({"target_modules": {"q": 1}}, InvalidConfig),
    "layers_to_transform of texts": ({"layers_to_transform": ["1"]}, InvalidConfig),
    "layers beside a pattern": ({"target_modules": ".*", "layers_to_transform": [1]}, InvalidConfig),
    "bias of something else": ({"bias": "some"}, InvalidConfig),
    "init is a number": ({"init_lora_weights": 3}, InvalidConfig),
    "base name with a control character": ({"base_model_name_or_path": "a\x1b[2Jb"}, InvalidConfig),
    "base name is a list": ({"base_model_name_or_path": ["a"]}, InvalidConfig),
    "bomb in target_modules": ({"target_modules": r"(a+)+\1"}, UnsafePattern),
    "long pattern": ({"target_modules": "a" * 1025}, UnsafePattern),
    "bomb in exclude_modules": ({"exclude_modules": "(?=(a+))a*b"}, UnsafePattern),
    "bomb in rank_pattern": ({"rank_pattern": {"(?:a{900}){900}": 2}}, UnsafePattern),
    "bomb in alpha_pattern": ({"alpha_pattern": {"(?!x)": 2}}, UnsafePattern),
    "bomb in layers_pattern": ({"layers_to_transform": [1], "layers_pattern": "(?<!a)b"}, UnsafePattern),
    "many layers_patterns": ({"layers_to_transform": [1], "layers_pattern": ["h"] * 9}, UnsafePattern),
    "os as parent library": (
        {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
        ImportKeyRefused,
    ),
    "a library that begins alike": ({"auto_mapping": {"parent_library": "transformers_evil"}}, ImportKeyRefused),
    "a path as library": ({"auto_mapping": {"parent_library": "transformers/../os"}}, ImportKeyRefused),
    "a newline behind a library": ({"auto_mapping": {"parent_library": "transformers\n"}}, ImportKeyRefused),
    "two dots in a library": ({"auto_mapping": {"parent_library": "transformers..os"}}, ImportKeyRefused),
    "a call as class": ({"auto_mapping": {"base_model_class": "eval('1')"}}, ImportKeyRefused),
    "more in the mapping": ({"auto_mapping": {"parent_library": "peft", "module": "os"}}, ImportKeyRefused),
    "mapping as text": ({"auto_mapping": "os"}, ImportKeyRefused),
    "mapping of a list": ({"auto_mapping": {"parent_library": ["os"]}}, ImportKeyRefused),
    "another megatron": ({"megatron_core": "os"}, ImportKeyRefused),
    "megatron below": ({"megatron_core": "megatron.core.os"}, ImportKeyRefused),
    "remote code": ({"tokenizer_kwargs": {"trust_remote_code": True}}, ImportKeyRefused),
    "remote code below": ({"runtime_config": [{"a": {"trust_remote_code": "yes"}}]}, ImportKeyRefused),
}


@pytest.mark.parametrize("name", texts)
def test_what_is_no_bounded_json_object_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig):
        read(texts[name])


@pytest.mark.parametrize("name", changes)
def test_a_key_that_is_not_what_it_should_be_is_refused_by_name(name: str) -> None:
    change, error = changes[name]
    with pytest.raises(error) as refused:
        read(good | change)
    assert refused.value.facts["path"] == path
    json.dumps(refused.value.facts)


def test_what_peft_writes_for_libraries_is_kept_as_data() -> None:
    for mapping in (
        None,
        {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama"},
        {"base_model_class": "UNet", "parent_library": "diffusers"},
        {"base_model_class": None, "parent_library": "peft.peft_model"},
        {},
    ):
        read(good | {"auto_mapping": mapping, "megatron_core": "megatron.core"})
    read(good | {"megatron_core": None, "tokenizer_kwargs": {"trust_remote_code": False}})


def test_every_key_of_every_release_is_known() -> None:
    for key in config_keys - good.keys():
        read(good | {key: None})


def test_keys_of_the_first_release_are_known() -> None:
    read(good | {"enable_lora": None, "merge_weights": False, "lora_alpha": 128.0})


def test_what_changes_the_delta_and_is_not_merged_is_named() -> None:
    assert read(good).unsupported == frozenset()
    assert read(good | {"init_lora_weights": "pissa_niter_16"}).unsupported == {"pissa"}
    assert read(good | {"init_lora_weights": "LoftQ"}).unsupported == {"loftq"}
    assert read(good | {"init_lora_weights": False, "modules_to_save": []}).unsupported == frozenset()
    assert read(good | {"use_qalora": True, "alora_invocation_tokens": [1]}).unsupported == {"qalora", "alora"}
    merged = {"use_dora": True, "lora_bias": True, "bias": "all", "modules_to_save": ["head"]}
    assert read(good | merged).unsupported == frozenset()
    assert read(good | {"peft_type": "BONE"}).unsupported == {"bone"}


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([".*", "(", "q"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(change=st.dictionaries(st.sampled_from(sorted(config_keys)), values, max_size=4))
def test_a_mutant_is_read_or_refused_by_name_and_in_a_moment(change: dict[str, Any]) -> None:
    started = time.perf_counter()
    try:
        text = json.dumps(good | change).encode("utf-8", "surrogatepass")
    except UnicodeEncodeError:
        return
    try:
        config = read(text)
    except RegistryError as refused:
        json.dumps(refused.facts)
    else:
        assert config.rank >= 0
        assert config.peft_type
    assert time.perf_counter() - started < 10
