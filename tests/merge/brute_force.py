"""The rules of lineage as they are written, by enumerating every path and every pair; for small worlds only.

It shares no code with the planner and remembers nothing between two questions: what it says can be read beside the rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, combinations, product
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState


@dataclass(frozen=True)
class Verdict:
    """Either a refusal, or who is summed at which weight."""

    refusal: str | None = None
    hidden: tuple[tuple[int, int], ...] = ()
    trunk: tuple[tuple[str, float], ...] = ()
    covered: tuple[str, ...] = ()
    substitutions: tuple[tuple[UUID, UUID, UUID], ...] = ()
    warnings: tuple[str, ...] = ()
    is_referable: bool = True


class BruteForce:
    def __init__(
        self,
        catalogue: Mapping[UUID, LineageVersion],
        layers: list[tuple[UUID, float]],
        pins: Mapping[UUID, UUID],
        aliases: Mapping[str, str],
    ) -> None:
        self.all = catalogue
        self.layers = layers
        self.pins = pins
        self.aliases = aliases

    # -- the words

    def c(self, version: UUID) -> str:
        return self.all[version].content_digest

    def edges(self, version: UUID, *relations: Relation) -> list[Edge]:
        return [edge for edge in self.all[version].edges if edge.relation in relations]

    def published_foundation(self, version: UUID) -> set[str]:
        parents = [edge.parent for edge in self.edges(version, Relation.BUILDS_ON)]
        return {self.c(p) for p in parents}.union(*(self.published_foundation(p) for p in parents))

    def builds_on(self, child: UUID, ancestor: UUID) -> bool:
        return self.c(ancestor) in self.published_foundation(child)

    def neither_builds_on_the_other(self, left: UUID, right: UUID) -> bool:
        return not self.builds_on(left, right) and not self.builds_on(right, left)

    def pinned(self, parent: UUID) -> UUID:
        """Every edge to another version of a pinned repository is redirected, unless one of the two builds on the other."""
        pin = self.pins.get(self.all[parent].repository)
        if pin is not None and self.c(pin) != self.c(parent) and self.neither_builds_on_the_other(pin, parent):
            return pin
        return parent

    def ways_down(self, version: UUID) -> Iterator[list[tuple[UUID, float]]]:
        """Every way through *builds on* after the pins: [(version, weight of the edge to it), …]; a circle is closed once."""

        def extend(way: list[tuple[UUID, float]]) -> Iterator[list[tuple[UUID, float]]]:
            for edge in self.edges(way[-1][0], Relation.BUILDS_ON):
                parent = self.pinned(edge.parent)
                longer = [*way, (parent, edge.weight)]
                yield longer
                if parent not in [step for step, _ in way]:
                    yield from extend(longer)

        yield from extend([(version, 1.0)])

    def foundation(self, version: UUID) -> set[UUID]:
        return {way[-1][0] for way in self.ways_down(version)}

    def foundation_weights(self, version: UUID, content: str) -> set[float]:
        """The weights of the last edges of all ways on which nobody before has an edge of its own to that content."""
        found = set()
        for way in self.ways_down(version):
            if self.c(way[-1][0]) != content:
                continue
            before = [step for step, _ in way[:-2]]
            own = [self.c(self.pinned(e.parent)) for step in before for e in self.edges(step, Relation.BUILDS_ON)]
            if content not in own:
                found.add(way[-1][1])
        return found

    def line(self, version: UUID) -> set[str]:
        parents = [edge.parent for edge in self.edges(version, Relation.INITIALIZED_FROM)]
        return {self.c(version)}.union(*(self.line(parent) for parent in parents))

    def one_thing(self, left: UUID, right: UUID) -> bool:
        return self.all[left].repository == self.all[right].repository or bool(self.line(left) & self.line(right))

    def conflict(self, left: UUID, right: UUID) -> bool:
        """But for who is in the trunk."""
        different = self.c(left) != self.c(right)
        return different and self.one_thing(left, right) and self.neither_builds_on_the_other(left, right)

    def contents(self, version: UUID) -> set[UUID]:
        held = {version}
        for edge in self.edges(version, Relation.MERGED_FROM, Relation.INITIALIZED_FROM):
            if edge.weight != 0:
                held |= self.contents(edge.parent)
        source: set[UUID] = set()
        subtracted: set[str] = set()
        for edge in self.edges(version, Relation.EXTRACTED_FROM):
            if edge.weight != 0 and edge.role is Role.BASE:
                subtracted |= {self.c(entry) for entry in self.contents(edge.parent)}
            elif edge.weight != 0:
                source |= self.contents(edge.parent)
        return held | {entry for entry in source if self.c(entry) not in subtracted}

    # -- the sum

    @property
    def branch_contents(self) -> list[str]:
        return [self.c(version) for version, _ in self.layers]

    def reached(self) -> set[UUID]:
        layers = {version for version, _ in self.layers}
        return layers.union(*(self.foundation(version) for version in layers))

    def trunk_contents(self) -> set[str]:
        everything = {self.c(entry) for version, _ in self.layers for entry in self.foundation(version)}
        return everything - set(self.branch_contents)

    def trunk_weights(self, content: str) -> set[float]:
        return {weight for version, _ in self.layers for weight in self.foundation_weights(version, content)}

    def member_weight(self, content: str) -> float | None:
        for version, weight in self.layers:
            if self.c(version) == content:
                return weight
        said = self.trunk_weights(content)
        return said.pop() if len(said) == 1 else None

    def member_contents(self, content: str) -> set[UUID]:
        named = [version for version in self.reached() if self.c(version) == content]
        return set[UUID]().union(*(self.contents(version) for version in named))

    def overlap(self, left: str, right: str, extra: Mapping[str, set[str]]) -> bool:
        """Whether two members hold one content, or two versions of which one counts as the trunk's, that conflict."""
        in_left = set[UUID]().union(*(self.member_contents(entry) for entry in {left, *extra.get(left, ())}))
        in_right = set[UUID]().union(*(self.member_contents(entry) for entry in {right, *extra.get(right, ())}))
        if {self.c(entry) for entry in in_left} & {self.c(entry) for entry in in_right}:
            return True
        for one, other in product(in_left, in_right):
            one_in_trunk = left in self.trunk_contents() or self.c(one) != left
            other_in_trunk = right in self.trunk_contents() or self.c(other) != right
            if (one_in_trunk or other_in_trunk) and self.conflict(one, other):
                return True
        return False

    def ways_to(self, version: UUID, content: str) -> Iterator[tuple[Fraction, bool]]:
        """Every way through contents to the first version of that content: its weights multiplied, and whether it is exact."""
        if self.c(version) == content:
            yield Fraction(1), True
            return
        for edge in self.all[version].edges:
            is_subtracted = edge.relation is Relation.EXTRACTED_FROM and edge.role is Role.BASE
            if edge.relation is Relation.BUILDS_ON or edge.weight == 0 or is_subtracted:
                continue
            if content not in {self.c(entry) for entry in self.contents(version)}:
                continue
            is_merge = edge.relation is Relation.MERGED_FROM and self.all[version].is_exact_linear
            for weight, is_exact in self.ways_to(edge.parent, content):
                yield Fraction(edge.weight) * weight, is_exact and is_merge

    def covers(self, member: str, content: str) -> bool:
        """At the same effective weight, by every version that the member was named by and that holds it at all."""
        weight, wanted = self.member_weight(member), self.member_weight(content)
        if member == content or weight is None or wanted is None:
            return False
        named = [version for version in self.reached() if self.c(version) == member]
        holding = [version for version in named if content in {self.c(entry) for entry in self.contents(version)}]
        sums = set()
        for version in holding:
            ways = list(self.ways_to(version, content))
            if not all(is_exact for _, is_exact in ways):
                return False
            sums.add(Fraction(weight) * sum((way for way, _ in ways), Fraction(0)))
        return sums == {Fraction(wanted)}

    def covered(self) -> dict[str, set[str]]:
        """The one set of trunk members each of which is covered by somebody outside the set, and nobody outside is."""
        trunk = sorted(self.trunk_contents())
        members = {*trunk, *self.branch_contents}
        coverers = {content: {member for member in members if self.covers(member, content)} for content in trunk}
        candidates = [content for content in trunk if coverers[content]]
        for left_out in chain.from_iterable(combinations(candidates, size) for size in range(len(candidates) + 1)):
            if set(left_out) == {content for content in trunk if coverers[content] - set(left_out)}:
                return {content: coverers[content] - set(left_out) for content in left_out}
        return {}

    # -- the rules, in their order

    def decide(self, *, linear: bool, overlaps: str, ancestors: str, own_plan: bool = False) -> Verdict:
        for pin in self.pins.values():
            for version, _ in self.layers:
                same_repository = self.all[version].repository == self.all[pin].repository
                if (
                    same_repository
                    and self.c(version) != self.c(pin)
                    and self.neither_builds_on_the_other(version, pin)
                ):
                    return Verdict("pin-contradicts-layer")
        if len(set(self.branch_contents)) < len(self.layers):
            return Verdict("duplicate-layer")
        hidden = []
        for place, (version, _) in enumerate(self.layers):
            count = len([entry for entry in self.foundation(version) if not self.all[entry].is_readable])
            if count:
                hidden.append((place, count))
        if hidden:
            return Verdict("trunk-not-readable", hidden=tuple(hidden))
        trunk = self.trunk_contents()
        for left, right in combinations(self.reached(), 2):
            if (self.c(left) in trunk or self.c(right) in trunk) and self.conflict(left, right):
                return Verdict("version-conflict")

        covered = self.covered() if overlaps == "covered" else {}
        staying = [member for member in (*trunk, *self.branch_contents) if member not in covered]
        extra = {member: {content for content, by in covered.items() if member in by} for member in staying}
        overlapping = any(self.overlap(one, other, extra) for one, other in combinations(staying, 2))
        if overlapping and overlaps != "allow":
            return Verdict("overlapping-contents")

        named = [version for version, _ in self.layers] + list(self.pins.values())
        if not own_plan and any(self.all[version].kind is Kind.MODEL for version in named):
            return Verdict("not-an-adapter")
        if not linear and ancestors == "refuse":
            for one, other in product([version for version, _ in self.layers], repeat=2):
                if one != other and self.c(one) in {self.c(entry) for entry in self.foundation(other)}:
                    return Verdict("ancestor-among-branches")
        if any(len(self.trunk_weights(content)) > 1 for content in trunk):
            return Verdict("edge-weight-conflict")
        warnings = self.base_warnings()
        if warnings is None:
            return Verdict("base-model-mismatch")
        if not own_plan and any(self.is_recalled(version) for version in self.reached()):
            return Verdict("recalled-in-plan")

        substitutions = {
            (version, edge.parent, self.pinned(edge.parent))
            for version in self.reached()
            for edge in self.edges(version, Relation.BUILDS_ON)
            if self.pinned(edge.parent) != edge.parent
        }
        for pin in self.pins.values():
            if pin not in {replacement for _, _, replacement in substitutions}:
                warnings.append("pin-without-effect")
        if overlapping:
            warnings.append("overlapping-contents")
        summed = [content for content in sorted(trunk) if content not in covered]
        return Verdict(
            trunk=tuple((content, self.member_weight(content) or 0.0) for content in summed),
            covered=tuple(sorted(covered)),
            substitutions=tuple(sorted(substitutions)),
            warnings=tuple(sorted(warnings)),
            is_referable=self.is_referable(summed),
        )

    def is_recalled(self, version: UUID) -> bool:
        made_of = self.edges(version, Relation.MERGED_FROM, Relation.EXTRACTED_FROM)
        return self.all[version].state is VersionState.RECALLED or any(self.is_recalled(e.parent) for e in made_of)

    def base_warnings(self) -> list[str] | None:
        """None where two bases differ."""
        said = [self.all[version].base_model for version in self.reached()]
        bases = [self.canonical(base) for base in said if base is not None]
        for left, right in combinations(bases, 2):
            if left.digest and right.digest:
                if left.digest != right.digest:
                    return None
                continue
            revisions = {left.revision, right.revision} - {None}
            if left.name.lower() != right.name.lower() or len(revisions) > 1:
                return None
        warnings = ["base-unknown"] if None in said else []
        if bases and not [base for base in bases if base.revision or base.digest]:
            warnings.append("base-unpinned")
        if len({base.quantization for base in bases}) > 1:
            warnings.append("quantization-differs")
        return warnings

    def canonical(self, base: BaseModel) -> BaseModel:
        name = self.aliases.get(base.name.lower(), base.name)
        return BaseModel(name, base.revision, base.digest, base.quantization)

    def is_referable(self, trunk: list[str]) -> bool:
        """No branch is in the foundation of a trunk member, as published or as planned."""
        for content in trunk:
            named = [version for version in self.reached() if self.c(version) == content]
            version = min(named, key=lambda entry: (self.all[entry].repository_name, self.all[entry].number))
            below = self.published_foundation(version) | {self.c(entry) for entry in self.foundation(version)}
            if below & set(self.branch_contents):
                return False
        return True
