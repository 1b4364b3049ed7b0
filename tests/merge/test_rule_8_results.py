"""Rule 8: what a result is merged from and builds on."""

import numpy as np
import pytest

from app.domain.lineage import Edge, Kind, Relation, Role
from app.domain.plan import BasePart, Plan, Resolution
from app.domain.recipe import Dtype, Method, Output, OutputKind, Overlaps, Trunk
from app.errors import TrunkNotReferable
from app.merge.planning import plan
from app.merge.publication import result_edges
from app.merge.resolution import check_referable
from tests.merge.files import adapter, checkpoint, module, weight_files
from tests.merge.world import Source, World, weights

referenced = Output(trunk=Trunk.REFERENCED)


def planned(world: World, resolution: Resolution, output: Output, base: str | None = None) -> Plan:
    adapters = {version: adapter(module("q", 2)) for version in world.catalogue}
    files = {version: weight_files(1000) for version in world.catalogue}
    part = None
    if base is not None:
        entry = world.versions[base]
        facts = BasePart(entry.id, entry.reference, entry.digest, entry.content_digest)
        part = (facts, checkpoint({"q.weight": (6, 5)}))
    return plan(resolution, adapters, files, Method(), output, part, world.catalogue)


def test_a_self_contained_result_is_merged_from_trunk_and_branches(world: World) -> None:
    world.add("eve/poetry@1.0.0", [("alice/instruct@1.0.0", 0.5)])
    edges = result_edges(planned(world, world.resolve(("eve/poetry@1.0.0", 2.0)), Output()))
    assert set(edges) == {
        Edge(world.id("alice/instruct@1.0.0"), Relation.MERGED_FROM, 0.5, Role.TRUNK),
        Edge(world.id("eve/poetry@1.0.0"), Relation.MERGED_FROM, 2.0, Role.BRANCH),
    }


def test_a_model_is_merged_from_its_base_too(world: World) -> None:
    base = world.add("org/base@1.0.0", kind=Kind.MODEL)
    output = Output(OutputKind.MODEL, dtype=Dtype.BFLOAT16)
    edges = result_edges(planned(world, world.resolve("alice/instruct@1.0.0"), output, "org/base@1.0.0"))
    assert set(edges) == {
        Edge(world.id("alice/instruct@1.0.0"), Relation.MERGED_FROM, 1.0, Role.BRANCH),
        Edge(base.id, Relation.MERGED_FROM, 1.0, Role.BASE),
    }


def test_a_result_that_refers_to_its_trunk_builds_on_it_and_holds_the_branches_only(world: World) -> None:
    resolution = world.resolve(("bob/dialogue@1.0.0", 0.7), "carol/reasoning@1.0.0")
    edges = result_edges(planned(world, resolution, referenced))
    assert set(edges) == {
        Edge(world.id("alice/instruct@1.0.0"), Relation.BUILDS_ON, 1.0),
        Edge(world.id("bob/dialogue@1.0.0"), Relation.MERGED_FROM, 0.7, Role.BRANCH),
        Edge(world.id("carol/reasoning@1.0.0"), Relation.MERGED_FROM, 1.0, Role.BRANCH),
    }


def test_the_plan_of_a_referring_result_is_the_sum_that_it_was_made_for(world: World) -> None:
    world.add("eve/poetry@1.0.0", ["bob/dialogue@1.0.0", ("alice/instruct@1.0.0", 0.5)])
    resolution = world.resolve(("eve/poetry@1.0.0", 0.7))
    edges = result_edges(planned(world, resolution, referenced))
    held = world.expected({"eve/poetry@1.0.0": 0.7})
    builds_on = [
        (world.catalogue[edge.parent].reference, edge.weight) for edge in edges if edge.relation is Relation.BUILDS_ON
    ]
    result = world.add("alice/chat@1.0.0", builds_on)
    world.deltas[result.content_digest] = held
    later = world.resolve("alice/chat@1.0.0")
    assert weights(later.trunk) == {"alice/instruct@1.0.0": 0.5, "bob/dialogue@1.0.0": 1.0}
    np.testing.assert_allclose(world.total(later), world.total(resolution), atol=1e-12)


def test_covered_members_are_no_parents_of_the_result(world: World) -> None:
    world.add("alice/chat@1.0.0", merged_from=[Source("alice/instruct@1.0.0")], is_exact_linear=True)
    resolution = world.resolve("alice/chat@1.0.0", "bob/dialogue@1.0.0", overlaps=Overlaps.COVERED)
    edges = result_edges(planned(world, resolution, Output()))
    assert {edge.parent for edge in edges} == {world.id("alice/chat@1.0.0"), world.id("bob/dialogue@1.0.0")}


def test_a_trunk_that_stands_on_a_branch_cannot_be_referred_to(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", ("alice/instruct@1.0.0", 0.5))
    with pytest.raises(TrunkNotReferable) as refused:
        check_referable(resolution, world.catalogue)
    chain = [world.id(it) for it in ("dan/tools@1.0.0", "carol/reasoning@1.0.0", "alice/instruct@1.0.0")]
    assert refused.value.facts == {"branch": chain[2], "member": chain[1], "paths": [chain]}


def test_a_trunk_below_all_branches_can_be_referred_to(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    check_referable(world.resolve("dan/tools@1.0.0", "carol/reasoning@1.0.0"), world.catalogue)


def test_a_trunk_that_a_pin_puts_on_a_branch_cannot_be_referred_to(world: World) -> None:
    world.add("m/m@1.0.0")
    world.add("m/m@2.0.0", ["alice/instruct@1.0.0"])
    world.add("t/t@1.0.0", ["m/m@1.0.0"])
    world.add("dan/tools@1.0.0", ["t/t@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", "alice/instruct@1.0.0", pins=["m/m@2.0.0"])
    with pytest.raises(TrunkNotReferable):
        check_referable(resolution, world.catalogue)


def test_a_trunk_that_a_pin_takes_off_a_branch_still_stands_on_it_as_published(world: World) -> None:
    world.add("m/m@1.0.0", ["alice/instruct@1.0.0"])
    world.add("m/m@2.0.0")
    world.add("t/t@1.0.0", ["m/m@1.0.0"])
    world.add("dan/tools@1.0.0", ["t/t@1.0.0"])
    resolution = world.resolve("dan/tools@1.0.0", "alice/instruct@1.0.0", pins=["m/m@2.0.0"])
    with pytest.raises(TrunkNotReferable) as refused:
        check_referable(resolution, world.catalogue)
    assert refused.value.facts["paths"][0][-1] == world.id("alice/instruct@1.0.0")
