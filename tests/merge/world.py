"""A small world of versions whose deltas are known as dense matrices, told in as few words as the rules are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from app.domain.base_model import BaseModel
from app.domain.digest import Digest, digest_of_bytes, digest_of_json, hex_of
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.domain.plan import Member, Resolution
from app.domain.recipe import Ancestors, Overlaps, ResolvedLayer, ResolvedPin
from app.merge.resolution import resolve

Matrix = NDArray[np.float64]
Weighted = Sequence[str | tuple[str, float]]

namespace = UUID("00000000-0000-0000-0000-000000000000")
some_base = BaseModel("org/base", revision="main-1")


def pairs(parents: Weighted) -> list[tuple[str, float]]:
    return [(parent, 1.0) if isinstance(parent, str) else parent for parent in parents]


def random_matrix(seed: str) -> Matrix:
    return np.random.default_rng(int(hex_of(digest_of_bytes(seed.encode()))[:12], 16)).standard_normal((6, 5))


@dataclass(frozen=True)
class Source:
    """What a merged or extracted version was made of."""

    reference: str
    weight: float = 1.0
    role: Role | None = Role.BRANCH


class World:
    """Versions by reference. Content digests are honest: they name the delta and the whole foundation."""

    def __init__(self) -> None:
        self.versions: dict[str, LineageVersion] = {}
        self.catalogue: dict[UUID, LineageVersion] = {}
        self.deltas: dict[Digest, Matrix] = {}
        self._delta_names: dict[UUID, str] = {}

    def add(
        self,
        reference: str,
        builds_on: Weighted = (),
        *,
        initialized_from: str | None = None,
        merged_from: Sequence[Source] = (),
        extracted_from: Sequence[Source] = (),
        is_exact_linear: bool = False,
        twin_of: str | None = None,
        kind: Kind = Kind.ADAPTER,
        base_model: BaseModel | None = some_base,
        state: VersionState = VersionState.PUBLISHED,
        is_readable: bool = True,
    ) -> LineageVersion:
        """`twin_of`: the same bytes on the same foundation, so that the content digest is the same."""
        name, _, number = reference.partition("@")
        edges = [Edge(self.versions[parent].id, Relation.BUILDS_ON, weight) for parent, weight in pairs(builds_on)]
        if initialized_from is not None:
            edges.append(Edge(self.versions[initialized_from].id, Relation.INITIALIZED_FROM))
        for relation, sources in ((Relation.MERGED_FROM, merged_from), (Relation.EXTRACTED_FROM, extracted_from)):
            edges += [Edge(self.versions[it.reference].id, relation, it.weight, it.role) for it in sources]

        own = reference if twin_of is None else self._delta_names[self.versions[twin_of].id]
        content = digest_of_json([own, sorted([c, w] for c, w in self.foundation(edges))])
        if is_exact_linear and twin_of is None:
            self.deltas[content] = sum(
                (it.weight * self.delta(it.reference) for it in merged_from if it.role is not Role.BASE),
                np.zeros((6, 5)),
            )
        self.deltas.setdefault(content, random_matrix(own))
        version = LineageVersion(
            id=uuid5(namespace, reference),
            repository=uuid5(namespace, name),
            repository_name=name,
            kind=kind,
            number=VersionNumber.parse(number),
            digest=digest_of_bytes(reference.encode()),
            content_digest=content,
            state=state,
            is_readable=is_readable,
            base_model=base_model,
            edges=tuple(edges),
            is_exact_linear=is_exact_linear,
        )
        if twin_of is not None:
            assert content == self.versions[twin_of].content_digest, "a twin stands on the same foundation"
        self.versions[reference] = self.catalogue[version.id] = version
        self._delta_names[version.id] = own
        return version

    def foundation(self, edges: Sequence[Edge]) -> set[tuple[Digest, float]]:
        built = [edge for edge in edges if edge.relation is Relation.BUILDS_ON]
        own = {(self.catalogue[edge.parent].content_digest, edge.weight) for edge in built}
        below = set[tuple[Digest, float]]().union(*(self.foundation(self.catalogue[e.parent].edges) for e in built))
        return own | {entry for entry in below if entry[0] not in {content for content, _ in own}}

    def change(self, reference: str, *, is_readable: bool | None = None, state: VersionState | None = None) -> None:
        version = self.versions[reference]
        version = replace(
            version,
            is_readable=version.is_readable if is_readable is None else is_readable,
            state=version.state if state is None else state,
        )
        self.versions[reference] = self.catalogue[version.id] = version

    def remove(self, reference: str) -> None:
        del self.catalogue[self.versions.pop(reference).id]

    def id(self, reference: str) -> UUID:
        return self.versions[reference].id

    def content(self, reference: str) -> Digest:
        return self.versions[reference].content_digest

    def delta(self, reference: str) -> Matrix:
        return self.deltas[self.content(reference)]

    def layers(self, *layers: str | tuple[str, float]) -> list[ResolvedLayer]:
        return [ResolvedLayer(self.id(reference), weight, reference) for reference, weight in pairs(layers)]

    def pins(self, *pinned: str) -> list[ResolvedPin]:
        return [
            ResolvedPin(
                version.repository,
                version.id,
                version.reference,
                f"/conflicts/{version.repository_name.replace('/', '~1')}",
            )
            for version in (self.versions[reference] for reference in pinned)
        ]

    def resolve(
        self,
        *layers: str | tuple[str, float],
        pins: Sequence[str] = (),
        linear: bool = True,
        overlaps: Overlaps = Overlaps.REFUSE,
        ancestors: Ancestors = Ancestors.REFUSE,
        aliases: Mapping[str, str] = {},
    ) -> Resolution:
        return resolve(
            self.layers(*layers),
            self.pins(*pins),
            self.catalogue,
            aliases,
            linear=linear,
            overlaps=overlaps,
            ancestors=ancestors,
        )

    def total(self, resolution: Resolution) -> Matrix:
        """What a linear merge of this resolution adds to the base, as the dense float64 sum."""
        members = resolution.trunk + resolution.branches
        return sum((member.weight * self.deltas[member.content_digest] for member in members), np.zeros((6, 5)))

    def expected(self, terms: Mapping[str, float]) -> Matrix:
        return sum((weight * self.delta(reference) for reference, weight in terms.items()), np.zeros((6, 5)))


def weights(members: Sequence[Member]) -> dict[str, float]:
    return {member.reference: member.weight for member in members}
