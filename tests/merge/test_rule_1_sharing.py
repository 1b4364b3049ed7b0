"""Rule 1: what two layers both stand on is counted once, not twice and not never."""

import numpy as np

from tests.merge.world import World, weights


def test_two_layers_on_one_adapter_share_it(world: World) -> None:
    resolution = world.resolve("bob/dialogue@1.0.0", "carol/reasoning@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}
    assert weights(resolution.branches) == {"bob/dialogue@1.0.0": 1.0, "carol/reasoning@1.0.0": 1.0}
    once = world.expected({"alice/instruct@1.0.0": 1, "bob/dialogue@1.0.0": 1, "carol/reasoning@1.0.0": 1})
    np.testing.assert_array_equal(world.total(resolution), once)


def test_a_chain_asked_for_by_its_end_brings_all_of_it(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0, "carol/reasoning@1.0.0": 1.0}
    total = world.expected({"alice/instruct@1.0.0": 1, "carol/reasoning@1.0.0": 1, "dan/tools@1.0.0": 1})
    np.testing.assert_allclose(world.total(resolution), total, atol=1e-12)


def test_two_chains_with_a_shared_grandparent_count_it_once(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    world.add("eve/poetry@1.0.0", ["bob/dialogue@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", "eve/poetry@1.0.0")
    assert len(resolution.trunk) == 3
    total = world.expected(dict.fromkeys(world.versions, 1.0))
    np.testing.assert_allclose(world.total(resolution), total, atol=1e-12)


def test_a_diamond_counts_its_top_once(world: World) -> None:
    world.add("dan/both@1.0.0", ["bob/dialogue@1.0.0", "carol/reasoning@1.0.0"])
    resolution = world.resolve("dan/both@1.0.0")
    assert weights(resolution.trunk) == {
        "alice/instruct@1.0.0": 1.0,
        "bob/dialogue@1.0.0": 1.0,
        "carol/reasoning@1.0.0": 1.0,
    }


def test_a_change_of_the_readme_does_not_make_a_second_adapter(world: World) -> None:
    world.add("alice/instruct@1.0.1", twin_of="alice/instruct@1.0.0")
    world.add("dan/tools@1.0.0", ["alice/instruct@1.0.0", "alice/instruct@1.0.1"])
    resolution = world.resolve("dan/tools@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}


def test_of_several_versions_with_one_content_the_smallest_that_was_reached_is_shown(world: World) -> None:
    world.add("alice/instruct@1.0.1", twin_of="alice/instruct@1.0.0")
    world.add("aaron/copy@1.0.0", twin_of="alice/instruct@1.0.0")
    world.add("dan/tools@1.0.0", ["alice/instruct@1.0.1"])
    assert weights(world.resolve("dan/tools@1.0.0").trunk) == {"alice/instruct@1.0.1": 1.0}
    resolution = world.resolve("dan/tools@1.0.0", "bob/dialogue@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}


def test_a_trunk_member_tells_which_branches_need_it(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    resolution = world.resolve("bob/dialogue@1.0.0", "dan/tools@1.0.0")
    because = {member.reference: member.because for member in resolution.trunk}
    dialogue, tools = (world.versions[it].digest for it in ("bob/dialogue@1.0.0", "dan/tools@1.0.0"))
    assert because == {"alice/instruct@1.0.0": (dialogue, tools), "carol/reasoning@1.0.0": (tools,)}


def test_a_layer_without_a_foundation_has_no_trunk(world: World) -> None:
    resolution = world.resolve(("alice/instruct@1.0.0", -0.5))
    assert resolution.trunk == ()
    np.testing.assert_array_equal(world.total(resolution), world.expected({"alice/instruct@1.0.0": -0.5}))
