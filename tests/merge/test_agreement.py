"""The planner against the rules written as brute force, on random worlds; and proof that the comparison can see."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.digest import Digest
from app.domain.lineage import Edge, LineageVersion, Relation, Role
from app.domain.recipe import Overlaps
from app.errors import RefusedPlan
from app.merge import overlaps as overlaps_module
from app.merge import resolution as resolution_module
from app.merge import rules
from app.merge.closure import Closure
from app.merge.published import Published
from tests.merge.agreement import disagreement
from tests.merge.random_worlds import covering_question, foundation

most_seeds = 4000


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**48))
def test_the_planner_says_what_the_rules_say(seed: int) -> None:
    assert disagreement(seed) is None


@settings(max_examples=200, deadline=None, database=None)
@given(st.integers(0, 2**48))
def test_the_planner_says_what_the_rules_say_of_a_few_worlds(seed: int) -> None:
    assert disagreement(seed) is None


@settings(max_examples=500, deadline=None, database=None)
@given(st.integers(0, 2**48))
def test_what_is_covered_is_in_the_sum_once_at_its_weight(seed: int) -> None:
    """By expanding the members that stay down to what was merged into them, in exact arithmetic."""
    question = covering_question(Random(seed))
    world = question.world
    try:
        resolution = world.resolve(*question.layers, overlaps=Overlaps.COVERED)
    except RefusedPlan:
        return
    named = {world.id(layer) for layer, _ in question.layers}
    named |= {world.id(below) for layer, _ in question.layers for below in foundation(world, layer)}

    def weight_in(versions: list[UUID], content: Digest) -> Fraction:
        if world.catalogue[versions[0]].content_digest == content:
            return Fraction(1)
        made_of = {
            version: world.catalogue[version] for version in versions if world.catalogue[version].is_exact_linear
        }
        sums = {
            sum((Fraction(edge.weight) * weight_in([edge.parent], content) for edge in merges(entry)), Fraction(0))
            for entry in made_of.values()
        }
        assert len(sums) <= 1
        return sums.pop() if sums else Fraction(0)

    for covered in resolution.covered:
        total = Fraction(0)
        for member in resolution.trunk + resolution.branches:
            versions = [it for it in named if world.catalogue[it].content_digest == member.content_digest]
            total += Fraction(member.weight) * weight_in(versions, covered.content_digest)
        assert total == Fraction(covered.weight)


def merges(version: LineageVersion) -> list[Edge]:
    return [edge for edge in version.edges if edge.relation is Relation.MERGED_FROM]


# -- planted faults: each must be caught, or the agreement above proves nothing


def with_edges(change: Callable[[Edge], Edge | None]) -> Callable[[pytest.MonkeyPatch], None]:
    """What is published is read with its edges changed; None drops an edge."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = Published.__init__

        def read(self: Published, catalogue: dict[UUID, LineageVersion]) -> None:
            changed = {
                id: replace(version, edges=tuple(new for edge in version.edges if (new := change(edge)) is not None))
                for id, version in catalogue.items()
            }
            original(self, changed)

        patch.setattr(Published, "__init__", read)

    return plant


def is_contents(edge: Edge) -> bool:
    return edge.relation is not Relation.BUILDS_ON


zero_weights_are_followed = with_edges(
    lambda edge: replace(edge, weight=1.0) if is_contents(edge) and edge.weight == 0 else edge
)
nothing_is_subtracted = with_edges(
    lambda edge: None if edge.relation is Relation.EXTRACTED_FROM and edge.role is Role.BASE else edge
)
continuations_are_forgotten = with_edges(lambda edge: None if edge.relation is Relation.INITIALIZED_FROM else edge)
extractions_are_forgotten = with_edges(lambda edge: None if edge.relation is Relation.EXTRACTED_FROM else edge)
bases_hold_nothing = with_edges(
    lambda edge: None if edge.relation is Relation.MERGED_FROM and edge.role is Role.BASE else edge
)


def pins_replace_what_they_build_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Published, "related", lambda self, left, right: False)


def pins_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolution_module, "redirections", lambda published, pins: {})


def only_repositories_make_versions(patch: pytest.MonkeyPatch) -> None:
    def same_repository(self: Published, left: UUID, right: UUID) -> bool:
        return self.catalogue[left].repository == self.catalogue[right].repository

    patch.setattr(Published, "one_thing", same_repository)


def layers_conflict_like_the_trunk(patch: pytest.MonkeyPatch) -> None:
    original = rules.check_versions

    def without_exception(published: Published, closure: Closure) -> None:
        patch_contents, closure.branch_contents = closure.branch_contents, set()
        original(published, closure)
        closure.branch_contents = patch_contents

    patch.setattr(resolution_module, "check_versions", without_exception)


def edges_never_override(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Closure, "_first_met", lambda self, edges, overriding, children: list(edges[0]))


def edges_always_override(patch: pytest.MonkeyPatch) -> None:
    original = Closure._first_met

    def from_layers_only(self: Closure, *arguments: object) -> list[UUID] | None:
        path = original(self, *arguments)  # type: ignore[arg-type]  # passed on as they came
        return path if path is not None and len(path) == 2 else None

    patch.setattr(Closure, "_first_met", from_layers_only)


def covering_ignores_weights(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(overlaps_module, "_effective_weight", lambda published, member, content, weight: Fraction(1))


def covering_believes_declarations(patch: pytest.MonkeyPatch) -> None:
    original = overlaps_module.find_covered

    def believing(published: Published, *arguments: object) -> dict[Digest, list[Digest]]:
        believed = {id: replace(entry, is_exact_linear=True) for id, entry in published.catalogue.items()}
        return original(Published(believed), *arguments)  # type: ignore[arg-type]  # passed on as they came

    patch.setattr(resolution_module, "find_covered", believing)


def the_covered_cover(patch: pytest.MonkeyPatch) -> None:
    original = overlaps_module._effective_weight

    def hasty(published: Published, closure: Closure, weights: dict[Digest, float]) -> dict[Digest, list[Digest]]:
        found = {}
        for content in closure.trunk_contents:
            for member in weights:
                effective = original(published, closure.reached[member], content, weights[member])
                if member != content and content in weights and effective == weights[content]:
                    found[content] = [it for it in weights if it in closure.branch_contents]
        return found

    patch.setattr(resolution_module, "find_covered", hasty)


def what_the_covered_hold_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = overlaps_module.find_overlaps

    def forgetful(published: Published, closure: Closure, members: dict[Digest, list[Digest]]) -> object:
        return original(published, closure, {member: [] for member in members})

    patch.setattr(rules, "find_overlaps", forgetful)


def only_one_twin_counts(patch: pytest.MonkeyPatch) -> None:
    original = Closure.__init__

    def forgetful(self: Closure, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]  # passed on as they came
        for content in self.reached:
            del self.reached[content][1:]

    patch.setattr(Closure, "__init__", forgetful)


def held_layers_are_branches(patch: pytest.MonkeyPatch) -> None:
    original = overlaps_module.find_overlaps

    def forgiving(published: Published, closure: Closure, members: object) -> Iterator[overlaps_module.Overlap]:
        found = original(published, closure, members)  # type: ignore[arg-type]  # passed on as they came
        return (overlap for overlap in found if len({published.content(it) for it in overlap.shared}) == 1)

    patch.setattr(rules, "find_overlaps", forgiving)


def hidden_are_counted_by_content(patch: pytest.MonkeyPatch) -> None:
    original = rules.check_readable

    def miscounting(published: Published, closure: Closure) -> None:
        shown = tuple({published.content(it): it for it in foundation} for foundation in closure.foundations)
        kept, closure.foundations = closure.foundations, tuple(set(foundation.values()) for foundation in shown)
        original(published, closure)
        closure.foundations = kept

    patch.setattr(resolution_module, "check_readable", miscounting)


def layers_stay_in_the_trunk(patch: pytest.MonkeyPatch) -> None:
    original = Closure.__init__

    def keeping(self: Closure, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]  # passed on as they came
        needed = set[str]().union(*self.foundation_contents)
        self.trunk_contents = sorted(content for content in self.reached if content in needed)

    patch.setattr(Closure, "__init__", keeping)


faults = [
    zero_weights_are_followed,
    nothing_is_subtracted,
    continuations_are_forgotten,
    extractions_are_forgotten,
    bases_hold_nothing,
    pins_replace_what_they_build_on,
    pins_are_ignored,
    only_repositories_make_versions,
    layers_conflict_like_the_trunk,
    edges_never_override,
    edges_always_override,
    covering_ignores_weights,
    covering_believes_declarations,
    the_covered_cover,
    what_the_covered_hold_is_forgotten,
    only_one_twin_counts,
    held_layers_are_branches,
    hidden_are_counted_by_content,
    layers_stay_in_the_trunk,
]
names = [name for name, value in globals().items() if any(value is fault for fault in faults)]


@pytest.mark.slow
@pytest.mark.parametrize("fault", faults, ids=names)
def test_a_planted_fault_is_caught(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert any(caught(seed) for seed in range(most_seeds)), "the comparison cannot see this fault"


def caught(seed: int) -> bool:
    try:
        return disagreement(seed) is not None
    except (KeyError, StopIteration):
        # a planner that contradicts itself is caught, too
        return True
