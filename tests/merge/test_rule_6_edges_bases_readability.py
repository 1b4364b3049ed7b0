"""Rule 6: weights of edges, base models, hidden ancestors, and which refusal is named first."""

import pytest

from app.domain.base_model import BaseModel
from app.domain.lineage import Kind
from app.errors import (
    BaseModelMismatch,
    DuplicateLayer,
    EdgeWeightConflict,
    NotAnAdapter,
    OverlappingContents,
    TrunkNotReadable,
    VersionConflict,
)
from tests.merge.world import Source, World, weights

digest_1, digest_2 = ("sha256:" + digit * 64 for digit in "12")


@pytest.fixture
def weighted(world: World) -> World:
    world.add("eve/poetry@1.0.0", [("alice/instruct@1.0.0", 0.5)])
    return world


def test_two_weights_for_one_trunk_member_are_refused_with_a_path_for_each(weighted: World) -> None:
    with pytest.raises(EdgeWeightConflict) as refused:
        weighted.resolve("bob/dialogue@1.0.0", "eve/poetry@1.0.0")
    instruct = weighted.id("alice/instruct@1.0.0")
    assert refused.value.facts == {
        "reference": instruct,
        "weights": [0.5, 1.0],
        "paths": [[weighted.id("eve/poetry@1.0.0"), instruct], [weighted.id("bob/dialogue@1.0.0"), instruct]],
    }


def test_naming_the_member_as_a_layer_resolves_it(weighted: World) -> None:
    resolution = weighted.resolve("bob/dialogue@1.0.0", "eve/poetry@1.0.0", ("alice/instruct@1.0.0", 0.75))
    assert resolution.trunk == ()


def test_an_own_edge_overrides_those_of_ancestors(weighted: World) -> None:
    weighted.add("fay/both@1.0.0", ["bob/dialogue@1.0.0", "eve/poetry@1.0.0", ("alice/instruct@1.0.0", 0.25)])
    assert weights(weighted.resolve("fay/both@1.0.0").trunk)["alice/instruct@1.0.0"] == 0.25


def test_parents_that_disagree_without_an_own_edge_are_a_conflict(weighted: World) -> None:
    weighted.add("fay/both@1.0.0", ["bob/dialogue@1.0.0", "eve/poetry@1.0.0"])
    with pytest.raises(EdgeWeightConflict):
        weighted.resolve("fay/both@1.0.0")


def test_an_own_edge_overrides_within_its_own_foundation_only(weighted: World) -> None:
    weighted.add("fay/own@1.0.0", ["bob/dialogue@1.0.0", ("alice/instruct@1.0.0", 0.25)])
    with pytest.raises(EdgeWeightConflict) as refused:
        weighted.resolve("fay/own@1.0.0", "carol/reasoning@1.0.0")
    assert refused.value.facts["weights"] == [0.25, 1.0]


def test_an_override_reaches_down_a_chain(weighted: World) -> None:
    weighted.add("fay/own@1.0.0", ["bob/dialogue@1.0.0", ("alice/instruct@1.0.0", 0.5)])
    weighted.add("gil/deep@1.0.0", ["fay/own@1.0.0"])
    trunk = weights(weighted.resolve("gil/deep@1.0.0", "eve/poetry@1.0.0").trunk)
    assert trunk["alice/instruct@1.0.0"] == 0.5


def test_two_weights_of_one_content_under_two_numbers_are_a_conflict(world: World) -> None:
    world.add("alice/instruct@1.0.1", twin_of="alice/instruct@1.0.0")
    world.add("dan/tools@1.0.0", [("alice/instruct@1.0.0", 1.0), ("alice/instruct@1.0.1", 0.5)])
    with pytest.raises(EdgeWeightConflict):
        world.resolve("dan/tools@1.0.0")


def two_bases(left: BaseModel | None, right: BaseModel | None) -> World:
    world = World()
    world.add("a/a@1.0.0", base_model=left)
    world.add("b/b@1.0.0", base_model=right)
    return world


@pytest.mark.parametrize(
    ("left", "right", "is_same"),
    [
        (BaseModel("org/base", digest=digest_1), BaseModel("other/name", digest=digest_1), True),
        (BaseModel("org/base", digest=digest_1), BaseModel("org/base", digest=digest_2), False),
        (BaseModel("org/base", digest=digest_1), BaseModel("org/base"), True),
        (BaseModel("org/base", revision="a"), BaseModel("Org/Base"), True),
        (BaseModel("org/base", revision="a"), BaseModel("org/base", revision="b"), False),
        (BaseModel("org/base"), BaseModel("org/other"), False),
        (BaseModel("org/base"), BaseModel("Mirror/Base-HF"), True),
        (BaseModel("org/base"), None, True),
    ],
)
def test_bases_are_one_by_digest_else_by_name_and_revision(
    left: BaseModel | None, right: BaseModel | None, is_same: bool
) -> None:
    world, aliases = two_bases(left, right), {"mirror/base-hf": "org/base"}
    if is_same:
        assert len(world.resolve("a/a@1.0.0", "b/b@1.0.0", aliases=aliases).branches) == 2
        return
    with pytest.raises(BaseModelMismatch) as refused:
        world.resolve("a/a@1.0.0", "b/b@1.0.0", aliases=aliases)
    assert left is not None
    assert refused.value.facts["expected"] == left.as_json()


def test_bases_are_compared_each_with_each(world: World) -> None:
    """A missing revision matches two that do not match each other."""
    for name, revision in (("a", "one"), ("b", None), ("c", "two")):
        world.add(f"{name}/{name}@1.0.0", base_model=BaseModel("org/base", revision=revision))
    with pytest.raises(BaseModelMismatch) as refused:
        world.resolve("a/a@1.0.0", "b/b@1.0.0", "c/c@1.0.0")
    assert refused.value.facts["paths"] == [[world.id("a/a@1.0.0")], [world.id("c/c@1.0.0")]]


def test_the_base_of_a_trunk_member_counts(world: World) -> None:
    world.add("x/x@1.0.0", base_model=BaseModel("org/other"))
    world.add("dan/tools@1.0.0", ["x/x@1.0.0"])
    with pytest.raises(BaseModelMismatch) as refused:
        world.resolve("dan/tools@1.0.0")
    assert refused.value.facts["paths"] == [
        [world.id("dan/tools@1.0.0")],
        [world.id("dan/tools@1.0.0"), world.id("x/x@1.0.0")],
    ]


@pytest.mark.parametrize(
    ("left", "right", "names"),
    [
        (BaseModel("org/base"), BaseModel("org/base"), ["base-unpinned"]),
        (BaseModel("org/base", revision="a"), BaseModel("org/base"), []),
        (BaseModel("org/base", digest=digest_1), None, ["base-unknown"]),
        (None, None, ["base-unknown"]),
        (BaseModel("org/base", "a"), BaseModel("org/base", "a", quantization="nf4"), ["quantization-differs"]),
    ],
)
def test_what_is_not_known_of_bases_is_a_warning(
    left: BaseModel | None, right: BaseModel | None, names: list[str]
) -> None:
    resolution = two_bases(left, right).resolve("a/a@1.0.0", "b/b@1.0.0")
    assert [warning.name for warning in resolution.warnings] == names


def test_the_plans_base_is_the_most_specific_whatever_the_order() -> None:
    world = two_bases(BaseModel("Mirror/Base"), BaseModel("org/base", revision="a"))
    for layers in (("a/a@1.0.0", "b/b@1.0.0"), ("b/b@1.0.0", "a/a@1.0.0")):
        resolution = world.resolve(*layers, aliases={"mirror/base": "org/base"})
        assert resolution.base_model == BaseModel("org/base", revision="a")


def test_hidden_ancestors_are_counted_per_layer_and_not_named(world: World) -> None:
    world.add("dan/tools@1.0.0", ["carol/reasoning@1.0.0"])
    for reference in ("alice/instruct@1.0.0", "carol/reasoning@1.0.0"):
        world.change(reference, is_readable=False)
    with pytest.raises(TrunkNotReadable) as refused:
        world.resolve("bob/dialogue@1.0.0", "dan/tools@1.0.0")
    assert refused.value.facts == {"hidden": [{"layer": 0, "count": 1}, {"layer": 1, "count": 2}]}


def test_a_hidden_twin_of_something_readable_is_hidden(world: World) -> None:
    world.add("secret/copy@1.0.0", twin_of="alice/instruct@1.0.0", is_readable=False)
    world.add("dan/tools@1.0.0", ["secret/copy@1.0.0", "alice/instruct@1.0.0"])
    with pytest.raises(TrunkNotReadable) as refused:
        world.resolve("dan/tools@1.0.0", "alice/instruct@1.0.0")
    assert refused.value.facts == {"hidden": [{"layer": 0, "count": 1}]}


def test_readability_is_checked_after_pins(world: World) -> None:
    world.add("alice/instruct@2.0.0")
    world.change("alice/instruct@1.0.0", is_readable=False)
    resolution = world.resolve("bob/dialogue@1.0.0", pins=["alice/instruct@2.0.0"])
    assert weights(resolution.trunk) == {"alice/instruct@2.0.0": 1.0}


def test_hidden_contents_do_not_hide_a_member(world: World) -> None:
    """Whether a result may be read is decided where it is read: its owner may have opened its derivatives."""
    world.add("alice/chat@1.0.0", merged_from=[Source("bob/dialogue@1.0.0")], is_exact_linear=True)
    world.change("bob/dialogue@1.0.0", is_readable=False)
    assert world.resolve("alice/chat@1.0.0").trunk == ()


def test_a_model_is_no_layer_and_no_pin(world: World) -> None:
    world.add("org/full@1.0.0", kind=Kind.MODEL)
    with pytest.raises(NotAnAdapter) as refused:
        world.resolve("bob/dialogue@1.0.0", "org/full@1.0.0")
    assert refused.value.facts == {"reference": "org/full@1.0.0", "pointer": "/layers/1/adapter"}
    with pytest.raises(NotAnAdapter) as refused:
        world.resolve("bob/dialogue@1.0.0", pins=["org/full@1.0.0"])
    assert refused.value.facts["pointer"] == "/conflicts/org~1full"


def test_the_merged_adapter_of_a_lock_is_a_layer(world: World) -> None:
    world.add("team/stack@1.0.0", kind=Kind.STACK)
    assert len(world.resolve("team/stack@1.0.0", "bob/dialogue@1.0.0").branches) == 2


def test_the_first_refusal_of_the_order_is_named(world: World) -> None:
    """Each line takes the first reason away, and the next one is told."""
    world.add("alice/instruct@2.0.0", base_model=BaseModel("org/other"))
    world.add("alice/chat@1.0.0", merged_from=[Source("bob/dialogue@1.0.0")], is_exact_linear=True)
    world.add("dan/tools@1.0.0", ["alice/instruct@2.0.0"])
    world.add("bob/dialogue@1.0.1", ["alice/instruct@1.0.0"], twin_of="bob/dialogue@1.0.0")
    world.change("alice/instruct@2.0.0", is_readable=False)
    layers = ["bob/dialogue@1.0.0", "dan/tools@1.0.0", "alice/chat@1.0.0"]
    with pytest.raises(DuplicateLayer):
        world.resolve(*layers, "bob/dialogue@1.0.1")
    with pytest.raises(TrunkNotReadable):
        world.resolve(*layers)
    world.change("alice/instruct@2.0.0", is_readable=True)
    with pytest.raises(VersionConflict):
        world.resolve(*layers)
    with pytest.raises(OverlappingContents):
        world.resolve(*layers, pins=["alice/instruct@2.0.0"])
    with pytest.raises(BaseModelMismatch):
        world.resolve(*layers[:2], pins=["alice/instruct@2.0.0"])
