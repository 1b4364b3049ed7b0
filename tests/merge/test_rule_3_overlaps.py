"""Rule 3: two members of a sum that hold the same adapter, or two versions of one."""

import numpy as np
import pytest

from app.domain.lineage import Kind, Role
from app.domain.recipe import Overlaps
from app.errors import OverlappingContents
from tests.merge.world import Source, World, weights


@pytest.fixture
def merged(world: World) -> World:
    """chat: dialogue and the instruct that it stands on, merged exactly by this registry."""
    sources = [Source("alice/instruct@1.0.0", role=Role.TRUNK), Source("bob/dialogue@1.0.0")]
    world.add("alice/chat@1.0.0", merged_from=sources, is_exact_linear=True)
    return world


def test_a_merge_beside_what_stands_on_its_source_is_refused_with_both_paths(merged: World) -> None:
    with pytest.raises(OverlappingContents) as refused:
        merged.resolve("alice/chat@1.0.0", "carol/reasoning@1.0.0")
    instruct = merged.id("alice/instruct@1.0.0")
    assert refused.value.facts["shared"] == [instruct]
    assert sorted(refused.value.facts["paths"]) == sorted(
        [[merged.id("alice/chat@1.0.0"), instruct], [merged.id("carol/reasoning@1.0.0"), instruct]]
    )


def test_covered_leaves_out_the_trunk_that_the_merge_holds(merged: World) -> None:
    resolution = merged.resolve("alice/chat@1.0.0", "carol/reasoning@1.0.0", overlaps=Overlaps.COVERED)
    assert resolution.trunk == ()
    assert weights(resolution.covered) == {"alice/instruct@1.0.0": 1.0}
    once = merged.expected({"alice/instruct@1.0.0": 1, "bob/dialogue@1.0.0": 1, "carol/reasoning@1.0.0": 1})
    np.testing.assert_allclose(merged.total(resolution), once, atol=1e-12)


def test_allow_sums_as_asked_with_a_warning(merged: World) -> None:
    resolution = merged.resolve("alice/chat@1.0.0", "carol/reasoning@1.0.0", overlaps=Overlaps.ALLOW)
    (warning,) = resolution.warnings
    assert (warning.name, warning.versions) == ("overlapping-contents", (merged.id("alice/instruct@1.0.0"),))
    twice = merged.expected({"alice/instruct@1.0.0": 2, "bob/dialogue@1.0.0": 1, "carol/reasoning@1.0.0": 1})
    np.testing.assert_allclose(merged.total(resolution), twice, atol=1e-12)


@pytest.mark.parametrize("overlaps", [Overlaps.REFUSE, Overlaps.COVERED])
def test_a_merge_of_another_version_than_the_trunk_is_refused(merged: World, overlaps: Overlaps) -> None:
    merged.add("alice/instruct@2.0.0")
    merged.add("dan/tools@1.0.0", ["alice/instruct@2.0.0"])
    with pytest.raises(OverlappingContents) as refused:
        merged.resolve("alice/chat@1.0.0", "dan/tools@1.0.0", overlaps=overlaps)
    assert refused.value.facts["shared"] == [merged.id("alice/instruct@1.0.0"), merged.id("alice/instruct@2.0.0")]


def test_a_hand_declared_merge_covers_nothing(world: World) -> None:
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0"), Source("bob/dialogue@1.0.0")])
    with pytest.raises(OverlappingContents):
        world.resolve("alice/chat@1.0.0", "carol/reasoning@1.0.0", overlaps=Overlaps.COVERED)


def test_a_hand_declared_merge_inside_makes_the_weight_unknown(world: World) -> None:
    world.add("hand/made@1.0.0", merged_from=[Source("alice/instruct@1.0.0")])
    sources = [Source("alice/instruct@1.0.0"), Source("hand/made@1.0.0")]
    world.add("alice/chat@1.0.0", merged_from=sources, is_exact_linear=True)
    with pytest.raises(OverlappingContents):
        world.resolve("alice/chat@1.0.0", "carol/reasoning@1.0.0", overlaps=Overlaps.COVERED)


@pytest.mark.parametrize(
    ("inner", "layer", "is_covered"),
    [(1.0, 1.0, True), (0.5, 2.0, True), (0.5, 1.0, False), (1.0, 0.5, False), (0.1, 10.0, False), (1.0, 0.0, False)],
)
def test_covered_needs_the_same_effective_weight(world: World, inner: float, layer: float, is_covered: bool) -> None:
    """0.1 ten times over is not 1 in binary: weights are compared exactly."""
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0", inner)], is_exact_linear=True)
    asked = [("alice/chat@1.0.0", layer), ("carol/reasoning@1.0.0", 1.0)]
    if not is_covered:
        with pytest.raises(OverlappingContents):
            world.resolve(*asked, overlaps=Overlaps.COVERED)
        return
    resolution = world.resolve(*asked, overlaps=Overlaps.COVERED)
    total = world.expected({"alice/instruct@1.0.0": 1, "carol/reasoning@1.0.0": 1})
    np.testing.assert_allclose(world.total(resolution), total, atol=1e-12)


def test_the_edge_weight_of_the_trunk_is_what_must_be_covered(world: World) -> None:
    world.add("eve/poetry@1.0.0", [("alice/instruct@1.0.0", 0.5)])
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0", 0.5)], is_exact_linear=True)
    resolution = world.resolve("alice/chat@1.0.0", "eve/poetry@1.0.0", overlaps=Overlaps.COVERED)
    assert weights(resolution.covered) == {"alice/instruct@1.0.0": 0.5}


def test_effective_weights_are_summed_over_paths_through_merges_of_merges(merged: World) -> None:
    merged.add("half/way@1.0.0", merged_from=[Source("alice/instruct@1.0.0", 2.0)], is_exact_linear=True)
    sources = [Source("alice/chat@1.0.0", 0.5), Source("half/way@1.0.0", 0.25)]
    merged.add("alice/blend@1.0.0", merged_from=sources, is_exact_linear=True)
    resolution = merged.resolve("alice/blend@1.0.0", "carol/reasoning@1.0.0", overlaps=Overlaps.COVERED)
    assert weights(resolution.covered) == {"alice/instruct@1.0.0": 1.0}
    total = merged.expected({"alice/instruct@1.0.0": 1, "bob/dialogue@1.0.0": 0.5, "carol/reasoning@1.0.0": 1})
    np.testing.assert_allclose(merged.total(resolution), total, atol=1e-12)


def test_what_only_a_left_out_member_holds_at_its_weight_is_not_covered(merged: World) -> None:
    """blend holds chat at 1, and instruct twice: leaving out both would leave instruct in the sum twice."""
    sources = [Source("alice/chat@1.0.0"), Source("alice/instruct@1.0.0")]
    merged.add("alice/blend@1.0.0", merged_from=sources, is_exact_linear=True)
    merged.add("dan/tools@1.0.0", ["alice/chat@1.0.0"])
    merged.add("eve/poetry@1.0.0", ["alice/instruct@1.0.0"])
    with pytest.raises(OverlappingContents):
        merged.resolve("alice/blend@1.0.0", "dan/tools@1.0.0", "eve/poetry@1.0.0", overlaps=Overlaps.COVERED)


def test_what_a_left_out_member_holds_is_not_forgotten(merged: World) -> None:
    """blend was merged from chat's bytes, uploaded by hand: only chat itself tells that instruct is in it."""
    merged.add("hand/copy@1.0.0", twin_of="alice/chat@1.0.0")
    merged.add("alice/blend@1.0.0", merged_from=[Source("hand/copy@1.0.0")], is_exact_linear=True)
    merged.add("dan/tools@1.0.0", ["alice/chat@1.0.0"])
    with pytest.raises(OverlappingContents):
        merged.resolve("alice/blend@1.0.0", "dan/tools@1.0.0", "carol/reasoning@1.0.0", overlaps=Overlaps.COVERED)


def test_two_merges_that_share_a_source_are_refused_whatever_they_cover(merged: World) -> None:
    sources = [Source("alice/instruct@1.0.0", role=Role.TRUNK), Source("carol/reasoning@1.0.0")]
    merged.add("carol/mind@1.0.0", merged_from=sources, is_exact_linear=True)
    with pytest.raises(OverlappingContents):
        merged.resolve("alice/chat@1.0.0", "carol/mind@1.0.0", overlaps=Overlaps.COVERED)


def test_edges_of_weight_zero_hold_nothing(world: World) -> None:
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0", 0.0), Source("bob/dialogue@1.0.0")])
    resolution = world.resolve("alice/chat@1.0.0", "carol/reasoning@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}


def test_contents_follow_the_version_that_was_named(merged: World) -> None:
    merged.add("hand/copy@1.0.0", twin_of="alice/chat@1.0.0")
    resolution = merged.resolve("hand/copy@1.0.0", "carol/reasoning@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}


def test_a_continuation_beside_what_it_replaces_is_an_overlap(world: World) -> None:
    world.add("zoe/better@1.0.0", initialized_from="alice/instruct@1.0.0")
    with pytest.raises(OverlappingContents):
        world.resolve("zoe/better@1.0.0", "alice/instruct@1.0.0")
    assert world.resolve("zoe/better@1.0.0", "alice/instruct@1.0.0", overlaps=Overlaps.ALLOW).trunk == ()


def test_a_continuation_of_an_older_version_than_the_trunk_is_an_overlap(world: World) -> None:
    world.add("alice/instruct@2.0.0")
    world.add("dan/tools@1.0.0", ["alice/instruct@2.0.0"])
    world.add("zoe/better@1.0.0", initialized_from="alice/instruct@1.0.0")
    with pytest.raises(OverlappingContents):
        world.resolve("zoe/better@1.0.0", "dan/tools@1.0.0")


@pytest.fixture
def models(world: World) -> World:
    """A base; a model merged from it and dialogue's chain; and an adapter extracted from the difference of the two."""
    world.add("org/base@1.0.0", kind=Kind.MODEL, base_model=None)
    sources = [
        Source("alice/instruct@1.0.0", role=Role.TRUNK),
        Source("bob/dialogue@1.0.0"),
        Source("org/base@1.0.0", role=Role.BASE),
    ]
    world.add("alice/full@1.0.0", merged_from=sources, kind=Kind.MODEL, base_model=None)
    taken = [Source("alice/full@1.0.0", role=None), Source("org/base@1.0.0", role=Role.BASE)]
    world.add("alice/difference@1.0.0", extracted_from=taken)
    return world


def test_an_extraction_holds_what_its_source_was_merged_from(models: World) -> None:
    with pytest.raises(OverlappingContents) as refused:
        models.resolve("alice/difference@1.0.0", "carol/reasoning@1.0.0")
    path = [models.id(it) for it in ("alice/difference@1.0.0", "alice/full@1.0.0", "alice/instruct@1.0.0")]
    assert path in [list(path) for path in refused.value.facts["paths"]]


def test_two_extractions_over_one_base_do_not_share_the_base(models: World) -> None:
    models.add("dan/full@1.0.0", merged_from=[Source("org/base@1.0.0", role=Role.BASE)], kind=Kind.MODEL)
    taken = [Source("dan/full@1.0.0", role=None), Source("org/base@1.0.0", role=Role.BASE)]
    models.add("dan/difference@1.0.0", extracted_from=taken)
    assert len(models.resolve("alice/difference@1.0.0", "dan/difference@1.0.0").branches) == 2


def test_an_extraction_does_not_hold_what_its_base_was_merged_from(models: World) -> None:
    models.add("dan/full@1.0.0", merged_from=[Source("alice/full@1.0.0", role=Role.BASE)], kind=Kind.MODEL)
    taken = [Source("dan/full@1.0.0", role=None), Source("alice/full@1.0.0", role=Role.BASE)]
    models.add("dan/difference@1.0.0", extracted_from=taken)
    resolution = models.resolve("dan/difference@1.0.0", "carol/reasoning@1.0.0")
    assert weights(resolution.trunk) == {"alice/instruct@1.0.0": 1.0}


def test_two_extractions_over_a_model_that_nobody_subtracted_share_its_base(models: World) -> None:
    for name in ("dan", "eve"):
        models.add(f"{name}/full@1.0.0", merged_from=[Source("org/base@1.0.0", role=Role.BASE)], kind=Kind.MODEL)
        models.add(f"{name}/difference@1.0.0", extracted_from=[Source(f"{name}/full@1.0.0", role=None)])
    with pytest.raises(OverlappingContents):
        models.resolve("dan/difference@1.0.0", "eve/difference@1.0.0")


def test_a_layer_in_the_contents_of_another_layer_is_an_overlap_that_is_never_covered(merged: World) -> None:
    with pytest.raises(OverlappingContents):
        merged.resolve("alice/chat@1.0.0", "bob/dialogue@1.0.0", overlaps=Overlaps.COVERED)
