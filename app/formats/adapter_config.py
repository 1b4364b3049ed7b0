"""adapter_config.json, read by an allowlist: data, never handed to PEFT, never imported.

Every key that a PEFT release writes may stand there; what changes the delta is understood, or named as unsupported.
Source: PEFT 0.21.2, `tuners/lora/config.py`; an absent key has the default of that release.
"""

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

from app.domain.base_model import BaseModel
from app.errors import ImportKeyRefused, InvalidConfig, UnknownConfigKey
from app.formats.json_text import read_object
from app.formats.patterns import Pattern, PatternTable, Targets, choice_of_layers
from app.formats.peft_names import config_keys, peft_types

config_path = "adapter_config.json"
largest_config_bytes = 256 << 10
largest_rank = 1 << 20
largest_row = 1 << 32
longest_text = 1024

importable = re.compile(r"(transformers|diffusers|peft)(\.[A-Za-z_][A-Za-z0-9_]*)*")
class_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

harmless_initializations = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""Values of `init_lora_weights` that leave the base model as it is. The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take
from the base what they put into A and B, so that B·A alone is not the delta."""

unmerged_keys = {
    "alora_invocation_tokens": "alora",
    "arrow_config": "arrow",
    "enable_lora": "enable_lora",
    "ensure_weight_tying": "weight_tying",
    "kasa_config": "kasa",
    "layer_replication": "layer_replication",
    "megatron_config": "megatron",
    "monteclora_config": "monteclora",
    "use_bdlora": "bdlora",
    "use_qalora": "qalora",
    "velora_config": "velora",
}
"""Keys that, set to anything, change what the adapter does to its base in a way that is not merged yet."""


@dataclass(frozen=True, slots=True)
class TokenRows:
    """`trainable_token_indices`: which rows of an embedding were trained."""

    everywhere: tuple[int, ...] | None
    """Given as a list: of the input embedding."""
    by_name: tuple[tuple[str, tuple[int, ...]], ...]
    """Given as an object: by the end of the module's name."""

    def of(self, module: str) -> tuple[int, ...] | None:
        """Of the module with this name; None when it is not named, or twice."""
        if self.everywhere is not None:
            return self.everywhere
        found = [rows for name, rows in self.by_name if module.endswith(name)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """What a LoRA's configuration says about each module."""

    targets: Targets
    ranks: PatternTable
    alphas: PatternTable
    rank: int
    alpha: float
    use_rslora: bool
    use_dora: bool
    fan_in_fan_out: bool
    bias: str
    """`none`, `all` or `lora_only`."""
    has_bias: bool
    """`lora_bias`: every B has a bias of its own."""
    modules_to_save: tuple[str, ...]
    tokens: TokenRows
    target_parameters: tuple[str, ...]

    def rank_of(self, module: str) -> int:
        number = self.ranks.number_for(module)
        return self.rank if number is None else int(number)

    def saves(self, module: str) -> bool:
        """Whether the module is one that `modules_to_save` names, or within one (PEFT: by the end of its name)."""
        return any(module.endswith(entry) or f"{entry}." in module for entry in self.modules_to_save)

    def alpha_of(self, module: str) -> float:
        number = self.alphas.number_for(module)
        return self.alpha if number is None else number


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """A configuration of any kind of adapter."""

    peft_type: str
    task_type: str | None
    base_model: BaseModel | None
    target_modules: tuple[str, ...]
    """Sorted; empty when they are given as a pattern."""
    target_pattern: str | None
    rank: int
    """0 for the kinds of adapter that have none."""
    alpha: float
    unsupported: frozenset[str]
    lora: LoraConfig | None
    """None for other kinds of adapter: known by name, stored and served."""


class Fields:
    """The keys of one configuration, each taken with the type that it must have."""

    def __init__(self, path: str, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values

    def refuse(self, key: str, expected: str) -> InvalidConfig:
        return InvalidConfig(self.path, f"{key} must be {expected}", key)

    def flag(self, key: str) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return bool(value)

    def text(self, key: str) -> str | None:
        """None when absent, null or empty."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or len(value) > longest_text or not value.isprintable():
            raise self.refuse(key, f"a printable text of at most {longest_text} characters")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, none of them empty; of one, when a text stands there."""
        value = self.values.get(key)
        if value is None:
            return ()
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
            raise self.refuse(key, "a list of names")
        return tuple(entries)

    def rank(self, key: str, value: Any) -> int:
        if type(value) is not int or not 0 < value <= largest_rank:
            raise self.refuse(key, f"an integer from 1 to {largest_rank}")
        return value

    def number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(key, "a number")
        try:
            number = float(value)
        except OverflowError as error:
            raise self.refuse(key, "a finite number") from error
        if not isfinite(number):
            raise self.refuse(key, "a finite number")
        return number

    def rows(self, key: str, value: Any) -> tuple[int, ...]:
        is_list = isinstance(value, list) and all(type(row) is int and 0 <= row < largest_row for row in value)
        if not is_list or len(set(value)) != len(value):
            raise self.refuse(key, f"a list of different integers from 0 to {largest_row - 1}, or an object of such")
        return tuple(value)

    def table(self, key: str) -> dict[str, Any]:
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or "" in value:
            raise self.refuse(key, "an object whose keys are names or patterns")
        return value


def read_config(data: bytes, path: str) -> AdapterConfig:
    """The configuration in `data`, the bytes of an adapter_config.json.

    Raises: InvalidConfig, UnknownConfigKey, ImportKeyRefused, UnsafePattern.
    """
    fields = Fields(path, read_object(data, path, largest_config_bytes))
    unknown = sorted(fields.values.keys() - config_keys)
    if unknown:
        raise UnknownConfigKey(path, [key[:100] for key in unknown[:20]])
    check_imports(fields)
    peft_type = fields.text("peft_type")
    if peft_type not in peft_types:
        raise fields.refuse("peft_type", "a kind of adapter that a PEFT release knows")
    name = fields.text("base_model_name_or_path")
    target_modules = fields.values.get("target_modules")
    is_pattern = isinstance(target_modules, str)
    is_lora = peft_type == "LORA"
    lora = read_lora(fields) if is_lora else None
    return AdapterConfig(
        peft_type=peft_type,
        task_type=fields.text("task_type"),
        base_model=None if name is None else BaseModel(name, fields.text("revision")),
        target_modules=() if is_pattern else tuple(sorted(set(fields.texts("target_modules")))),
        target_pattern=target_modules if is_pattern else None,
        rank=lora.rank if lora else loose_rank(fields),
        alpha=lora.alpha if lora else loose_alpha(fields),
        unsupported=unsupported_of(fields) if is_lora else frozenset({peft_type.lower()}),
        lora=lora,
    )


def check_imports(fields: Fields) -> None:
    """Refuse what asks its reader to import or run code. PEFT itself writes the three that are let through.

    Raises: ImportKeyRefused.
    """
    mapping = fields.values.get("auto_mapping")
    if mapping is not None:
        if not isinstance(mapping, dict) or not mapping.keys() <= {"base_model_class", "parent_library"}:
            raise ImportKeyRefused(fields.path, "auto_mapping", shown(mapping))
        for key, allowed in (("parent_library", importable), ("base_model_class", class_name)):
            value = mapping.get(key)
            if value is not None and not (isinstance(value, str) and allowed.fullmatch(value)):
                raise ImportKeyRefused(fields.path, f"auto_mapping.{key}", shown(value))
    megatron = fields.values.get("megatron_core")
    if megatron not in (None, "megatron.core"):
        raise ImportKeyRefused(fields.path, "megatron_core", shown(megatron))
    remaining: list[Any] = [fields.values]
    while remaining:
        value = remaining.pop()
        if isinstance(value, dict):
            if value.get("trust_remote_code"):
                raise ImportKeyRefused(fields.path, "trust_remote_code", shown(value["trust_remote_code"]))
            remaining.extend(value.values())
        elif isinstance(value, list):
            remaining.extend(value)


def shown(value: Any) -> str:
    return str(value)[:200]


def read_lora(fields: Fields) -> LoraConfig:
    bias = fields.text("bias") or "none"
    if bias not in ("none", "all", "lora_only"):
        raise fields.refuse("bias", "none, all or lora_only")
    ranks = fields.table("rank_pattern")
    alphas = fields.table("alpha_pattern")
    return LoraConfig(
        targets=read_targets(fields),
        ranks=PatternTable(
            fields.path,
            "rank_pattern",
            [(text, fields.rank(f"rank_pattern.{text[:100]}", value)) for text, value in ranks.items()],
        ),
        alphas=PatternTable(
            fields.path,
            "alpha_pattern",
            [(text, fields.number(f"alpha_pattern.{text[:100]}", value)) for text, value in alphas.items()],
        ),
        rank=fields.rank("r", fields.values.get("r", 8)),
        alpha=fields.number("lora_alpha", fields.values.get("lora_alpha", 8)),
        use_rslora=fields.flag("use_rslora"),
        use_dora=fields.flag("use_dora"),
        fan_in_fan_out=fields.flag("fan_in_fan_out"),
        bias=bias,
        has_bias=fields.flag("lora_bias"),
        modules_to_save=fields.texts("modules_to_save"),
        tokens=read_tokens(fields),
        target_parameters=fields.texts("target_parameters"),
    )


def read_tokens(fields: Fields) -> TokenRows:
    key = "trainable_token_indices"
    value = fields.values.get(key)
    if isinstance(value, dict):
        return TokenRows(None, tuple((name, fields.rows(key, rows)) for name, rows in fields.table(key).items()))
    return TokenRows(None if value is None else fields.rows(key, value), ())


def read_targets(fields: Fields) -> Targets:
    target_modules = fields.values.get("target_modules")
    if target_modules is None and not fields.texts("target_parameters"):
        raise fields.refuse("target_modules", "a list of names or a pattern")
    pattern = target_modules if isinstance(target_modules, str) else None
    is_all_linear = pattern is not None and pattern.lower() == "all-linear"
    excluded = fields.values.get("exclude_modules") or []
    indices = fields.values.get("layers_to_transform")
    if type(indices) is int:
        indices = [indices]
    if indices is not None and not (isinstance(indices, list) and all(type(index) is int for index in indices)):
        raise fields.refuse("layers_to_transform", "an integer or a list of them")
    if pattern is not None and indices:
        raise fields.refuse("layers_to_transform", "null where target_modules is a pattern")
    return Targets(
        literals=frozenset(fields.texts("target_modules")) if pattern is None else frozenset(),
        pattern=None if pattern is None or is_all_linear else Pattern(fields.path, "target_modules", pattern),
        is_all_linear=is_all_linear,
        excluded_literals=frozenset() if isinstance(excluded, str) else frozenset(fields.texts("exclude_modules")),
        excluded_pattern=Pattern(fields.path, "exclude_modules", excluded) if isinstance(excluded, str) else None,
        layers=choice_of_layers(fields.path, frozenset(indices), fields.texts("layers_pattern")) if indices else None,
    )


def unsupported_of(fields: Fields) -> frozenset[str]:
    """What a LoRA's configuration asks for beyond B·A at a scaling."""
    found = {name for key, name in unmerged_keys.items() if fields.values.get(key)}
    initialization = fields.values.get("init_lora_weights")
    if isinstance(initialization, str):
        initialization = initialization.lower()
    elif initialization is not None and not isinstance(initialization, bool):
        raise fields.refuse("init_lora_weights", "true, false or a name")
    if initialization not in harmless_initializations:
        # pissa_niter_16 is PiSSA
        found.add(str(fields.text("init_lora_weights")).lower().partition("_niter_")[0])
    return frozenset(found)


def loose_rank(fields: Fields) -> int:
    value = fields.values.get("r")
    return value if type(value) is int and 0 <= value <= largest_rank else 0


def loose_alpha(fields: Fields) -> float:
    value = fields.values.get("alpha", fields.values.get("lora_alpha"))
    return fields.number("alpha", value) if value is not None else 0.0
