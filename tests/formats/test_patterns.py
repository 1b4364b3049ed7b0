"""Matching names: as PEFT does, but in linear time."""

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from app.errors import UnsafePattern
from app.formats.adapter_config import Fields, read_targets
from app.formats.patterns import Pattern, PatternTable

modules = (
    "model.embed_tokens",
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.mlp.down_proj",
    "model.layers.1.self_attn.q_proj",
    "model.layers.10.self_attn.v_proj",
    "model.layers.1.mlp.experts.0.up_proj",
    "transformer.h.3.attn.c_attn",
    "encoder.block.2.layer.0.SelfAttention.q",
    "lm_head",
    "q_proj",
    "xq_proj",
)


def targets_say(**config: object) -> list[str]:
    targets = read_targets(Fields("adapter_config.json", dict(config)))
    return [name for name in modules if targets.takes(name)]


def peft_says(**config: Any) -> list[str]:
    made = LoraConfig(**config)
    return [name for name in modules if check_target_module_exists(made, name)]


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["model.layers.0.self_attn.q_proj"]},
        {"target_modules": ["proj"]},
        {"target_modules": ["self_attn.q_proj", "lm_head"]},
        {"target_modules": ["model.layers.*"]},
        {"target_modules": r".*\.(q|v)_proj"},
        {"target_modules": r"model\.layers\.\d+\..*_proj"},
        {"target_modules": "q_proj"},
        {"target_modules": ".*", "exclude_modules": r".*mlp.*"},
        {"target_modules": ["q_proj", "down_proj"], "exclude_modules": ["mlp.down_proj", "lm_head"]},
        {"target_modules": ["q_proj", "v_proj", "up_proj"], "layers_to_transform": [1, 10]},
        {"target_modules": ["q_proj", "v_proj", "up_proj"], "layers_to_transform": 0},
        {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": []},
        {"target_modules": ["q_proj", "c_attn"], "layers_to_transform": [3, 0], "layers_pattern": "layers"},
        {"target_modules": ["q_proj", "c_attn"], "layers_to_transform": [3, 0], "layers_pattern": ["h", "layers"]},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": []},
        {"target_modules": ["q", "up_proj"], "layers_to_transform": [0, 2], "layers_pattern": "block"},
    ],
)
def test_a_configuration_targets_the_modules_that_peft_targets(config: dict[str, object]) -> None:
    assert targets_say(**config) == peft_says(**config)


pieces = st.sampled_from(
    [
        "model",
        "layers",
        "q_proj",
        "0",
        "1",
        ".",
        ".",
        r"\.",
        r"\d",
        "*",
        "+",
        "|",
        "(",
        ")",
        "[01]",
        "x?",
        "_",
        "^",
        "$",
    ]
)


@settings(max_examples=400, deadline=None)
@given(text=st.lists(pieces, min_size=1, max_size=6).map("".join))
def test_a_pattern_that_is_taken_matches_what_python_matches(text: str) -> None:
    try:
        pattern = Pattern("adapter_config.json", "target_modules", text)
    except UnsafePattern:
        return
    for name in modules:
        assert (pattern.match(name) is not None) == (re.fullmatch(text, name) is not None), name


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(st.lists(pieces, min_size=1, max_size=5).map("".join), min_size=1, max_size=4, unique=True))
def test_a_table_gives_the_number_that_peft_would_take(texts: list[str]) -> None:
    try:
        table = PatternTable("adapter_config.json", "rank_pattern", [(text, index) for index, text in enumerate(texts)])
    except UnsafePattern:
        return
    for name in modules:
        key = get_pattern_key(texts, name)
        # PEFT answers with the name itself when no key matches
        assert table.number_for(name) == (texts.index(key) if key in texts else None), name


@pytest.mark.parametrize(
    ("texts", "name", "expected"),
    [
        (["q_proj"], "model.layers.0.self_attn.q_proj", 0),
        (["q_proj"], "model.layers.0.self_attn.xq_proj", None),
        (["layers.0.q", "q"], "model.layers.0.q", 0),
        (["q", "layers.0.q"], "model.layers.0.q", 0),
        (["layers.0.q"], "model.layersx0yq", 0),
        (["layers.0.q"], "model.layersx0.q", 0),
        (["^model.layers.0.q"], "model.layers.0.q", 0),
        (["^layers.0.q"], "model.layers.0.q", None),
        ([r"layers\.[0-4]\.q", "q"], "model.layers.3.q", 0),
        ([r"layers\.[0-4]\.q", "q"], "model.layers.5.q", 1),
    ],
)
def test_the_first_key_that_matches_decides(texts: list[str], name: str, expected: int | None) -> None:
    table = PatternTable("adapter_config.json", "alpha_pattern", [(text, index) for index, text in enumerate(texts)])
    assert table.number_for(name) == expected
    assert get_pattern_key(texts, name) == (name if expected is None else texts[expected])


@pytest.mark.parametrize(
    "text",
    [
        "(a",
        "a)(b",
        "[a",
        "*a",
        "(?=a)b",
        "(?!a).*",
        "(?<=a)b",
        r"(a)\1",
        "(?P<x>a)(?P=x)",
        "(?i)a",
        "(?>a)",
        "a{2000}",
        "(a{500}){500}",
        r"\pN",
        r"\Qa\E",
        r"\Z",
        "[[:alpha:]]",
        "a{,3}",
        "^*a",
        "a$?",
        "a" * 1025,
        "é" * 600,
    ],
)
def test_a_pattern_without_linear_time_or_one_meaning_is_refused(text: str) -> None:
    with pytest.raises(UnsafePattern) as refused:
        Pattern("adapter_config.json", "target_modules", text)
    assert refused.value.facts["key"] == "target_modules"


@pytest.mark.parametrize("text", ["(a+)+", "(a|a)*", "(a|aa)+", "(.*)*", "([a-z]+)*", "(a*)*(a*)*(a*)*", "(x+x+)+y"])
def test_a_regex_bomb_is_matched_in_a_moment(text: str) -> None:
    started = time.perf_counter()
    assert (
        Pattern("adapter_config.json", "target_modules", f"{text}").match("a" * 1000 + "!") is None or text == "(.*)*"
    )
    assert time.perf_counter() - started < 10


def test_a_pattern_is_not_matched_beyond_ascii() -> None:
    pattern = Pattern("adapter_config.json", "target_modules", r"\w+")
    with pytest.raises(UnsafePattern):
        pattern.match("Schläger")


def test_too_many_patterns_for_too_many_modules_are_refused() -> None:
    table = PatternTable("adapter_config.json", "rank_pattern", [(f"m{number}", 1) for number in range(10_000)])
    table.check_work(1000)
    with pytest.raises(UnsafePattern):
        table.check_work(1001)
    with pytest.raises(UnsafePattern):
        PatternTable("adapter_config.json", "rank_pattern", [(f"(m){number}", 1) for number in range(65)])
