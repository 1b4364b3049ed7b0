"""The merge methods: what each is called, takes and promises."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
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
class Choice:
    """One of some names; the first is the default."""

    options: tuple[str, ...]

    @property
    def default(self) -> str:
        return self.options[0]

    def parse(self, value: Any, pointer: str) -> str:
        """Raises: MalformedRequest."""
        if not isinstance(value, str) or value not in self.options:
            raise MalformedRequest(f"one of {', '.join(self.options)} is needed", pointer)
        return value


class Space(StrEnum):
    """Where a method's result lives, which decides what it costs."""

    SUM = "sum"
    """The weighted sum itself."""
    COMBINATION = "combination"
    """A sum with coefficients that the deltas' lengths and angles decide: exact by concatenation."""
    JOINT = "joint"
    """A core in the space that all factors span together: of rank min(R, out, in), R the sum of the ranks."""
    COORDINATES = "coordinates"
    """The deltas' coordinates in a basis of their outputs, R × in for each; of the same rank."""
    ELEMENTS = "elements"
    """Every element by itself: of full rank."""

    def rank(self, summed: int, branches: int, out_features: int, in_features: int) -> int:
        """Of a module of the exact result, from the sum of the ranks of what is summed and of what the method takes."""
        side = min(out_features, in_features)
        match self:
            case Space.SUM | Space.COMBINATION:
                return summed + branches
            case Space.JOINT | Space.COORDINATES:
                return summed + min(branches, side)
            case Space.ELEMENTS:
                return side if branches else summed


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What planning must know of a method."""

    summary: str
    paper: str
    space: Space
    parameters: Mapping[str, Parameter | Choice]
    ignores_order: bool = True
    """The order of the layers changes nothing, so that it is no part of the recipe's digest."""
    most_branches: int | None = None
    """How many layers it takes, those at weight 0 not counted; None for any number."""

    @property
    def is_sum(self) -> bool:
        """Exactly the weighted sum of the deltas, so that an ancestor may stand among the branches."""
        return self.space is Space.SUM

    @property
    def is_low_rank(self) -> bool:
        """The result's rank is at most the sum of the ranks, so that an exact adapter exists."""
        return self.space is not Space.ELEMENTS


def density(default: float) -> Parameter:
    """The share of elements that is kept."""
    return Parameter(default=default, lowest=1e-4, highest=1.0)


scale = Parameter(default=1.0, lowest=-100.0, highest=100.0)
"""`lambda`: the method's result is multiplied by it, the trunk is not."""
seed = Parameter(default=0, lowest=0, highest=2**53 - 1, is_whole=True)
epsilon = Parameter(default=0.15, lowest=0.0, highest=1.0)
gamma = Parameter(default=0.007, lowest=0.0, highest=1.0)
every_tool = Choice(("paper", "peft", "mergekit"))
paper_or_mergekit = Choice(("paper", "mergekit"))

methods: Mapping[str, MethodFacts] = {
    "linear": MethodFacts(
        summary="The exact weighted sum of the deltas.",
        paper="Task arithmetic, arXiv:2212.04089, section 2; of LoRA's deltas, arXiv:2106.09685, section 4.1",
        space=Space.SUM,
        parameters={},
    ),
    "slerp": MethodFacts(
        summary="From the first delta to the second along a great circle.",
        paper="Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985",
        space=Space.COMBINATION,
        parameters={"t": Parameter(default=0.5, lowest=0.0, highest=1.0)},
        ignores_order=False,
        most_branches=2,
    ),
    "nuslerp": MethodFacts(
        summary="Between two deltas along a great circle, as far as their weights say.",
        paper="mergekit 0.1.5; Shoemake, SIGGRAPH 1985",
        space=Space.COMBINATION,
        parameters={},
        most_branches=2,
    ),
    "multislerp": MethodFacts(
        summary="The weighted mean of the deltas' directions, at their mean length.",
        paper="mergekit 0.1.5; Goddard, Multi-SLERP, 2025",
        space=Space.COMBINATION,
        parameters={},
    ),
    "karcher": MethodFacts(
        summary="The centre of the deltas' directions on the sphere, at their mean length.",
        paper="Karcher, Riemannian center of mass, Comm. Pure Appl. Math. 30, 1977; arXiv:2603.04972",
        space=Space.COMBINATION,
        parameters={
            "max_iter": Parameter(default=10, lowest=1, highest=1000, is_whole=True),
            "tol": Parameter(default=1e-5, lowest=1e-12, highest=1e-1),
        },
    ),
    "model_stock": MethodFacts(
        summary="The mean of the deltas, the shorter the less they agree.",
        paper="Model Stock, arXiv:2403.19522, section 4",
        space=Space.COMBINATION,
        parameters={},
    ),
    "tsv": MethodFacts(
        summary="The deltas' singular vectors made orthogonal to each other.",
        paper="Task Singular Vectors, arXiv:2412.00081, algorithm 1",
        space=Space.JOINT,
        parameters={"lambda": scale},
    ),
    "iso_c": MethodFacts(
        summary="The sum with all of its singular values made equal.",
        paper="No Task Left Behind, arXiv:2502.04959, section 4",
        space=Space.JOINT,
        parameters={"lambda": scale},
    ),
    "iso_cts": MethodFacts(
        summary="The sum's common directions and each delta's own, all made equal.",
        paper="No Task Left Behind, arXiv:2502.04959, section 4",
        space=Space.JOINT,
        parameters={"lambda": scale, "common_fraction": Parameter(default=0.8, lowest=0.0, highest=1.0)},
    ),
    "cart": MethodFacts(
        summary="The mean, and the main directions in which each delta differs from it.",
        paper="Revisiting Weight Averaging for Model Merging, arXiv:2412.12153, section 4",
        space=Space.JOINT,
        parameters={"lambda": scale, "fraction": Parameter(default=0.25, lowest=0.0, highest=1.0)},
    ),
    "knots_ties": MethodFacts(
        summary="TIES on the deltas' coordinates in one common basis.",
        paper="KnOTS, arXiv:2410.19735, section 4",
        space=Space.COORDINATES,
        parameters={"density": density(0.2), "lambda": scale},
    ),
    "core_ties": MethodFacts(
        summary="TIES on the deltas' cores between common bases of their factors.",
        paper="Core Space, arXiv:2509.17786, section 3",
        space=Space.JOINT,
        parameters={"density": density(0.2), "lambda": scale},
    ),
    "ties": MethodFacts(
        summary="The largest elements of each delta; a sign is elected, and those who agree are merged.",
        paper="TIES-Merging, arXiv:2306.01708, algorithm 1",
        space=Space.ELEMENTS,
        parameters={"density": density(0.2), "lambda": scale, "convention": every_tool},
    ),
    "magnitude_prune": MethodFacts(
        summary="The weighted sum of the largest elements of each delta.",
        paper="the trimming of TIES-Merging, arXiv:2306.01708; peft 0.21.2",
        space=Space.ELEMENTS,
        parameters={"density": density(0.2), "lambda": scale},
    ),
    "dare_linear": MethodFacts(
        summary="The weighted sum of random elements of each delta, rescaled.",
        paper="DARE, arXiv:2311.03099, section 3",
        space=Space.ELEMENTS,
        parameters={"density": density(0.1), "lambda": scale, "seed": seed, "convention": paper_or_mergekit},
    ),
    "dare_ties": MethodFacts(
        summary="Random elements of each delta, rescaled; a sign is elected, and those who agree are merged.",
        paper="DARE, arXiv:2311.03099, section 4",
        space=Space.ELEMENTS,
        parameters={"density": density(0.1), "lambda": scale, "seed": seed, "convention": every_tool},
    ),
    "breadcrumbs": MethodFacts(
        summary="The weighted sum of the deltas without their outliers and their small elements.",
        paper="Model Breadcrumbs, arXiv:2312.06795, section 3",
        space=Space.ELEMENTS,
        parameters={"density": density(0.143), "gamma": gamma, "lambda": scale},
    ),
    "breadcrumbs_ties": MethodFacts(
        summary="The deltas without outliers and small elements; a sign is elected, and those who agree are merged.",
        paper="Model Breadcrumbs, arXiv:2312.06795, section 3; with TIES by mergekit 0.1.5",
        space=Space.ELEMENTS,
        parameters={"density": density(0.143), "gamma": gamma, "lambda": scale, "convention": paper_or_mergekit},
    ),
    "della": MethodFacts(
        summary="Random elements, large ones more often; a sign is elected, and those who agree are merged.",
        paper="DELLA-Merging, arXiv:2406.11617, section 3",
        space=Space.ELEMENTS,
        parameters={
            "density": density(0.5),
            "epsilon": epsilon,
            "lambda": scale,
            "seed": seed,
            "convention": paper_or_mergekit,
        },
    ),
    "della_linear": MethodFacts(
        summary="The weighted sum of random elements, large ones more often.",
        paper="DELLA-Merging, arXiv:2406.11617, section 3",
        space=Space.ELEMENTS,
        parameters={
            "density": density(0.5),
            "epsilon": epsilon,
            "lambda": scale,
            "seed": seed,
            "convention": paper_or_mergekit,
        },
    ),
    "sce": MethodFacts(
        summary="The elements on which the deltas differ most, weighted by what each delta has there.",
        paper="FuseChat, arXiv:2408.07990, section 3.3",
        space=Space.ELEMENTS,
        parameters={"density": density(0.1), "lambda": scale},
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
