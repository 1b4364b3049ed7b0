"""LoRA on parameters (`target_parameters`): experts that lie in one tensor, which PEFT wraps one inside another.

A file names only the module and how deep a wrapper lies: `experts.lora_A` belongs to the outermost, `experts.base_layer.lora_A` to
the next. PEFT wraps parameters in the order in which their module defines them, so that the last is the outermost.
Source: PEFT 0.21.2, `tuners_utils._inject_parameters` and `tuners/lora/layer.py`, `ParamWrapper`.
"""

from collections.abc import Collection

in_order_of_definition = (
    "gate_proj",
    "up_proj",
    "gate_up_proj",
    "gate_up_proj_bias",
    "down_proj",
    "down_proj_bias",
)
"""Of experts in one tensor, in every model of transformers 5.23 that has such."""
wrapper = ".base_layer"


def unwrapped(name: str) -> tuple[str, int]:
    """The module that is wrapped, and in how many wrappers this one lies."""
    depth = 0
    while name.endswith(wrapper):
        name, depth = name.removesuffix(wrapper), depth + 1
    return name, depth


def targeted(owner: str, target_parameters: Collection[str]) -> frozenset[str]:
    """The parameters of a module that the configuration may mean: by the whole name, or the end of it after a dot."""
    names = (target.rpartition(".")[2] for target in target_parameters)
    return frozenset(
        name for name, target in zip(names, target_parameters, strict=True) if f".{owner}.{name}".endswith(f".{target}")
    )


def by_depth(parameters: Collection[str]) -> tuple[str, ...] | None:
    """The outermost first; None where the order in which the module defines them is not known."""
    if len(parameters) == 1:
        return tuple(parameters)
    if not set(parameters) <= set(in_order_of_definition):
        return None
    return tuple(sorted(parameters, key=in_order_of_definition.index, reverse=True))
