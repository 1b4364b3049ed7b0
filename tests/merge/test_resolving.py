"""Resolution against brute force: the first choice in the order of the layers that the rules accept, or a real conflict."""

import random
from collections.abc import Mapping, Sequence
from itertools import product
from uuid import UUID

import pytest

from app.domain.lineage import VersionState
from app.domain.plan import Resolution
from app.domain.recipe import Ancestors, Overlaps
from app.errors import PlanTooLarge, RefusedPlan, Unresolvable
from app.merge import resolving
from app.merge.resolving import OpenLayer, newest
from tests.merge.world import Source, World

universes = 500
batches = 10


def open_layer(world: World, repository: str, weight: float = 1.0, only: Sequence[str] | None = None) -> OpenLayer:
    """Every published, readable version of a repository, newest first; `only` says which."""
    found = [
        version
        for version in world.versions.values()
        if version.repository_name == repository
        and (only is None or str(version.number) in only)
        and version.state is VersionState.PUBLISHED
        and version.is_readable
    ]
    found.sort(key=lambda version: version.number, reverse=True)
    return OpenLayer(tuple(version.id for version in found), weight, f"{repository}@{only or 'any'}")


def solve(world: World, *layers: OpenLayer, **rules: object) -> Resolution:
    options = {"linear": True, "overlaps": Overlaps.REFUSE, "ancestors": Ancestors.REFUSE} | rules
    return newest(layers, world.catalogue, {}, **options)  # type: ignore[arg-type]  # as given by the test


def references(resolution: Resolution) -> list[str]:
    return [member.reference for member in resolution.branches]


def test_the_newest_versions_are_taken_where_nothing_is_in_the_way() -> None:
    world = World()
    for number in ("1.0.0", "1.9.0", "1.10.0"):
        world.add(f"a/x@{number}")
        world.add(f"a/y@{number}")
    assert references(solve(world, open_layer(world, "a/x"), open_layer(world, "a/y"))) == ["a/x@1.10.0", "a/y@1.10.0"]


def test_an_earlier_layer_goes_before_a_later_one() -> None:
    world = World()
    world.add("a/instruct@1.0.0")
    world.add("a/instruct@2.0.0")
    for repository in ("a/x", "a/y"):
        world.add(f"{repository}@1.0.0", ["a/instruct@1.0.0"])
    world.add("a/x@2.0.0", ["a/instruct@2.0.0"])
    world.add("a/y@1.1.0", ["a/instruct@1.0.0"])
    x, y = open_layer(world, "a/x"), open_layer(world, "a/y")
    assert references(solve(world, x, y)) == ["a/x@1.0.0", "a/y@1.1.0"]
    world.add("a/y@0.9.0", ["a/instruct@2.0.0"])
    x, y = open_layer(world, "a/x"), open_layer(world, "a/y")
    assert references(solve(world, x, y)) == ["a/x@2.0.0", "a/y@0.9.0"]
    assert references(solve(world, y, x)) == ["a/y@1.1.0", "a/x@1.0.0"]


def test_a_layer_that_names_what_two_stand_on_settles_their_conflict() -> None:
    world = World()
    world.add("a/instruct@1.0.0")
    world.add("a/x@1.0.0", [("a/instruct@1.0.0", 1.0)])
    world.add("a/y@1.0.0", [("a/instruct@1.0.0", 0.5)])
    x, y, both = open_layer(world, "a/x"), open_layer(world, "a/y"), open_layer(world, "a/instruct")
    with pytest.raises(Unresolvable) as refused:
        solve(world, x, y)
    assert refused.value.facts["because"]["name"] == "edge-weight-conflict"
    assert references(solve(world, x, y, both)) == ["a/x@1.0.0", "a/y@1.0.0", "a/instruct@1.0.0"]


def test_a_layer_without_a_version_is_the_whole_conflict() -> None:
    world = World()
    world.add("a/x@1.0.0")
    with pytest.raises(Unresolvable) as refused:
        solve(world, open_layer(world, "a/x"), open_layer(world, "a/y"))
    assert [entry["layer"] for entry in refused.value.facts["conflict"]] == [1]
    assert refused.value.facts["because"] == {"name": "no-version", "layers": [1]}


def test_the_explanation_says_through_which_path() -> None:
    world = World()
    first, second = world.add("a/instruct@1.0.0"), world.add("a/instruct@2.0.0")
    x, y = world.add("a/x@1.0.0", ["a/instruct@1.0.0"]), world.add("a/y@1.0.0", ["a/instruct@2.0.0"])
    world.add("a/z@1.0.0")
    with pytest.raises(Unresolvable) as refused:
        solve(world, open_layer(world, "a/z"), open_layer(world, "a/x"), open_layer(world, "a/y"))
    facts = refused.value.facts
    assert [entry["layer"] for entry in facts["conflict"]] == [1, 2]
    assert facts["because"]["name"] == "version-conflict"
    assert facts["because"]["paths"] == [[x.id, first.id], [y.id, second.id]]


def test_a_search_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "most_tries", 3)
    world = World()
    for number in range(5):
        world.add(f"a/x{number}@1.0.0")
    with pytest.raises(PlanTooLarge):
        solve(world, *(open_layer(world, f"a/x{number}") for number in range(5)))


def test_every_choice_counts_that_is_put_to_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for number in range(24):
        world.add(f"a/instruct@1.{number}.0")
        world.add(f"a/{'x' if number < 12 else 'y'}@1.{number}.0", [f"a/instruct@1.{number}.0"])
    layers = [open_layer(world, "a/x"), open_layer(world, "a/y")]
    # each version alone, and every pair; then what explains the conflict
    monkeypatch.setattr(resolving, "most_tries", 12 + 12 + 144 - 1)
    with pytest.raises(PlanTooLarge) as refused:
        solve(world, *layers)
    assert refused.value.facts["found"] == 12 + 12 + 144
    monkeypatch.setattr(resolving, "most_tries", 200)
    with pytest.raises(Unresolvable):
        solve(world, *layers)


def test_many_layers_with_many_versions_are_resolved() -> None:
    world = World()
    world.add("a/instruct@1.0.0")
    for layer in range(16):
        for number in range(12):
            world.add(f"a/x{layer}@1.{number}.0", ["a/instruct@1.0.0"])
    found = solve(world, *(open_layer(world, f"a/x{layer}") for layer in range(16)))
    assert references(found) == [f"a/x{layer}@1.11.0" for layer in range(16)]


# -- against brute force --


def random_universe(seed: int) -> tuple[World, list[OpenLayer], dict[str, object]]:
    """Few repositories whose versions build on, continue and contain each other's, so that conflicts are common."""
    dice = random.Random(seed)
    world = World()
    names = [f"o/r{number}" for number in range(dice.randint(3, 5))]
    numbers = dict.fromkeys(names, 0)
    for _ in range(dice.randint(6, 14)):
        name = dice.choice(names)
        numbers[name] += 1
        reference = f"{name}@1.{numbers[name]}.0"
        others = list(world.versions)
        parents: dict[str, float] = {}
        merged: dict[str, float] = {}
        origin = None
        if others and dice.random() < 0.75:
            for parent in dice.sample(others, min(len(others), dice.choice([1, 1, 2]))):
                parents[parent] = dice.choice([1.0, 1.0, 1.0, 0.5])
        if others and dice.random() < 0.2:
            origin = dice.choice(others)
        is_exact = False
        if others and dice.random() < 0.2:
            merged = dict.fromkeys(dice.sample(others, min(len(others), 2)), 1.0)
            parents = {} if dice.random() < 0.7 else parents
            is_exact = dice.random() < 0.7
        world.add(
            reference,
            list(parents.items()),
            initialized_from=origin,
            merged_from=[Source(source, weight) for source, weight in merged.items()],
            is_exact_linear=is_exact and not parents,
            is_readable=dice.random() > 0.03,
            state=VersionState.RECALLED if dice.random() < 0.03 else VersionState.PUBLISHED,
        )
    layers = [
        open_layer(world, name, dice.choice([1.0, 0.5]))
        for name in dice.sample(names, dice.randint(2, min(4, len(names))))
    ]
    rules: dict[str, object] = {
        "linear": dice.random() < 0.8,
        "overlaps": dice.choice([Overlaps.REFUSE, Overlaps.REFUSE, Overlaps.COVERED, Overlaps.ALLOW]),
        "ancestors": dice.choice([Ancestors.REFUSE, Ancestors.BRANCH]),
    }
    return world, layers, rules


def brute_force(
    world: World, layers: Sequence[OpenLayer], rules: Mapping[str, object], places: Sequence[int]
) -> list[UUID] | None:
    for chosen in product(*(layers[place].candidates for place in places)):
        named = [
            (world.catalogue[version].reference, layers[place].weight)
            for place, version in zip(places, chosen, strict=True)
        ]
        try:
            world.resolve(*named, **rules)  # type: ignore[arg-type]  # of the names that it knows
        except RefusedPlan:
            continue
        return list(chosen)
    return None


@pytest.mark.parametrize("batch", range(batches))
def test_random_universes_are_resolved_as_brute_force_does(batch: int) -> None:
    solved = older = conflicts = 0
    for seed in range(batch * universes // batches, (batch + 1) * universes // batches):
        world, layers, rules = random_universe(seed)
        everybody = list(range(len(layers)))
        expected = brute_force(world, layers, rules, everybody)
        try:
            found = solve(world, *layers, **rules)
        except Unresolvable as error:
            assert expected is None, seed
            conflicts += 1
            named = [entry["layer"] for entry in error.facts["conflict"]]
            assert brute_force(world, layers, rules, named) is None, seed
            for place in named:
                others = [other for other in named if other != place]
                assert not others or brute_force(world, layers, rules, others) is not None, seed
        else:
            assert [member.version for member in found.branches] == expected, seed
            solved += 1
            older += any(
                member.version != layer.candidates[0] for member, layer in zip(found.branches, layers, strict=True)
            )
    assert solved > 5
    assert older > 2
    assert conflicts > 5
