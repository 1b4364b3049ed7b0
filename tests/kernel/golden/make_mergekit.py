"""Makes mergekit.safetensors: what mergekit's own code makes of the branches of `inputs`. Run once, by hand, where mergekit is:

    pip install mergekit==0.1.5 && python -m tests.kernel.golden.make_mergekit

mergekit merges models, so it gets a base of zeros; it has no seed of its own that could be shared, so its Bernoulli draws
are answered with the numbers that Glulam's Philox has for the branch at hand. It computes in float32.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mergekit.merge_methods.generalized_task_arithmetic import (
    ConsensusMethod,
    GeneralizedTaskArithmeticMerge,
    SparsificationMethod,
)
from mergekit.merge_methods.karcher import karcher_merge_tensors
from mergekit.merge_methods.model_stock import model_stock_merge_method
from mergekit.merge_methods.multislerp import multislerp
from mergekit.merge_methods.nuslerp import nuslerp
from mergekit.merge_methods.sce import sce_merge
from mergekit.merge_methods.slerp import slerp
from safetensors.torch import save_file
from torch import Tensor

from app.kernel.reference.random_numbers import uniform
from tests.kernel.golden.inputs import golden_branches, golden_cases

sparsified = {
    "ties": (ConsensusMethod.sum, SparsificationMethod.magnitude, True, False),
    "dare_linear": (None, SparsificationMethod.random, False, True),
    "dare_ties": (ConsensusMethod.sum, SparsificationMethod.random, False, True),
    "breadcrumbs": (None, SparsificationMethod.magnitude_outliers, False, False),
    "breadcrumbs_ties": (ConsensusMethod.sum, SparsificationMethod.magnitude_outliers, False, False),
    "della": (ConsensusMethod.sum, SparsificationMethod.della_magprune, True, True),
    "della_linear": (None, SparsificationMethod.della_magprune, False, True),
}
"""Consensus, sparsification, normalize, rescale: as mergekit registers them."""


def group_of(deltas: list[Tensor]) -> Any:
    entries = [SimpleNamespace(tensor=delta.clone(), id=index) for index, delta in enumerate(deltas)]
    base = SimpleNamespace(tensor=torch.zeros_like(deltas[0]))
    return SimpleNamespace(base=base, non_base=entries, entries=entries)


class Weights:
    def __init__(self, weights: list[float]) -> None:
        self.weights = weights

    def values_for(self, entries: Any) -> list[float]:
        return self.weights


def made(name: str, parameters: dict[str, Any]) -> Any:
    branches = golden_branches(name)
    deltas = [branch.delta.dense() for branch in branches]
    weights = [branch.weight for branch in branches]
    weighted = [weight * delta for weight, delta in zip(weights, deltas, strict=True)]
    flat = [delta.flatten()[None] for delta in weighted]
    match name:
        case "slerp":
            return slerp(torch.tensor([parameters["t"]]), *flat).reshape(deltas[0].shape)
        case "nuslerp":
            return nuslerp(weights[1] / sum(weights), *deltas, flatten=True)
        case "multislerp":
            return multislerp.implementation(group_of(deltas), Weights(weights))
        case "karcher":
            total = sum(weights)
            return karcher_merge_tensors(deltas, [weight / total for weight in weights], parameters["max_iter"])
        case "model_stock":
            return model_stock_merge_method.implementation(group_of(weighted))
        case "sce":
            return sce_merge.implementation(group_of(weighted), select_topk=parameters["density"])
    answers = drawn(parameters.get("seed", 0), [branch.identity for branch in branches], deltas[0].shape)
    torch.bernoulli = lambda probability: (next(answers) < probability).to(probability.dtype)  # type: ignore[assignment]
    consensus, sparsification, normalize, rescale = sparsified[name]
    method = GeneralizedTaskArithmeticMerge(consensus, sparsification, normalize, rescale, name, name, "")
    of_each = ("density", "gamma", "epsilon")
    values = {key: [parameters[key]] * len(deltas) for key in of_each if key in parameters}
    return method.merge_group(
        group_of(deltas),
        weight=weights,
        normalize=normalize,
        rescale=rescale,
        int8_mask=False,
        **{"lambda": parameters["lambda"]},
        **values,
    )


def drawn(seed: int, identities: list[str], shape: torch.Size) -> Iterator[Tensor]:
    for identity in identities:
        yield uniform(seed, identity, shape)


def main() -> None:
    if version("mergekit") != "0.1.5":
        raise SystemExit("the golden values are mergekit 0.1.5's")
    tensors = {name: made(name, parameters).double().contiguous() for name, parameters in golden_cases.items()}
    save_file(tensors, Path(__file__).with_name("mergekit.safetensors"), metadata={"mergekit": "0.1.5"})


if __name__ == "__main__":
    main()
