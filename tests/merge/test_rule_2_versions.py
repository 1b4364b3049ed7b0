"""Rule 2: two versions of one thing are not summed because lineage says so; pins decide."""

import numpy as np
import pytest

from app.domain.recipe import Overlaps
from app.errors import OverlappingContents, PinContradictsLayer, VersionConflict
from tests.merge.world import World, weights


@pytest.fixture
def upgraded(world: World) -> World:
    """instruct@2, trained anew, with tools on it."""
    world.add("alice/instruct@2.0.0")
    world.add("dan/tools@1.0.0", ["alice/instruct@2.0.0"])
    return world


def test_two_versions_in_the_trunk_are_a_conflict_with_both_paths(upgraded: World) -> None:
    with pytest.raises(VersionConflict) as refused:
        upgraded.resolve("bob/dialogue@1.0.0", "dan/tools@1.0.0")
    first, second = upgraded.id("alice/instruct@1.0.0"), upgraded.id("alice/instruct@2.0.0")
    assert refused.value.facts["versions"] == [first, second]
    assert refused.value.facts["paths"] == [
        [upgraded.id("bob/dialogue@1.0.0"), first],
        [upgraded.id("dan/tools@1.0.0"), second],
    ]


def test_a_layer_conflicts_with_another_version_of_it_in_the_trunk(upgraded: World) -> None:
    with pytest.raises(VersionConflict):
        upgraded.resolve("bob/dialogue@1.0.0", "alice/instruct@2.0.0")


def test_two_layers_may_be_two_versions_of_one_repository(upgraded: World) -> None:
    resolution = upgraded.resolve(("alice/instruct@1.0.0", 0.5), ("alice/instruct@2.0.0", 0.5))
    assert resolution.trunk == ()


def test_a_version_that_builds_on_the_other_is_no_conflict(world: World) -> None:
    world.add("alice/instruct@2.0.0", ["alice/instruct@1.0.0"])
    world.add("dan/tools@1.0.0", ["alice/instruct@2.0.0"])
    resolution = world.resolve("bob/dialogue@1.0.0", "dan/tools@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0, "alice/instruct@2.0.0": 1.0}


def test_a_continuation_elsewhere_conflicts_with_what_it_replaces(world: World) -> None:
    world.add("zoe/better@1.0.0", initialized_from="alice/instruct@1.0.0")
    with pytest.raises(VersionConflict):
        world.resolve("zoe/better@1.0.0", "bob/dialogue@1.0.0")


def test_two_continuations_of_one_version_conflict(world: World) -> None:
    world.add("zoe/better@1.0.0", initialized_from="alice/instruct@1.0.0")
    world.add("yan/other@1.0.0", initialized_from="alice/instruct@1.0.0")
    world.add("dan/tools@1.0.0", ["zoe/better@1.0.0"])
    with pytest.raises(VersionConflict):
        world.resolve("dan/tools@1.0.0", "yan/other@1.0.0")
    with pytest.raises(OverlappingContents):
        world.resolve("zoe/better@1.0.0", "yan/other@1.0.0")


def test_lines_meet_by_content(world: World) -> None:
    world.add("alice/copy@1.0.0", twin_of="alice/instruct@1.0.0")
    world.add("zoe/better@1.0.0", initialized_from="alice/copy@1.0.0")
    with pytest.raises(VersionConflict):
        world.resolve("zoe/better@1.0.0", "bob/dialogue@1.0.0")


def test_a_pin_redirects_the_edges_to_other_versions(upgraded: World) -> None:
    resolution = upgraded.resolve("bob/dialogue@1.0.0", "dan/tools@1.0.0", pins=["alice/instruct@2.0.0"])
    assert weights(resolution.trunk) == {"alice/instruct@2.0.0": 1.0}
    (substitution,) = resolution.substitutions
    assert (substitution.replaced_reference, substitution.replacement_reference) == (
        "alice/instruct@1.0.0",
        "alice/instruct@2.0.0",
    )
    assert substitution.because == (upgraded.id("bob/dialogue@1.0.0"),)
    total = upgraded.expected({"alice/instruct@2.0.0": 1, "bob/dialogue@1.0.0": 1, "dan/tools@1.0.0": 1})
    np.testing.assert_allclose(upgraded.total(resolution), total, atol=1e-12)


def test_a_pin_may_name_a_version_that_nothing_stands_on(upgraded: World) -> None:
    upgraded.add("alice/instruct@3.0.0")
    resolution = upgraded.resolve("bob/dialogue@1.0.0", "dan/tools@1.0.0", pins=["alice/instruct@3.0.0"])
    assert weights(resolution.trunk) == {"alice/instruct@3.0.0": 1.0}
    assert len(resolution.substitutions) == 2


def test_a_pin_keeps_the_weight_of_the_edge(upgraded: World) -> None:
    upgraded.add("eve/poetry@1.0.0", [("alice/instruct@1.0.0", 0.5)])
    resolution = upgraded.resolve("eve/poetry@1.0.0", pins=["alice/instruct@2.0.0"])
    assert weights(resolution.trunk) == {"alice/instruct@2.0.0": 0.5}


def test_a_pin_leaves_edges_to_what_it_builds_on_and_to_what_builds_on_it(world: World) -> None:
    world.add("alice/instruct@2.0.0", ["alice/instruct@1.0.0"])
    world.add("alice/instruct@3.0.0", ["alice/instruct@2.0.0"])
    world.add("dan/tools@1.0.0", ["alice/instruct@3.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", "bob/dialogue@1.0.0", pins=["alice/instruct@2.0.0"])
    assert resolution.substitutions == ()
    assert len(resolution.trunk) == 3
    assert [warning.name for warning in resolution.warnings] == ["pin-without-effect"]


def test_a_pin_by_another_number_of_the_same_content_redirects_nothing(world: World) -> None:
    world.add("alice/instruct@1.0.1", twin_of="alice/instruct@1.0.0")
    resolution = world.resolve("bob/dialogue@1.0.0", pins=["alice/instruct@1.0.1"])
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}
    assert [warning.name for warning in resolution.warnings] == ["pin-without-effect"]


def test_a_pinned_version_brings_its_own_foundation(world: World) -> None:
    world.add("org/seed@1.0.0")
    world.add("alice/instruct@2.0.0", ["org/seed@1.0.0"])
    resolution = world.resolve("bob/dialogue@1.0.0", pins=["alice/instruct@2.0.0"])
    assert weights(resolution.trunk) == {"alice/instruct@2.0.0": 1.0, "org/seed@1.0.0": 1.0}


def test_pins_are_applied_at_once_and_may_close_a_circle(world: World) -> None:
    world.add("a/a@1.0.0")
    world.add("b/b@1.0.0")
    world.add("a/a@2.0.0", ["b/b@1.0.0"])
    world.add("b/b@2.0.0", ["a/a@1.0.0"])
    world.add("dan/tools@1.0.0", ["a/a@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", pins=["a/a@2.0.0", "b/b@2.0.0"])
    assert weights(resolution.trunk) == {"a/a@2.0.0": 1.0, "b/b@2.0.0": 1.0}
    because = {it.replacement_reference: it.because for it in resolution.substitutions}
    assert because == {
        "a/a@2.0.0": (world.id("b/b@2.0.0"), world.id("dan/tools@1.0.0")),
        "b/b@2.0.0": (world.id("a/a@2.0.0"),),
    }


def test_conflicts_that_a_pin_leaves_are_refused(upgraded: World) -> None:
    upgraded.add("other/x@1.0.0")
    upgraded.add("other/x@2.0.0")
    upgraded.add("eve/poetry@1.0.0", ["bob/dialogue@1.0.0", "other/x@1.0.0"])
    upgraded.add("fay/prose@1.0.0", ["dan/tools@1.0.0", "other/x@2.0.0"])
    with pytest.raises(VersionConflict) as refused:
        upgraded.resolve("eve/poetry@1.0.0", "fay/prose@1.0.0", pins=["alice/instruct@2.0.0"])
    assert refused.value.facts["versions"] == [upgraded.id("other/x@1.0.0"), upgraded.id("other/x@2.0.0")]


def test_a_pin_does_not_make_one_version_build_on_another(world: World) -> None:
    world.add("m/m@1.0.0")
    world.add("x/x@1.0.0")
    world.add("m/m@2.0.0", ["x/x@1.0.0"])
    world.add("x/x@2.0.0", ["m/m@1.0.0"])
    with pytest.raises(VersionConflict):
        world.resolve("x/x@2.0.0", pins=["m/m@2.0.0"])


def test_a_pin_may_name_what_a_layer_names(upgraded: World) -> None:
    resolution = upgraded.resolve("bob/dialogue@1.0.0", "alice/instruct@2.0.0", pins=["alice/instruct@2.0.0"])
    assert resolution.trunk == ()
    assert len(resolution.substitutions) == 1


def test_a_pin_that_contradicts_a_layer_is_malformed(upgraded: World) -> None:
    with pytest.raises(PinContradictsLayer) as refused:
        upgraded.resolve("alice/instruct@1.0.0", pins=["alice/instruct@2.0.0"], overlaps=Overlaps.ALLOW)
    assert refused.value.facts["pointer"] == "/conflicts/alice~1instruct"


def test_a_pin_of_what_a_layer_builds_on_does_not_contradict_it(world: World) -> None:
    world.add("alice/instruct@2.0.0", ["alice/instruct@1.0.0"])
    resolution = world.resolve("alice/instruct@2.0.0", pins=["alice/instruct@1.0.0"])
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}
