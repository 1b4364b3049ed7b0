"""What lineage makes of a recipe: the rules of `docs/lineage.md`, in the order in which they refuse."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import Member, Resolution, Substitution, Warning
from app.domain.recipe import Ancestors, Overlaps, ResolvedLayer, ResolvedPin
from app.errors import TrunkNotReferable
from app.merge.bases import check_bases
from app.merge.closure import Closure, redirections
from app.merge.overlaps import find_covered
from app.merge.published import Catalogue, Published
from app.merge.rules import (
    check_ancestors,
    check_duplicates,
    check_kinds,
    check_overlaps,
    check_pins,
    check_readable,
    check_recalled,
    check_versions,
    check_weights,
)


def resolve(
    layers: Sequence[ResolvedLayer],
    pins: Sequence[ResolvedPin],
    catalogue: Catalogue,
    base_aliases: Mapping[str, str],
    *,
    linear: bool,
    overlaps: Overlaps = Overlaps.REFUSE,
    ancestors: Ancestors = Ancestors.REFUSE,
) -> Resolution:
    """Who is summed, in which role and at which weight.

    Args:
        catalogue: every version reachable from the layers and pins over all relations, hidden and deleted ones too.
        base_aliases: lower-case name of a base model → its canonical name.
        linear: whether the method is the exact weighted sum.

    Raises: PinContradictsLayer; then, the first that applies, DuplicateLayer, TrunkNotReadable, VersionConflict,
        OverlappingContents, NotAnAdapter, AncestorAmongBranches, EdgeWeightConflict, BaseModelMismatch, RecalledInPlan.
        Their facts name versions by uuid, and layers and pins as they were asked for.
    """
    return resolve_in(
        Published(catalogue), layers, pins, base_aliases, linear=linear, overlaps=overlaps, ancestors=ancestors
    )


def resolve_in(
    published: Published,
    layers: Sequence[ResolvedLayer],
    pins: Sequence[ResolvedPin],
    base_aliases: Mapping[str, str],
    *,
    linear: bool,
    overlaps: Overlaps,
    ancestors: Ancestors,
) -> Resolution:
    """As `resolve`, for whoever asks of one catalogue many times."""
    check_pins(published, layers, pins)
    check_duplicates(published, layers)
    closure = Closure(published.catalogue, [layer.version for layer in layers], redirections(published, pins))
    check_readable(published, closure)
    check_versions(published, closure)
    said = closure.weights()
    trunk_weights = {
        content: next(iter(said[content])) for content in closure.trunk_contents if len(said[content]) == 1
    }
    weights = trunk_weights | {published.content(layer.version): layer.weight for layer in layers}
    covered = find_covered(published, closure, weights) if overlaps is Overlaps.COVERED else {}
    overlap_warnings = check_overlaps(published, closure, covered, allow=overlaps is Overlaps.ALLOW)
    check_kinds(published, layers, pins)
    if not linear and ancestors is Ancestors.REFUSE:
        check_ancestors(published, closure)
    check_weights(published, closure, said)
    base_model, base_warnings = check_bases(published, closure, base_aliases)
    check_recalled(published, closure)

    trunk = [
        (content, _trunk_member(published, closure, content, weights[content])) for content in closure.trunk_contents
    ]
    return Resolution(
        branches=tuple(_member(published, layer.version, Role.BRANCH, layer.weight) for layer in layers),
        trunk=tuple(member for content, member in trunk if content not in covered),
        covered=tuple(member for content, member in trunk if content in covered),
        substitutions=_substitutions(published, closure),
        warnings=(*_pins_without_effect(pins, closure), *overlap_warnings, *base_warnings),
        base_model=base_model,
    )


def check_referable(resolution: Resolution, catalogue: Catalogue) -> None:
    """A result that holds the branches and builds on the trunk would count a branch twice that the trunk stands on.

    Both the lineage as published counts (a later plan of the result follows it) and that of this plan, pins applied.

    Raises: TrunkNotReferable.
    """
    published = Published(catalogue)
    replacements = {entry.replaced: entry.replacement for entry in resolution.substitutions}
    members = [member.version for member in resolution.trunk]
    planned = Closure(catalogue, members, replacements).foundation_contents if replacements else [set()] * len(members)
    for member, foundation in zip(members, planned, strict=True):
        for branch in resolution.branches:
            is_published = published.builds_on(member, branch.version)
            if is_published or branch.content_digest in foundation:
                layers = [layer.version for layer in resolution.branches]
                above = Closure(catalogue, layers, replacements).path(member)
                below = Closure(catalogue, [member], {} if is_published else replacements)
                path = [*above, *below.path_from(member, branch.content_digest)[1:]]
                raise TrunkNotReferable(branch.version, member, [path])


def _member(published: Published, version: UUID, role: Role, weight: float, because: tuple[Digest, ...] = ()) -> Member:
    entry = published.catalogue[version]
    return Member(version, entry.reference, entry.digest, entry.content_digest, role, weight, because)


def _trunk_member(published: Published, closure: Closure, content: Digest, weight: float) -> Member:
    because = tuple(
        published.catalogue[layer].digest
        for layer, foundation in zip(closure.layers, closure.foundation_contents, strict=True)
        if content in foundation
    )
    shown = min(closure.reached[content], key=published.rank)
    return _member(published, shown, Role.TRUNK, weight, because)


def _substitutions(published: Published, closure: Closure) -> tuple[Substitution, ...]:
    because: dict[tuple[UUID, UUID], set[UUID]] = {}
    for child, replaced, replacement in closure.redirected:
        because.setdefault((replaced, replacement), set()).add(child)
    return tuple(
        Substitution(
            replaced,
            replacement,
            published.catalogue[replaced].reference,
            published.catalogue[replacement].reference,
            tuple(sorted(children, key=published.rank)),
        )
        for (replaced, replacement), children in sorted(because.items(), key=lambda entry: published.rank(entry[0][0]))
    )


def _pins_without_effect(pins: Sequence[ResolvedPin], closure: Closure) -> tuple[Warning, ...]:
    effective = {replacement for _, _, replacement in closure.redirected}
    detail = "no edge to another version of its repository was there to redirect"
    return tuple(Warning("pin-without-effect", detail, (pin.version,)) for pin in pins if pin.version not in effective)
