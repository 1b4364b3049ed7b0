"""What lineage says as published, whoever asks and whatever is pinned.

Sets are bit masks in Python's integers, one bit per version or per content digest: a union over a thousand ancestors is one
machine-speed operation, and no path is ever enumerated.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from uuid import UUID

from app.domain.digest import Digest
from app.domain.lineage import Edge, LineageVersion, Relation, Role
from app.domain.number import VersionNumber

Catalogue = Mapping[UUID, LineageVersion]


def bits(mask: int) -> Iterator[int]:
    """The positions of the ones, from the lowest."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


class Published:
    """Who builds on whom, whose lines meet, and what is held in what; all by content digest."""

    def __init__(self, catalogue: Catalogue) -> None:
        """`catalogue` holds every parent of every version in it, over all relations."""
        self.catalogue = catalogue
        # sorted, so that what is found first does not depend on the order in which a database answers
        parents = {version: [edge.parent for edge in catalogue[version].edges] for version in sorted(catalogue)}
        self._versions = list(TopologicalSorter(parents).static_order())
        """Parents first: an ascending walk over a mask meets what a version is made of before the version."""
        self._position = {version: place for place, version in enumerate(self._versions)}
        contents = dict.fromkeys(entry.content_digest for entry in catalogue.values())
        self._content_position = {content: place for place, content in enumerate(contents)}
        self._twins: dict[Digest, int] = defaultdict(int)
        for version, entry in catalogue.items():
            self._twins[entry.content_digest] |= 1 << self._position[version]

        self._foundation: dict[UUID, int] = {}
        """version → mask of the content digests that it builds on"""
        self._line: dict[UUID, int] = {}
        """version → mask of the content digests on its line of `initialized from`, itself included"""
        self._held: dict[UUID, int] = {}
        """version → mask of the versions in its contents, as the rule of overlaps counts them"""
        self._family = {content: content for content in contents}
        for version in self._versions:
            self._add(catalogue[version])

    def _add(self, version: LineageVersion) -> None:
        foundation, line, held = 0, self._content_bit(version.id), 1 << self._position[version.id]
        source, subtracted = 0, 0
        for edge in version.edges:
            if edge.relation is Relation.BUILDS_ON:
                foundation |= self._foundation[edge.parent] | self._content_bit(edge.parent)
                continue
            if edge.relation is Relation.INITIALIZED_FROM:
                line |= self._line[edge.parent]
                self._join_families(version.content_digest, self.content(edge.parent))
            if edge.weight == 0:
                continue
            if edge.relation is not Relation.EXTRACTED_FROM:
                held |= self._held[edge.parent]
            elif edge.role is Role.BASE:
                subtracted |= self._held[edge.parent]
            else:
                source |= self._held[edge.parent]
        for place in bits(subtracted):
            source &= ~self._twins[self.content(self._versions[place])]
        self._foundation[version.id], self._line[version.id], self._held[version.id] = foundation, line, held | source

    def content(self, version: UUID) -> Digest:
        return self.catalogue[version].content_digest

    def builds_on(self, child: UUID, ancestor: UUID) -> bool:
        """Whether `child` was trained with the content of `ancestor` applied, directly or further down."""
        return bool(self._foundation[child] & self._content_bit(ancestor))

    def related(self, left: UUID, right: UUID) -> bool:
        """Whether one of the two builds on the other."""
        return self.builds_on(left, right) or self.builds_on(right, left)

    def one_thing(self, left: UUID, right: UUID) -> bool:
        """Whether two versions are of one repository, or their lines of `initialized from` meet."""
        same_repository = self.catalogue[left].repository == self.catalogue[right].repository
        return same_repository or bool(self._line[left] & self._line[right])

    def held(self, version: UUID) -> list[UUID]:
        """The versions in the contents of `version`: what it is made of before what is made of it, itself last.

        Contents follow `merged from`, `extracted from` and `initialized from`, skip edges of weight 0, include those of a
        model's base; an extraction holds what its source holds and the subtracted base does not.
        """
        return [self._versions[place] for place in bits(self._held[version])]

    def holds_content(self, version: UUID, content: Digest) -> bool:
        return bool(self._held[version] & self._twins[content])

    def path_to_held(self, version: UUID, held: UUID) -> list[UUID]:
        """From `version` through its contents to a version that it holds, both included."""
        path = [version]
        wanted = 1 << self._position[held]
        while path[-1] != held:
            path.append(
                next(edge.parent for edge in held_through(self.catalogue[path[-1]]) if self._held[edge.parent] & wanted)
            )
        return path

    def rivals(
        self, versions: Iterable[UUID], owner: Callable[[UUID], Hashable] = lambda version: version
    ) -> Iterator[tuple[UUID, UUID]]:
        """Pairs of different content that are versions of one thing, neither building on the other; in a fixed order.

        `owner`: pairs of one owner are of no interest, and may be left out.
        """
        repositories: dict[UUID, list[UUID]] = defaultdict(list)
        families: dict[Digest, list[UUID]] = defaultdict(list)
        for version in sorted(versions, key=self.rank):
            repositories[self.catalogue[version].repository].append(version)
            families[self._family_of(self.content(version))].append(version)
        for group in (*repositories.values(), *families.values()):
            if len({owner(version) for version in group}) > 1:
                yield from self._strangers(group)

    def rank(self, version: UUID) -> tuple[str, VersionNumber, UUID]:
        """What decides which of several versions is shown: the smallest (repository, version)."""
        entry = self.catalogue[version]
        return entry.repository_name, entry.number, version

    def _strangers(self, group: list[UUID]) -> Iterator[tuple[UUID, UUID]]:
        """Sorted by how many of the group each builds on, a version can build only on earlier ones: one pass finds all pairs."""
        everyone = 0
        for version in group:
            everyone |= self._content_bit(version)
        earlier = 0
        seen: dict[int, list[UUID]] = defaultdict(list)
        for version in sorted(group, key=lambda version: (self._foundation[version] & everyone).bit_count()):
            own = self._content_bit(version)
            for place in bits(earlier & ~self._foundation[version] & ~own):
                for other in seen[place]:
                    if self.one_thing(other, version):
                        yield other, version
            earlier |= own
            seen[own.bit_length() - 1].append(version)

    def _content_bit(self, version: UUID) -> int:
        return 1 << self._content_position[self.content(version)]

    def _family_of(self, content: Digest) -> Digest:
        while (parent := self._family[content]) != content:
            # each step halves the way for the next question
            self._family[content] = self._family[parent]
            content = parent
        return content

    def _join_families(self, left: Digest, right: Digest) -> None:
        self._family[self._family_of(left)] = self._family_of(right)


def held_through(version: LineageVersion) -> Iterator[Edge]:
    """The edges through which a version holds what it holds."""
    for edge in version.edges:
        is_subtracted = edge.relation is Relation.EXTRACTED_FROM and edge.role is Role.BASE
        if edge.relation is not Relation.BUILDS_ON and edge.weight != 0 and not is_subtracted:
            yield edge
