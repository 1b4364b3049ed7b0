"""The merge methods: what each is called, takes and promises."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.recipe import Method
from app.errors import MalformedRequest, UnknownMethod


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a method takes; both bounds belong to the range."""

    default: float
    lowest: float
    highest: float
    is_whole: bool = False

    def parse(self, value: Any, pointer: str) -> float:
        """Raises: MalformedRequest."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not self.lowest <= value <= self.highest or (self.is_whole and value != int(value)):
            kind = "a whole number" if self.is_whole else "a number"
            raise MalformedRequest(f"{kind} from {self.lowest:g} to {self.highest:g} is needed", pointer)
        return int(value) if self.is_whole else float(value)


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What planning must know of a method."""

    summary: str
    paper: str
    parameters: Mapping[str, Parameter]
    is_sum: bool
    """Exactly the weighted sum of the deltas, so that an ancestor may stand among the branches."""
    is_low_rank: bool
    """The result's rank is at most the sum of the ranks, so that an exact adapter exists."""
    ignores_order: bool
    """The order of the layers changes nothing, so that it is no part of the recipe's digest."""


methods: Mapping[str, MethodFacts] = {
    "linear": MethodFacts(
        summary="The exact weighted sum of the deltas.",
        paper="Task arithmetic, arXiv:2212.04089, section 2; of LoRA's deltas, arXiv:2106.09685, section 4.1",
        parameters={},
        is_sum=True,
        is_low_rank=True,
        ignores_order=True,
    ),
}


def parse_method(value: Mapping[str, Any], table: Mapping[str, MethodFacts] = methods) -> Method:
    """`{"name": …, parameter: value, …}` with all defaults filled in, so that what is said and what is meant digest alike.

    Raises: UnknownMethod; MalformedRequest with a pointer into the recipe.
    """
    name = value.get("name", "linear")
    if not isinstance(name, str):
        raise MalformedRequest("the name of a merge method is a string", "/method/name")
    if name not in table:
        raise UnknownMethod(name, sorted(table))
    parameters = table[name].parameters
    for key in value:
        if key != "name" and key not in parameters:
            raise MalformedRequest(f"{name} takes no parameter {key!r}", f"/method/{_escaped(key)}")
    filled = {
        key: parameter.parse(value[key], f"/method/{_escaped(key)}") if key in value else parameter.default
        for key, parameter in parameters.items()
    }
    return Method(name, filled)


def _escaped(key: str) -> str:
    """A key as a JSON pointer (RFC 6901) writes it."""
    return key.replace("~", "~0").replace("/", "~1")
