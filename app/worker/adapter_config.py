"""adapter_config.json of a merged adapter, as PEFT 0.21 reads it."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.adapter import Module, ModuleKind
from app.domain.base_model import BaseModel
from app.formats.parameters import by_depth, wrapper


def adapter_config(
    modules: Sequence[Module],
    ranks: Mapping[str, int],
    base_model: BaseModel | None,
    task_type: str | None,
    settings: Mapping[str, Any],
) -> bytes:
    """A LoRA whose alpha is its rank in every module, so that its scaling is 1 for every reader.

    `settings` are for what stands beside the factors. Modules are named whole.
    Where ranks differ, the most common one is the default and the patterns name the others.
    """
    counts = Counter(ranks.values())
    default_rank = max(counts, key=lambda rank: (counts[rank], rank))
    parameters = sorted(module.name for module in modules if module.kind is ModuleKind.EXPERTS)
    patterns = rank_patterns(ranks, default_rank)
    config: dict[str, Any] = {
        "alpha_pattern": patterns,
        "base_model_name_or_path": None if base_model is None else base_model.name,
        "bias": "none",
        "fan_in_fan_out": any(module.fan_in_fan_out for module in modules),
        "inference_mode": True,
        "lora_alpha": default_rank,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": default_rank,
        "rank_pattern": patterns,
        "revision": None if base_model is None else base_model.revision,
        "target_modules": sorted(ranks.keys() - set(parameters)),
        "target_parameters": parameters or None,
        "task_type": task_type,
        "use_dora": False,
        "use_rslora": False,
    }
    config |= settings
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()


def rank_patterns(ranks: Mapping[str, int], default_rank: int) -> dict[str, int]:
    """Pattern → rank, for the modules that have another rank than the default.

    PEFT takes the first pattern that matches the name or its end after a dot (`peft.utils.other.get_pattern_key`), so
    that `a.q` speaks for `b.a.q` as well: the longest come first, and a module of the default rank whose end is named
    is named itself.
    """
    exceptions = {name for name, rank in ranks.items() if rank != default_rank}
    named = [name for name in ranks if name in exceptions or not exceptions.isdisjoint(ends_of(name))]
    return {re.escape(name): ranks[name] for name in sorted(named, key=lambda name: (-len(name), name))}


def ends_of(name: str) -> list[str]:
    """`a.b.c`: `b.c` and `c`."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]


def places_of(modules: Sequence[Module]) -> dict[str, str]:
    """Name → the name that PEFT gives the module in a file: parameters of one module are wrapped one inside another."""
    parameters: dict[str, list[str]] = {}
    places = {module.name: module.name for module in modules}
    for module in modules:
        if module.kind is ModuleKind.EXPERTS:
            owner, _, parameter = module.name.rpartition(".")
            parameters.setdefault(owner, []).append(parameter)
    for owner, names in parameters.items():
        order = by_depth(names)
        if order is None:
            raise ValueError(f"the order of {names} in {owner} is not known")
        places |= {f"{owner}.{name}": owner + depth * wrapper for depth, name in enumerate(order)}
    return places
