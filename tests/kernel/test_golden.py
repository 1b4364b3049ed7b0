"""The peers' own results: PEFT's computed here, mergekit's stored with the script that made them."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.utils import merge_utils
from safetensors.torch import load_file
from torch import Tensor

from app.kernel.reference.random_numbers import uniform
from app.merge.methods import methods, parse_method
from tests.kernel.branches import branches, expected, merged
from tests.kernel.golden.inputs import golden_branches, golden_cases
from tests.kernel.stacks import relative_error

stored: Mapping[str, Tensor] = load_file(Path(__file__).parent / "golden" / "mergekit.safetensors")


@pytest.mark.parametrize("name", sorted(golden_cases))
def test_mergekit_0_1_5(name: str) -> None:
    """To float32, in which mergekit draws, and in which karcher's steps of it stop."""
    found, parameters = golden_branches(name), golden_cases[name]
    assert parse_method({"name": name, **parameters}).parameters == parameters
    assert relative_error(expected(name, found, parameters), stored[name]) <= 2e-7
    assert relative_error(merged(name, found, parameters), stored[name]) <= 2e-7


def test_every_convention_of_mergekit_has_its_golden_tensor() -> None:
    conventions = {
        name
        for name, facts in methods.items()
        if "mergekit" in getattr(facts.parameters.get("convention"), "options", ())
    }
    assert conventions <= golden_cases.keys() == stored.keys()


peft_methods = ["magnitude_prune", "ties", "dare_linear", "dare_ties"]


@pytest.mark.parametrize("name", peft_methods)
def test_peft_0_21_2_on_dense_deltas(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `add_weighted_adapter` with `*_svd` computes before its SVD; its Bernoulli draws are answered with our numbers."""
    assert version("peft") == "0.21.2"
    found = branches(12, 17, [3, 8, 5], of_weights=[0.7, -1.3, 0.5])
    answers = iter([uniform(7, branch.identity, (12, 17)) for branch in found])
    monkeypatch.setattr(torch, "bernoulli", lambda probability: (next(answers) < probability).double())
    peers: Any = getattr(merge_utils, name)
    weights = torch.tensor([branch.weight for branch in found], dtype=torch.float64)
    theirs = peers([branch.delta.dense() for branch in found], weights, 0.3)
    parameters: dict[str, Any] = {"density": 0.3, "lambda": 1.0}
    parameters |= {"seed": 7} if name.startswith("dare") else {}
    # where it agrees with the paper it has no convention of its own
    parameters |= {"convention": "paper"} if name == "dare_linear" else {}
    parameters |= {"convention": "peft"} if name.endswith("ties") else {}
    assert relative_error(expected(name, found, parameters), theirs) <= 1e-12
    assert relative_error(merged(name, found, parameters), theirs) <= 1e-12


def test_every_convention_of_peft_has_its_golden_tensor() -> None:
    conventions = {
        name for name, facts in methods.items() if "peft" in getattr(facts.parameters.get("convention"), "options", ())
    }
    assert conventions <= set(peft_methods)
