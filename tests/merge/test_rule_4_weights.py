"""Rule 4: a layer's weight acts on its own delta; the trunk keeps its edges' weights."""

import numpy as np
import pytest

from app.errors import DuplicateLayer
from tests.merge.world import World, weights


def test_a_layer_at_weight_zero_stays_out_of_the_trunk_and_its_ancestors_stay_in(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", ("carol/reasoning@1.0.0", 0.0))
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}
    total = world.expected({"alice/instruct@1.0.0": 1, "dan/tools@1.0.0": 1})
    np.testing.assert_allclose(world.total(resolution), total, atol=1e-12)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.3, 1.0, 2.5])
def test_a_weight_acts_on_the_layers_own_delta_alone(world: World, weight: float) -> None:
    resolution = world.resolve(("bob/dialogue@1.0.0", weight))
    total = world.expected({"alice/instruct@1.0.0": 1, "bob/dialogue@1.0.0": weight})
    np.testing.assert_allclose(world.total(resolution), total, atol=1e-12)


def test_the_sum_is_continuous_at_weight_zero(world: World) -> None:
    at_zero = world.total(world.resolve("bob/dialogue@1.0.0", ("carol/reasoning@1.0.0", 0.0)))
    for weight in (1e-9, -1e-9):
        near = world.total(world.resolve("bob/dialogue@1.0.0", ("carol/reasoning@1.0.0", weight)))
        np.testing.assert_allclose(near, at_zero, atol=1e-7)


def test_edges_bring_the_trunk_at_their_weight(world: World) -> None:
    world.add("eve/poetry@1.0.0", [("bob/dialogue@1.0.0", 0.25)])
    resolution = world.resolve(("eve/poetry@1.0.0", 2.0))
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0, "bob/dialogue@1.0.0": 0.25}


def test_naming_an_ancestor_at_its_edges_weight_changes_no_bit(world: World) -> None:
    world.add("eve/poetry@1.0.0", [("bob/dialogue@1.0.0", 0.25)])
    plain, named = world.resolve("eve/poetry@1.0.0"), world.resolve("eve/poetry@1.0.0", ("bob/dialogue@1.0.0", 0.25))

    def summands(members: object) -> list[tuple[str, float]]:
        return sorted((member.content_digest, member.weight) for member in members)  # type: ignore[attr-defined]  # members

    assert summands(plain.trunk + plain.branches) == summands(named.trunk + named.branches)


def test_the_same_content_twice_among_the_layers_is_refused(world: World) -> None:
    world.add("alice/instruct@1.0.1", twin_of="alice/instruct@1.0.0")
    with pytest.raises(DuplicateLayer) as refused:
        world.resolve("alice/instruct@1.0.0", "bob/dialogue@1.0.0", ("alice/instruct@1.0.1", 0.5))
    assert refused.value.facts == {"reference": "alice/instruct@1.0.0", "layers": [0, 2]}
