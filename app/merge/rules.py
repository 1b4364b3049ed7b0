"""The refusals of a recipe, one function each; `resolution.py` calls them in the order of rule 6."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import islice
from uuid import UUID

from app.domain.digest import Digest
from app.domain.lineage import Kind, Relation, VersionState
from app.domain.plan import Warning
from app.domain.recipe import ResolvedLayer, ResolvedPin
from app.errors import (
    AncestorAmongBranches,
    DuplicateLayer,
    EdgeWeightConflict,
    NotAnAdapter,
    OverlappingContents,
    PinContradictsLayer,
    RecalledInPlan,
    TrunkNotReadable,
    VersionConflict,
)
from app.merge.closure import Closure
from app.merge.overlaps import find_overlaps
from app.merge.published import Catalogue, Published

most_overlaps_told = 100
"""A warning of allowed overlaps names the versions of at most this many; a sum of a thousand versions has half a million pairs."""


def check_pins(published: Published, layers: Sequence[ResolvedLayer], pins: Sequence[ResolvedPin]) -> None:
    """Layers are never replaced, so that a pin cannot ask for another version of what a layer names.

    Raises: PinContradictsLayer.
    """
    for pin in pins:
        for layer in layers:
            is_other = published.content(layer.version) != published.content(pin.version)
            is_pinned = published.catalogue[layer.version].repository == pin.repository
            if is_pinned and is_other and not published.related(layer.version, pin.version):
                raise PinContradictsLayer(pin.asked, layer.asked, pin.pointer)


def check_duplicates(published: Published, layers: Sequence[ResolvedLayer]) -> None:
    """Raises: DuplicateLayer."""
    places: dict[Digest, list[int]] = defaultdict(list)
    for place, layer in enumerate(layers):
        places[published.content(layer.version)].append(place)
    for same in places.values():
        if len(same) > 1:
            raise DuplicateLayer(layers[same[0]].asked, same)


def check_readable(published: Published, closure: Closure) -> None:
    """Raises: TrunkNotReadable, with the number of hidden versions in each layer's foundation, and no names."""
    hidden = [
        {"layer": place, "count": count}
        for place, foundation in enumerate(closure.foundations)
        if (count := sum(not published.catalogue[version].is_readable for version in foundation))
    ]
    if hidden:
        raise TrunkNotReadable(hidden)


def check_versions(published: Published, closure: Closure) -> None:
    """Two layers may be two versions of one thing: somebody named both. One that lineage brings in may not.

    Raises: VersionConflict.
    """
    for left, right in published.rivals(closure.parents):
        if not {published.content(left), published.content(right)} <= closure.branch_contents:
            raise VersionConflict([left, right], [closure.path(left), closure.path(right)])


def check_overlaps(
    published: Published, closure: Closure, covered: Mapping[Digest, Sequence[Digest]], *, allow: bool
) -> tuple[Warning, ...]:
    """Raises: OverlappingContents, unless overlaps are allowed: then they are a warning."""
    members: dict[Digest, list[Digest]] = {content: [] for content in closure.reached if content not in covered}
    for content, coverers in covered.items():
        for coverer in coverers:
            members[coverer].append(content)
    overlaps = find_overlaps(published, closure, members)
    if allow:
        told = [version for overlap in islice(overlaps, most_overlaps_told) for version in overlap.shared]
        if not told:
            return ()
        detail = "two members of the sum contain the same adapter, or two versions of it; they are summed as asked"
        return (Warning("overlapping-contents", detail, tuple(dict.fromkeys(told))),)
    for overlap in overlaps:
        raise OverlappingContents(overlap.shared, overlap.paths)
    return ()


def check_kinds(published: Published, layers: Sequence[ResolvedLayer], pins: Sequence[ResolvedPin]) -> None:
    """A stack's version is the merged adapter of a lock and stands wherever an adapter may.

    Raises: NotAnAdapter.
    """
    named = [(layer.version, layer.asked, f"/layers/{place}/adapter") for place, layer in enumerate(layers)]
    named += [(pin.version, pin.asked, pin.pointer) for pin in pins]
    for version, asked, pointer in named:
        if published.catalogue[version].kind is Kind.MODEL:
            raise NotAnAdapter(asked, pointer)


def check_ancestors(published: Published, closure: Closure) -> None:
    """Raises: AncestorAmongBranches."""
    for descendant, foundation in zip(closure.layers, closure.foundation_contents, strict=True):
        for ancestor in closure.layers:
            content = published.content(ancestor)
            if ancestor != descendant and content in foundation:
                raise AncestorAmongBranches(ancestor, descendant, [closure.path_from(descendant, content)])


def check_weights(
    published: Published, closure: Closure, weights: Mapping[Digest, Mapping[float, Sequence[UUID]]]
) -> None:
    """Raises: EdgeWeightConflict; never for a content that is a layer, whose weight the recipe says."""
    for content in closure.trunk_contents:
        said = weights[content]
        if len(said) > 1:
            shown = min(closure.reached[content], key=published.rank)
            raise EdgeWeightConflict(shown, sorted(said), [said[weight] for weight in sorted(said)])


def check_recalled(published: Published, closure: Closure) -> None:
    """A recalled version refuses every plan that it is in: as a layer, in the trunk, or in what a member was made of.

    Raises: RecalledInPlan.
    """
    if (path := path_to_recalled(published.catalogue, list(closure.parents))) is not None:
        raise RecalledInPlan(path[-1], [[*closure.path(path[0]), *path[1:]]])


def path_to_recalled(catalogue: Catalogue, versions: Sequence[UUID]) -> list[UUID] | None:
    """From one of the versions through what it was made of to a recalled one, both included; None if there is none."""
    came_from: dict[UUID, UUID | None] = dict.fromkeys(versions)
    waiting = deque(versions)
    while waiting:
        version = waiting.popleft()
        if catalogue[version].state is VersionState.RECALLED:
            path = [version]
            while (above := came_from[path[-1]]) is not None:
                path.append(above)
            return path[::-1]
        for edge in catalogue[version].edges:
            if edge.relation in (Relation.MERGED_FROM, Relation.EXTRACTED_FROM) and edge.parent not in came_from:
                came_from[edge.parent] = version
                waiting.append(edge.parent)
    return None
