"""The merge methods as the composer explains them; what they take and promise is in the catalogue of `merge.methods`."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.merge.methods import Choice, MethodFacts, Parameter, Space, methods

families: Mapping[Space, str] = {
    Space.SUM: "Adds the deltas",
    Space.COMBINATION: "Turns and scales whole deltas",
    Space.JOINT: "Works on the directions that the deltas share",
    Space.COORDINATES: "Works on the directions that the deltas share",
    Space.ELEMENTS: "Picks elements: no exact adapter, so ask for a rank, an energy or a model",
}

parameter_words: Mapping[str, str] = {
    "common_fraction": "Share of the directions that are taken from the sum; the rest is each layer's own.",
    "convention": "Where the paper and the tools disagree: whose rule is followed.",
    "density": "Share of each delta that is kept: smaller disturbs the other layers less and loses more.",
    "epsilon": "How much likelier a large element is kept than a small one.",
    "fraction": "Share of the directions in which each layer may differ from the mean.",
    "gamma": "Share of the largest elements that are dropped as outliers.",
    "lambda": "The method's result is multiplied by it; what the layers stand on is not.",
    "max_iter": "Steps after which the search for the centre ends.",
    "seed": "Which random elements are kept: the same number gives the same merge.",
    "t": "How far to go from the first layer (0) to the second (1).",
    "tol": "The search ends when a step is shorter than this.",
}


@dataclass(frozen=True, slots=True)
class ParameterTold:
    name: str
    explanation: str
    default: str
    options: tuple[str, ...] = ()
    """Of a choice; empty for a number."""
    lowest: str = ""
    highest: str = ""
    step: str = "any"


def told(facts: MethodFacts) -> list[ParameterTold]:
    return [parameter_told(name, parameter) for name, parameter in facts.parameters.items()]


def parameter_told(name: str, parameter: Parameter | Choice) -> ParameterTold:
    words = parameter_words[name]
    if isinstance(parameter, Choice):
        return ParameterTold(name, words, parameter.default, parameter.options)
    return ParameterTold(
        name,
        words,
        f"{parameter.default}",
        lowest=f"{parameter.lowest}",
        highest=f"{parameter.highest}",
        step="1" if parameter.is_whole else "any",
    )


def by_family() -> list[tuple[str, list[str]]]:
    """(family, names of its methods), as the catalogue has them in a row."""
    found: dict[str, list[str]] = {}
    for name, facts in methods.items():
        found.setdefault(families[facts.space], []).append(name)
    return list(found.items())
