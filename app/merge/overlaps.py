"""Members of a sum that hold the same thing: found, and where an exact merge holds a trunk member already, left out."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from app.domain.digest import Digest
from app.domain.lineage import Relation
from app.merge.closure import Closure
from app.merge.published import Published, held_through


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two members hold one content (then `shared` names one version, or twins), or two versions of one thing."""

    shared: tuple[UUID, ...]
    paths: tuple[tuple[UUID, ...], ...]
    """From a layer to the member, and on to what it holds."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A version in the contents of a member."""

    member: Digest
    through: UUID
    """The version by which the member was named."""
    held: UUID


def find_overlaps(
    published: Published, closure: Closure, members: Mapping[Digest, Iterable[Digest]]
) -> Iterator[Overlap]:
    """All overlaps of the members, in a fixed order; `members` gives for each the members left out because it covers them.

    What a covered member holds is held by the one that covers it.
    """
    of_content: dict[Digest, dict[Digest, Holding]] = defaultdict(dict)
    of_version: dict[UUID, dict[Digest, Holding]] = defaultdict(dict)
    for member, covered in members.items():
        for content in (member, *covered):
            for through in sorted(closure.reached[content], key=published.rank):
                for held in reversed(published.held(through)):
                    holding = Holding(member, through, held)
                    of_content[published.content(held)].setdefault(member, holding)
                    of_version[held].setdefault(member, holding)

    def path(holding: Holding) -> tuple[UUID, ...]:
        return (*closure.path(holding.through), *published.path_to_held(holding.through, holding.held)[1:])

    for holders in of_content.values():
        first, *others = holders.values()
        for other in others:
            yield Overlap(tuple(dict.fromkeys((first.held, other.held))), (path(first), path(other)))

    def counts_as_trunk(holding: Holding) -> bool:
        is_the_member = published.content(holding.held) == holding.member
        return not is_the_member or holding.member not in closure.branch_contents

    def sole_holder(version: UUID) -> Hashable:
        holders = of_version[version]
        return next(iter(holders)) if len(holders) == 1 else version

    for left, right in published.rivals(of_version, sole_holder):
        for first in of_version[left].values():
            for other in of_version[right].values():
                if first.member != other.member and (counts_as_trunk(first) or counts_as_trunk(other)):
                    yield Overlap((left, right), (path(first), path(other)))


def find_covered(published: Published, closure: Closure, weights: Mapping[Digest, float]) -> dict[Digest, list[Digest]]:
    """The trunk members that an exact linear merge among the members holds already at the weight they would have.

    Args:
        weights: of every member that has one weight; a trunk member at two weights neither covers nor is covered.

    Returns: trunk member → the members that stay and hold it. One held only by a member that is itself left out stays.
    """
    merges = [
        member
        for member in weights
        if any(published.catalogue[version].is_exact_linear for version in closure.reached[member])
    ]
    undecided: dict[Digest, list[Digest]] = {}
    for content in closure.trunk_contents:
        if content not in weights:
            continue
        coverers = [
            member
            for member in merges
            if member != content
            and _effective_weight(published, closure.reached[member], content, weights[member]) == weights[content]
        ]
        if coverers:
            undecided[content] = coverers

    covered: dict[Digest, list[Digest]] = {}
    while undecided:
        settled = [content for content, coverers in undecided.items() if undecided.keys().isdisjoint(coverers)]
        if not settled:
            # two that hold each other's twins: neither is known to be whole
            break
        for content in settled:
            staying = [member for member in undecided[content] if member not in covered]
            if staying:
                covered[content] = staying
        for content in settled:
            del undecided[content]
    return covered


def _effective_weight(published: Published, member: Iterable[UUID], content: Digest, weight: float) -> Fraction | None:
    """The weight at which a member brings a content into the sum, exactly; None where it does not, or it is not known."""
    found = {_weight_in(published, version, content) for version in member if published.holds_content(version, content)}
    if len(found) != 1:
        return None
    inner = found.pop()
    return None if inner is None else Fraction(weight) * inner


def _weight_in(published: Published, version: UUID, content: Digest) -> Fraction | None:
    """The sum over all paths of the weights along `merged from`; None unless every path runs through exact linear merges.

    A path ends at the first version of the content: what that one is made of is the content itself.
    """
    inside: dict[UUID, Fraction | None] = {}
    for held in published.held(version):
        if published.content(held) == content:
            inside[held] = Fraction(1)
            continue
        if not published.holds_content(held, content):
            continue
        entry = published.catalogue[held]
        total: Fraction | None = Fraction(0) if entry.is_exact_linear else None
        for edge in held_through(entry):
            if published.holds_content(edge.parent, content):
                # a parent that is not held is the part of an extraction's source that was subtracted: nobody asks for it
                part = inside.get(edge.parent) if edge.relation is Relation.MERGED_FROM else None
                total = None if total is None or part is None else total + Fraction(edge.weight) * part
        inside[held] = total
    return inside[version]
