"""Which versions a stack's layers are: the newest, in the order of the layers, that agree with each other through lineage.

Layers are what resolvelib calls identifiers, versions its candidates. That two versions cannot stand together is known of
most pairs alone; where a third layer could settle it (it names what both stand on, say), only the whole assignment tells.
Every candidate depends on every other layer, so that resolvelib never jumps back over one, and what it finds first is what
comes first in the order of the layers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from app.domain.plan import Resolution
from app.domain.recipe import Ancestors, Overlaps, ResolvedLayer
from app.errors import OverlappingContents, PlanTooLarge, RefusedPlan, Unresolvable
from app.merge.closure import Closure
from app.merge.published import Catalogue, Published
from app.merge.resolution import resolve_in

most_tries = 10_000
"""Choices of versions that may be put to the rules for one stack: to resolve it, or to explain why it cannot be.
With a thousand versions in their lineage these take about ten seconds."""


class SearchTooLong(Exception):
    """The rules were asked `most_tries` times."""


@dataclass(frozen=True, slots=True)
class OpenLayer:
    """A layer whose version is not decided yet."""

    candidates: tuple[UUID, ...]
    """The best first: readable, published, and what the layer asks for."""
    weight: float
    asked: str
    """As it was given, for messages."""


@dataclass(frozen=True, slots=True)
class Candidate:
    layer: int
    version: UUID


@dataclass(frozen=True, slots=True)
class Requirement:
    """That a layer is there; or that it can stand beside a candidate of another one."""

    layer: int
    beside: Candidate | None = None


def newest(
    layers: Sequence[OpenLayer],
    catalogue: Catalogue,
    base_aliases: Mapping[str, str],
    *,
    linear: bool,
    overlaps: Overlaps = Overlaps.REFUSE,
    ancestors: Ancestors = Ancestors.REFUSE,
) -> Resolution:
    """The best versions that make a plan: no other choice has a better one in the first layer where the two differ.

    Args:
        catalogue: every version reachable from the candidates over all relations, hidden and deleted ones too.

    Raises: Unresolvable, with layers of which every one is part of the conflict; PlanTooLarge for a search without end.
    """

    tries = 0

    def refusal(chosen: Mapping[int, UUID]) -> RefusedPlan | Resolution:
        nonlocal tries
        tries += 1
        if tries > most_tries:
            raise SearchTooLong
        named = [ResolvedLayer(version, layers[place].weight, layers[place].asked) for place, version in chosen.items()]
        try:
            return resolve_in(published, named, (), base_aliases, linear=linear, overlaps=overlaps, ancestors=ancestors)
        except RefusedPlan as error:
            return error

    published = Published(catalogue)
    places = range(len(layers))
    search = Search(published, layers, refusal, is_covering=overlaps is Overlaps.COVERED)
    try:
        found = search.best(places)
        if found is not None:
            resolution = refusal(found)
            if isinstance(resolution, Resolution):
                return resolution
        conflict = smallest_conflict(places, lambda kept: search.best(kept) is not None)
        reason = because(layers, conflict, refusal)
    except (SearchTooLong, ResolutionTooDeep) as error:
        raise PlanTooLarge("choices of versions tried to resolve a stack", most_tries, tries) from error
    raise Unresolvable([{"layer": place, "asked": layers[place].asked} for place in conflict], reason)


def smallest_conflict(places: Iterable[int], is_solvable: Callable[[Sequence[int]], bool]) -> list[int]:
    """Of layers that have no solution some that have none either, and would have one without any one of them."""
    kept = list(places)
    while True:
        for place in kept:
            others = [other for other in kept if other != place]
            if not is_solvable(others):
                kept = others
                break
        else:
            return kept


def because(
    layers: Sequence[OpenLayer],
    conflict: Sequence[int],
    refusal: Callable[[Mapping[int, UUID]], RefusedPlan | Resolution],
) -> dict[str, Any]:
    """What the newest versions of a conflict's layers meet: a refusal's name and facts, or that there is no version."""
    without = [place for place in conflict if not layers[place].candidates]
    if without:
        return {"name": "no-version", "layers": without}
    error = refusal({place: layers[place].candidates[0] for place in conflict})
    if not isinstance(error, RefusedPlan):
        return {}
    versions = [layers[place].candidates[0] for place in conflict]
    return {"name": error.kebab_name(), "detail": error.detail, "versions": versions, **error.facts}


class Search:
    """Over the versions of some of the layers."""

    def __init__(
        self,
        published: Published,
        layers: Sequence[OpenLayer],
        refusal: Callable[[Mapping[int, UUID]], RefusedPlan | Resolution],
        *,
        is_covering: bool,
    ) -> None:
        self.published = published
        self.layers = layers
        self.refusal = refusal
        self.is_covering = is_covering
        self.contents = [{published.content(version) for version in layer.candidates} for layer in layers]
        self.known: dict[frozenset[Candidate], RefusedPlan | Resolution] = {}

    def best(self, places: Sequence[int]) -> dict[int, UUID] | None:
        """The best versions of these layers alone, by layer; None if there are none.

        Raises: SearchTooLong, ResolutionTooDeep.
        """
        if not places:
            return {}
        resolver = Resolver(Provider(self, places), BaseReporter[Requirement, Candidate, int]())
        try:
            found = resolver.resolve([Requirement(place) for place in places], max_rounds=most_tries)
        except ResolutionImpossible:
            return None
        return {place: found.mapping[place].version for place in places}

    def stands(self, chosen: frozenset[Candidate], places: Sequence[int]) -> bool:
        """Whether these candidates may stand together among these layers, as far as one can know."""
        if len(chosen) == len(places):
            return isinstance(self._found(chosen), Resolution)
        error = self._found(chosen)
        if isinstance(error, Resolution):
            return True
        # who covers whom depends on everybody
        may_be_covered = self.is_covering and isinstance(error, OverlappingContents)
        return may_be_covered or self._may_be_settled(chosen, places)

    def _may_be_settled(self, chosen: frozenset[Candidate], places: Sequence[int]) -> bool:
        """Whether another layer could name something in the trunk of these, so that it is a branch and the rules see it anew."""
        trunk = Closure(self.published.catalogue, [candidate.version for candidate in chosen], {}).trunk_contents
        taken = {candidate.layer for candidate in chosen}
        return any(not self.contents[place].isdisjoint(trunk) for place in places if place not in taken)

    def _found(self, chosen: frozenset[Candidate]) -> RefusedPlan | Resolution:
        if chosen not in self.known:
            in_order = sorted(chosen, key=lambda candidate: candidate.layer)
            self.known[chosen] = self.refusal({candidate.layer: candidate.version for candidate in in_order})
        return self.known[chosen]


class Provider(AbstractProvider[Requirement, Candidate, int]):
    """A search, as resolvelib asks for it."""

    def __init__(self, search: Search, places: Sequence[int]) -> None:
        self.search = search
        self.places = places

    def identify(self, requirement_or_candidate: Requirement | Candidate) -> int:
        return requirement_or_candidate.layer

    def get_preference(self, identifier: int, *_: Any, **__: Any) -> int:
        return identifier

    def find_matches(
        self,
        identifier: int,
        requirements: Mapping[int, Iterator[Requirement]],
        incompatibilities: Mapping[int, Iterator[Candidate]],
    ) -> Callable[[], Iterator[Candidate]]:
        beside = [found.beside for found in requirements[identifier] if found.beside is not None]
        excluded = set(incompatibilities[identifier])

        def matches() -> Iterator[Candidate]:
            for version in self.search.layers[identifier].candidates:
                candidate = Candidate(identifier, version)
                if candidate not in excluded and self._fits(candidate, beside):
                    yield candidate

        return matches

    def _fits(self, candidate: Candidate, beside: Sequence[Candidate]) -> bool:
        alone = self.search.stands(frozenset({candidate}), self.places)
        pairs = all(self.search.stands(frozenset({candidate, other}), self.places) for other in beside)
        is_whole = len(beside) + 1 == len(self.places)
        return alone and pairs and (not is_whole or self.search.stands(frozenset({candidate, *beside}), self.places))

    def is_satisfied_by(self, requirement: Requirement, candidate: Candidate) -> bool:
        if requirement.beside is None:
            return True
        return self.search.stands(frozenset({candidate, requirement.beside}), self.places)

    def get_dependencies(self, candidate: Candidate) -> list[Requirement]:
        return [Requirement(place, candidate) for place in self.places if place != candidate.layer]
