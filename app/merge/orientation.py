"""How the base stores what a module's delta is added to."""

from app.domain.adapter import Module, ModuleKind

experts_by_inputs = frozenset({"aria", "aria_text", "gpt_oss", "openai_privacy_filter"})
"""Kinds of model whose experts PEFT reads as [experts, in, out]; only square experts need to be told. From transformers 5.23, where
`use_experts_implementation` has `is_transposed`."""


def shape_in_base(module: Module, found: tuple[int, ...], model_type: str | None) -> tuple[tuple[int, ...], bool]:
    """The shape that the base's tensor must have, and whether it holds the inputs before the outputs.

    Args:
        found: the shape that it has; of experts it decides, since their factors fit both ways.
    """
    out_shape, in_shape = module.b_shape[:1], module.a_shape[1:]
    if module.kind is not ModuleKind.EXPERTS:
        return (in_shape + out_shape if module.is_transposed else out_shape + in_shape), module.is_transposed
    # a single one may be a parameter of two dimensions, as of a router
    stacked = () if len(found) == 2 and module.experts == 1 else (module.experts,)
    by_outputs, by_inputs = stacked + out_shape + in_shape, stacked + in_shape + out_shape
    is_square = out_shape == in_shape
    if stacked and found == by_inputs and (not is_square or model_type in experts_by_inputs):
        return by_inputs, True
    return by_outputs, False
