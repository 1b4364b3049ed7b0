"""Rule 5: an ancestor among the branches is fine for a sum, and asked for on purpose otherwise."""

import numpy as np
import pytest

from app.domain.recipe import Ancestors
from app.errors import AncestorAmongBranches
from tests.merge.world import World


def test_an_ancestor_among_the_branches_is_counted_once_by_a_sum(world: World) -> None:
    resolution = world.resolve("bob/dialogue@1.0.0", ("alice/instruct@1.0.0", 0.5))
    assert resolution.trunk == ()
    total = world.expected({"alice/instruct@1.0.0": 0.5, "bob/dialogue@1.0.0": 1})
    np.testing.assert_allclose(world.total(resolution), total, atol=1e-12)


def test_other_methods_refuse_it_with_the_path(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    with pytest.raises(AncestorAmongBranches) as refused:
        world.resolve("alice/instruct@1.0.0", "dan/tools@1.0.0", linear=False)
    chain = [world.id(it) for it in ("dan/tools@1.0.0", "carol/reasoning@1.0.0", "alice/instruct@1.0.0")]
    assert refused.value.facts == {"ancestor": chain[-1], "descendant": chain[0], "paths": [chain]}


def test_other_methods_take_it_where_it_is_asked_for(world: World) -> None:
    resolution = world.resolve("bob/dialogue@1.0.0", "alice/instruct@1.0.0", linear=False, ancestors=Ancestors.BRANCH)
    assert resolution.trunk == ()


def test_a_sibling_is_no_ancestor(world: World) -> None:
    assert len(world.resolve("bob/dialogue@1.0.0", "carol/reasoning@1.0.0", linear=False).trunk) == 1


def test_an_ancestor_that_a_pin_replaced_is_none(world: World) -> None:
    world.add("m/m@1.0.0", ["alice/instruct@1.0.0"])
    world.add("m/m@2.0.0")
    world.add("dan/tools@1.0.0", ["m/m@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", "alice/instruct@1.0.0", pins=["m/m@2.0.0"], linear=False)
    assert [member.reference for member in resolution.trunk] == ["m/m@2.0.0"]
