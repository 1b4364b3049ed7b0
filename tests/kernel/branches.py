"""Branches for the methods, the parameters that each is tried with, and its result as one matrix."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from app.kernel import reference
from app.kernel.factors import Branch, Factors
from app.kernel.methods import arguments, low_rank, merge_factors, merge_tiles
from app.merge.methods import Choice, methods
from tests.kernel.stacks import factors

weights = [0.7, 1.3, -0.5, 1.0, 0.25]
tried: Mapping[str, Any] = {
    "density": 0.3,
    "gamma": 0.05,
    "epsilon": 0.2,
    "lambda": 1.5,
    "seed": 7,
    "t": 0.3,
    "max_iter": 10,
    "tol": 1e-5,
    "fraction": 0.4,
    "common_fraction": 0.6,
}
"""Away from the defaults and from each other, so that a parameter that is ignored or exchanged shows."""


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every method in every convention."""
    for name, facts in methods.items():
        numbers = {key: tried[key] for key, parameter in facts.parameters.items() if not isinstance(parameter, Choice)}
        convention = facts.parameters.get("convention")
        if isinstance(convention, Choice):
            yield from ((name, numbers | {"convention": option}) for option in convention.options)
        else:
            yield name, numbers


def variant_id(value: object) -> str | None:
    return value.get("convention", "") if isinstance(value, dict) else None


def branches(
    out_features: int,
    in_features: int,
    ranks: Sequence[int],
    seed: int = 0,
    of_weights: Sequence[float] = weights,
    dtype: torch.dtype = torch.float32,
) -> list[Branch]:
    return [
        Branch(factors(out_features, in_features, rank, 0.5 + index, 100 * seed + index, dtype), weight, f"x{index}")
        for index, (rank, weight) in enumerate(zip(ranks, of_weights, strict=False))
    ]


def fitting(name: str, found: list[Branch]) -> list[Branch]:
    """As many as the method takes."""
    return found[: methods[name].most_branches]


def expected(name: str, found: Sequence[Branch], parameters: Mapping[str, Any]) -> Tensor:
    return reference.methods[name](found, **arguments(parameters))


def merged(name: str, found: Sequence[Branch], parameters: Mapping[str, Any]) -> Tensor:
    """[out, in], float64."""
    if name in low_rank:
        return reference.linear(merge_factors(name, found, parameters))
    tiled = merge_tiles(name, found, parameters)
    return torch.cat([tiled.tile(*bounds) for bounds in tiled.tiles.bounds])


def of_delta(delta: Tensor, weight: float, identity: str = "x") -> Branch:
    """A branch whose delta is a given matrix."""
    return Branch(Factors(a=delta.double(), b=torch.eye(len(delta), dtype=torch.float64), gain=1.0), weight, identity)
