"""Methods other than the sum, asked for over REST and carried out by the worker."""

from typing import Any

import numpy as np
import pytest
import torch

from app.kernel import reference
from app.kernel.factors import Branch, Factors
from app.merge.methods import methods, parse_method
from tests.api.conftest import AdapterFiles, Registry, User, done, make_adapter, refused
from tests.api.test_story import delta_of

module = "model.layers.0.q_proj"


@pytest.fixture
def alice(registry: Registry) -> User:
    alice = registry.user("alice")
    alice.publish("alice/instruct", make_adapter(1))
    for seed, name in enumerate(("left", "right"), start=2):
        alice.publish(f"alice/{name}", make_adapter(seed), builds_on=["alice/instruct@1.0.0"])
    return alice


def branch(adapter: AdapterFiles, weight: float, identity: str) -> Branch:
    """A branch whose delta is the adapter's, written as one product."""
    delta = torch.from_numpy(adapter.deltas[module])
    eye = torch.eye(delta.shape[1], dtype=torch.float64)
    return Branch(Factors(eye, delta, 1.0), weight, identity)


def test_ties_merges_the_branches_and_adds_the_trunk_whole(registry: Registry, alice: User) -> None:
    method: dict[str, Any] = {"name": "ties", "density": 0.3}
    recipe = {
        "layers": [{"adapter": "alice/left@1.0.0"}, {"adapter": "alice/right@1.0.0", "weight": 0.5}],
        "method": method,
    }
    refused(alice.post("/merges", recipe), 409, "no-exact-adapter")
    merge = registry.merge(alice, {**recipe, "output": {"rank": 16}})
    assert merge["state"] == "succeeded", merge["error"]
    assert merge["plan"]["exact"] is False
    files = {
        name: alice.get(f"/merges/{merge['id']}/files/{name}").content
        for name in ("adapter_model.safetensors", "adapter_config.json")
    }
    found = delta_of(files["adapter_model.safetensors"], files["adapter_config.json"], module)
    parameters = parse_method(method).parameters
    voted = reference.methods["ties"](
        [branch(make_adapter(2), 1.0, "left"), branch(make_adapter(3), 0.5, "right")],
        **{key if key != "lambda" else "scale": value for key, value in parameters.items()},
    )
    # 16 is the whole rank of a matrix of 24 × 16, so that nothing is lost
    expected = make_adapter(1).deltas[module] + voted.numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert merge["report"]["energy_kept"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(methods))
def test_every_method_comes_through(registry: Registry, alice: User, name: str) -> None:
    recipe = {
        "layers": [{"adapter": "alice/left@1.0.0"}, {"adapter": "alice/right@1.0.0"}],
        "method": {"name": name},
        "output": {"rank": 4},
    }
    merge = registry.merge(alice, recipe)
    assert merge["state"] == "succeeded", merge["error"]
    assert 0 < merge["report"]["energy_kept"] <= 1
    assert done(alice.post("/merges/plan", recipe))["trunk"][0]["reference"] == "alice/instruct@1.0.0"


def test_an_ancestor_among_the_branches_is_trimmed_and_voted_on_only_if_asked(registry: Registry, alice: User) -> None:
    recipe = {
        "layers": [{"adapter": "alice/left@1.0.0"}, {"adapter": "alice/instruct@1.0.0"}],
        "method": {"name": "ties"},
        "output": {"rank": 4},
    }
    refused(alice.post("/merges", recipe), 409, "ancestor-among-branches")
    assert registry.merge(alice, {**recipe, "ancestors": "branch"})["state"] == "succeeded"
