"""Rule 9: what may be published, and what deletion and recall do to plans."""

import pytest

from app.domain.base_model import BaseModel
from app.domain.lineage import Edge, Kind, Relation, VersionState
from app.domain.recipe import Output, Overlaps, Trunk
from app.errors import (
    BaseModelMismatch,
    EdgeWeightConflict,
    OverlappingContents,
    RecalledInPlan,
    RefusedPlan,
    TrunkNotReadable,
    VersionConflict,
)
from app.merge.publication import check_result, check_version, foundation, inherited_builds_on
from tests.merge.test_rule_8_results import planned
from tests.merge.world import Source, World, weights


@pytest.fixture
def upgraded(world: World) -> World:
    world.add("alice/instruct@2.0.0")
    world.add("dan/tools@1.0.0", ["alice/instruct@2.0.0"])
    return world


def publish(world: World, reference: str) -> None:
    """Check a version as it is checked before it is stored: the catalogue does not have it yet."""
    catalogue = {id: version for id, version in world.catalogue.items() if id != world.id(reference)}
    check_version(world.versions[reference], catalogue, {})


def test_a_version_on_two_versions_of_one_thing_is_refused(upgraded: World) -> None:
    upgraded.add("new/it@1.0.0", ["bob/dialogue@1.0.0", "dan/tools@1.0.0"])
    with pytest.raises(VersionConflict):
        publish(upgraded, "new/it@1.0.0")


def test_a_version_on_a_merge_and_on_what_stands_on_its_source_is_refused(world: World) -> None:
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0")], is_exact_linear=True)
    world.add("new/it@1.0.0", ["alice/chat@1.0.0", "bob/dialogue@1.0.0"])
    with pytest.raises(OverlappingContents):
        publish(world, "new/it@1.0.0")


def test_a_version_on_parents_that_disagree_on_a_weight_is_refused(world: World) -> None:
    world.add("eve/poetry@1.0.0", [("alice/instruct@1.0.0", 0.5)])
    world.add("new/it@1.0.0", ["eve/poetry@1.0.0", "bob/dialogue@1.0.0"])
    with pytest.raises(EdgeWeightConflict):
        publish(world, "new/it@1.0.0")


def test_a_version_with_another_base_than_its_parent_is_refused(world: World) -> None:
    world.add("new/it@1.0.0", ["bob/dialogue@1.0.0"], base_model=BaseModel("org/other"))
    with pytest.raises(BaseModelMismatch):
        publish(world, "new/it@1.0.0")


def test_a_version_on_ancestors_that_the_publisher_may_not_read_is_refused(world: World) -> None:
    world.change("alice/instruct@1.0.0", is_readable=False)
    world.add("new/it@1.0.0", ["bob/dialogue@1.0.0"])
    with pytest.raises(TrunkNotReadable):
        publish(world, "new/it@1.0.0")


def test_a_continuation_of_its_parent_on_the_same_foundation_is_published(world: World) -> None:
    edges = world.versions["bob/dialogue@1.0.0"].edges
    assert inherited_builds_on(None, world.versions["bob/dialogue@1.0.0"]) == edges
    world.add("bob/dialogue@1.1.0", ["alice/instruct@1.0.0"], initialized_from="bob/dialogue@1.0.0")
    publish(world, "bob/dialogue@1.1.0")
    assert weights(world.resolve("bob/dialogue@1.1.0").trunk) == {"alice/instruct@1.0.0": 1.0}


def test_what_a_version_says_of_its_foundation_goes_before_what_it_would_take_over(world: World) -> None:
    dialogue = world.versions["bob/dialogue@1.0.0"]
    own = (Edge(world.id("carol/reasoning@1.0.0"), Relation.BUILDS_ON, 0.5),)
    assert inherited_builds_on(own, dialogue) == own
    assert inherited_builds_on((), dialogue) == ()
    assert inherited_builds_on(None, None) == ()


def test_only_the_foundation_is_taken_over(world: World) -> None:
    first = world.add("z/z@1.0.0", ["alice/instruct@1.0.0"], merged_from=[Source("carol/reasoning@1.0.0")])
    assert inherited_builds_on(None, first) == (Edge(world.id("alice/instruct@1.0.0"), Relation.BUILDS_ON, 1.0),)


def test_the_foundation_in_a_content_digest_is_whole_and_sorted(world: World) -> None:
    world.add("dan/tools@1.0.0", [("carol/reasoning@1.0.0", 0.5)])
    found = foundation(world.versions["dan/tools@1.0.0"].edges, world.catalogue)
    expected = [(world.content("alice/instruct@1.0.0"), 1.0), (world.content("carol/reasoning@1.0.0"), 0.5)]
    assert found == tuple(sorted(expected))
    assert set(found) == world.foundation(world.versions["dan/tools@1.0.0"].edges)


def test_the_foundation_counts_an_own_edge_before_those_of_the_parents(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0", ("alice/instruct@1.0.0", 0.25)])
    found = dict(foundation(world.versions["dan/tools@1.0.0"].edges, world.catalogue))
    assert found[world.content("alice/instruct@1.0.0")] == 0.25


def test_a_deleted_version_still_serves_as_trunk_and_contents(world: World) -> None:
    world.change("alice/instruct@1.0.0", state=VersionState.DELETED)
    assert weights(world.resolve("bob/dialogue@1.0.0").trunk) == {"alice/instruct@1.0.0": 1.0}


@pytest.mark.parametrize("recalled", ["bob/dialogue@1.0.0", "alice/instruct@1.0.0"])
def test_a_recalled_layer_or_trunk_member_refuses_the_plan_with_the_path(world: World, recalled: str) -> None:
    world.change(recalled, state=VersionState.RECALLED)
    with pytest.raises(RecalledInPlan) as refused:
        world.resolve("bob/dialogue@1.0.0")
    assert refused.value.facts["reference"] == world.id(recalled)
    assert refused.value.facts["paths"][0][0] == world.id("bob/dialogue@1.0.0")


def test_a_recalled_version_refuses_what_it_was_merged_into(world: World) -> None:
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0")], is_exact_linear=True)
    world.add("dan/tools@1.0.0", ["alice/chat@1.0.0"])
    world.change("alice/instruct@1.0.0", state=VersionState.RECALLED)
    with pytest.raises(RecalledInPlan) as refused:
        world.resolve("dan/tools@1.0.0")
    chain = [world.id(it) for it in ("dan/tools@1.0.0", "alice/chat@1.0.0", "alice/instruct@1.0.0")]
    assert refused.value.facts["paths"] == [chain]


def test_a_recalled_version_that_a_pin_replaced_is_in_no_plan(world: World) -> None:
    world.add("alice/instruct@2.0.0")
    world.change("alice/instruct@1.0.0", state=VersionState.RECALLED)
    assert world.resolve("bob/dialogue@1.0.0", pins=["alice/instruct@2.0.0"]).trunk


def refusal_of_result(world: World, *layers: str, pins: tuple[str, ...] = (), into: str = "new/it") -> str | None:
    output = Output(trunk=Trunk.REFERENCED)
    repository = next((it.repository for it in world.versions.values() if it.repository_name == into), None)
    resolution = world.resolve(*layers, pins=pins, overlaps=Overlaps.COVERED)
    try:
        check_result(planned(world, resolution, output), repository, world.catalogue, {})
    except RefusedPlan as refused:
        return refused.kebab_name()
    return None


def test_a_merge_whose_result_could_be_published_passes(world: World) -> None:
    assert refusal_of_result(world, "bob/dialogue@1.0.0", "carol/reasoning@1.0.0") is None


def test_a_result_that_refers_to_a_pinned_trunk_is_refused_where_that_trunk_says_otherwise(upgraded: World) -> None:
    upgraded.add("t/t@1.0.0", ["alice/instruct@1.0.0"])
    upgraded.add("v/v@1.0.0", ["t/t@1.0.0"])
    refusal = refusal_of_result(upgraded, "v/v@1.0.0", pins=("alice/instruct@2.0.0",))
    assert refusal == "version-conflict"


def test_a_result_that_would_bring_a_covered_member_back_is_refused(world: World) -> None:
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0")], is_exact_linear=True)
    world.add("dan/tools@1.0.0", ["bob/dialogue@1.0.0"])
    assert refusal_of_result(world, "alice/chat@1.0.0", "dan/tools@1.0.0") == "overlapping-contents"


def test_a_result_in_a_repository_of_its_trunk_is_a_version_that_builds_on_it(world: World) -> None:
    assert refusal_of_result(world, "bob/dialogue@1.0.0", into="alice/instruct") is None


def test_a_model_is_a_version_like_any_other(world: World) -> None:
    world.add("org/full@1.0.0", merged_from=[Source("bob/dialogue@1.0.0")], kind=Kind.MODEL)
    publish(world, "org/full@1.0.0")
