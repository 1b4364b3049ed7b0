"""Adapters that were right, and up to three things that somebody did to their configuration."""

from typing import Any

from hypothesis import strategies as st

from app.formats.peft_names import config_keys
from tests.fuzz.mutants import Mutant, Mutation, adapters, odd_values, sizes

bombs = [
    "(a+)+$",
    r"(a+)+\1",
    "(?=(a+))a*b",
    "(.*a){20}",
    "(?:a{900}){900}",
    ".*" * 513,
    "(",
    ".*",
    r"\bq_proj\b",
    "[[:alpha:]]+",
    "(?s:.)",
]
libraries = [
    "os",
    "transformers",
    "transformers.models.llama",
    "transformers_evil",
    "transformers/../os",
    "peft\n",
    "diffusers..os",
    "subprocess",
]
patterns = st.sampled_from(bombs) | st.text(alphabet="a.*+?()[]{}|\\^$q_proj0123", max_size=24)


def set_key(draw: st.DrawFn, mutant: Mutant) -> None:
    mutant.config[draw(st.sampled_from(sorted(config_keys)))] = draw(odd_values | sizes | st.text(max_size=6))


def unknown_key(draw: st.DrawFn, mutant: Mutant) -> None:
    mutant.config[draw(st.sampled_from(["rank", "__class__", "R", "r ", "exec"]) | st.text(max_size=6))] = draw(
        odd_values
    )


def remove_key(draw: st.DrawFn, mutant: Mutant) -> None:
    if mutant.config:
        del mutant.config[draw(st.sampled_from(sorted(mutant.config)))]


def name_import(draw: st.DrawFn, mutant: Mutant) -> None:
    library = draw(st.sampled_from(libraries))
    change: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"auto_mapping": {"base_model_class": "LlamaModel", "parent_library": library}},
                {"auto_mapping": {"base_model_class": f"{library}.system", "parent_library": None}},
                {"auto_mapping": {"parent_library": [library]}},
                {"auto_mapping": library},
                {"megatron_core": library},
                {"megatron_core": "megatron.core"},
                {"tokenizer_kwargs": {"trust_remote_code": True}},
                {"runtime_config": [{"deep": {"trust_remote_code": library}}]},
            ]
        )
    )
    mutant.config.update(change)


def set_pattern(draw: st.DrawFn, mutant: Mutant) -> None:
    pattern = draw(patterns)
    change: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"target_modules": pattern},
                {"exclude_modules": pattern},
                {"rank_pattern": {pattern: mutant.config.get("r", 1)}},
                {"alpha_pattern": {pattern: 2, "q_proj": 3}},
                {"layers_to_transform": [0], "layers_pattern": pattern},
                {"modules_to_save": [pattern]},
                {"rank_pattern": {f"{pattern}{number}": 1 for number in range(70)}},
            ]
        )
    )
    mutant.config.update(change)


def lengthen_pattern(draw: st.DrawFn, mutant: Mutant) -> None:
    """To the limit, or beyond it: nothing is excluded by it."""
    mutant.config["exclude_modules"] = "x" * draw(st.sampled_from([1, 1024, 1025, 5000]))


def deepen(draw: st.DrawFn, mutant: Mutant) -> None:
    value: Any = 1
    for _ in range(draw(st.sampled_from([1, 14, 15, 16, 100]))):
        value = draw(st.sampled_from([[value], {"a": value}]))
    mutant.config["runtime_config"] = value


def enlarge(draw: st.DrawFn, mutant: Mutant) -> None:
    mutant.config["target_modules"] = [
        f"layer{number}.q_proj" for number in range(draw(st.sampled_from([10, 1000, 40_000])))
    ]


def repeat_config_key(draw: st.DrawFn, mutant: Mutant) -> None:
    mutant.config_text = b'{"r": 8, ' + mutant.configuration().lstrip()[1:]


def edit_config(draw: st.DrawFn, mutant: Mutant) -> None:
    text = bytearray(mutant.configuration())
    for position, byte in draw(
        st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3)
    ):
        text[position % len(text)] = byte
    mutant.config_text = bytes(text)


def write_differently(draw: st.DrawFn, mutant: Mutant) -> None:
    """Other texts of the same value, some of them no JSON."""
    plain = mutant.configuration()
    mutant.config_text = draw(
        st.sampled_from(
            [
                b" " * 100 + plain + b"\n",
                b"\xef\xbb\xbf" + plain,
                plain + b" " * (256 << 10),
                plain.decode("utf-8", "replace").encode("utf-16"),
                plain.replace(b"true", b"NaN").replace(b"16.0", b"1e999"),
                plain.replace(b'"r"', b'"\\u0072"'),
                b"[" + plain + b"]",
            ]
        )
    )


mutations_of_configs: list[Mutation] = [
    set_key, unknown_key, remove_key, name_import, set_pattern, lengthen_pattern, deepen, enlarge, repeat_config_key,
    edit_config, write_differently,
]  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> Mutant:
    """A valid adapter, and none to three mutations of its configuration."""
    mutant = draw(adapters())
    for mutate in draw(st.lists(st.sampled_from(mutations_of_configs), max_size=3)):
        mutate(draw, mutant)
    return mutant
