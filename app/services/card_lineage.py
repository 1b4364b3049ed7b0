"""The lineage that a model card claims: its parents, found and checked, and warnings for those that were not."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.lineage import Edge, Kind, Relation
from app.domain.repository import Repository
from app.domain.version import Parent, Version
from app.errors import Deleted, InvalidReference, MalformedRequest, ModelExpected, NotAnAdapter, ParentNotFound
from app.formats.card import texts
from app.lineage.engine import Connection
from app.services.content import Content
from app.services.publishing import NewVersion, ParentAsked, Publishing, is_local_path

most_parents = 64
most_datasets = 200
relations = {
    "adapter": Relation.BUILDS_ON,
    "finetune": Relation.INITIALIZED_FROM,
    "quantized": Relation.INITIALIZED_FROM,
    "merge": Relation.MERGED_FROM,
}
"""What the Hub's `base_model_relation` is here, where the base is itself an adapter."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One parent that a card names."""

    relation: Relation
    reference: str
    weight: float | None
    """None: nothing was said of it."""
    is_base: bool
    """Named as `base_model`: it may just as well be a base model that is kept elsewhere."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the version before stands on, where it has the same weights: they were trained on that, whatever is newest by now."""

    parents: tuple[Parent, ...] = ()
    claims: tuple[Claim, ...] = ()
    """That its card made."""

    def edge_of(self, claim: Claim, repository: str) -> Edge | None:
        """The edge to a parent in the repository that a claim means, if the claim is not new or leaves the version open."""
        if "@" in claim.reference and claim not in self.claims:
            return None
        meant = [
            parent
            for parent in self.parents
            # of a hidden one it is not told whether its name was guessed
            if parent.relation is claim.relation
            and parent.is_readable
            and parent.reference.partition("@")[0].lower() == repository.lower()
        ]
        if len(meant) != 1:
            return None
        edge = edge_to(meant[0])
        return edge if claim.weight is None else replace(edge, weight=claim.weight)

    def edges(self, relation: Relation, *, hidden_alone: bool) -> dict[UUID, Edge]:
        """By parent."""
        return {
            parent.version: edge_to(parent)
            for parent in self.parents
            if parent.relation is relation and not (hidden_alone and parent.is_readable)
        }


@dataclass(frozen=True, slots=True)
class CardRead:
    """What a card says, followed as far as it could be."""

    version: NewVersion
    kept: tuple[Edge, ...]
    """Of the version before, beside the parents that `version` names."""
    warnings: tuple[str, ...]


class CardLineage:
    def __init__(self, publishing: Publishing) -> None:
        self.publishing = publishing

    def read(
        self,
        tx: Connection,
        caller: Caller,
        repository: Repository,
        new: NewVersion,
        content: Content,
        before: Standing,
    ) -> CardRead:
        """A version with what its card says of parents, base and datasets."""
        warnings: list[str] = []
        asked: dict[Relation, dict[UUID, ParentAsked]] = {relation: {} for relation in Relation}
        kept: dict[Relation, dict[UUID, Edge]] = {relation: {} for relation in Relation}
        bases: list[str] = []
        made = tuple(claims(repository.kind, content.card))
        for claim in made:
            parent = self._parent(tx, caller, repository, claim)
            named = parent.repository if isinstance(parent, Version) else claim.reference.partition("@")[0]
            edge = before.edge_of(claim, named)
            if edge is not None:
                kept[claim.relation].setdefault(edge.parent, edge)
            elif isinstance(parent, Version):
                weight = 1.0 if claim.weight is None else claim.weight
                found = ParentAsked(parent.reference, weight, f"/{claim.relation.value}")
                asked[claim.relation].setdefault(parent.id, found)
            elif claim.is_base:
                bases.append(claim.reference)
            else:
                warnings.append(f"{claim.relation.value}: {parent}: no edge was made")
        for relation in (Relation.INITIALIZED_FROM, Relation.BUILDS_ON):
            is_said = relation.value in content.card or bool(asked[relation] or kept[relation])
            # what a new origin stands on is taken over from there
            is_silent = not is_said and not asked[Relation.INITIALIZED_FROM]
            if is_silent or made == before.claims:
                kept[relation] = before.edges(relation, hidden_alone=is_said) | kept[relation]
        builds_on = tuple(
            parent for id, parent in asked[Relation.BUILDS_ON].items() if id not in kept[Relation.BUILDS_ON]
        )
        origins = list(asked[Relation.INITIALIZED_FROM].values())
        left_out = origins if kept[Relation.INITIALIZED_FROM] else origins[1:]
        warnings += [f"initialized_from: one parent only, {origin.reference} was left out" for origin in left_out]
        version = replace(
            new,
            builds_on=builds_on if builds_on or kept[Relation.BUILDS_ON] or "builds_on" in content.card else None,
            initialized_from=next((origin for origin in origins if origin not in left_out), None),
            merged_from=tuple(asked[Relation.MERGED_FROM].values()),
            base_model=base_of(bases, content.configured_base, warnings),
            datasets=tuple({"name": name[:500]} for name in texts(content.card.get("datasets"))[:most_datasets]),
        )
        return CardRead(version, tuple(edge for edges in kept.values() for edge in edges.values()), tuple(warnings))

    def _parent(self, tx: Connection, caller: Caller, repository: Repository, claim: Claim) -> Version | str:
        """The version that is meant, or why there is none. Without an `@`, the newest."""
        reference = claim.reference if "@" in claim.reference else f"{claim.reference}@latest"
        asked = ParentAsked(reference, 1.0 if claim.weight is None else claim.weight, "")
        wanted = Kind.MODEL if repository.kind is Kind.MODEL else Kind.ADAPTER
        if wanted is Kind.MODEL and claim.relation is Relation.BUILDS_ON:
            return f"a model builds on nothing, but is initialized from another: {claim.reference}"
        try:
            if claim.relation is Relation.MERGED_FROM:
                return self.publishing.parent(tx, caller, asked, None)
            return self.publishing.parent(tx, caller, asked, wanted)
        except (InvalidReference, ParentNotFound):
            return f"{claim.reference} is not here, or not for you"
        except (Deleted, NotAnAdapter, ModelExpected, MalformedRequest) as error:
            return error.detail


def claims(kind: Kind, card: Mapping[str, Any]) -> Iterator[Claim]:
    """What a card says, unchecked."""
    for key, relation in (("builds_on", Relation.BUILDS_ON), ("initialized_from", Relation.INITIALIZED_FROM)):
        value = card.get(key)
        for entry in (value if isinstance(value, list) else [value])[:most_parents]:
            if (claim := claim_of(relation, entry)) is not None:
                yield claim
    usual = "finetune" if kind is Kind.MODEL else "adapter"
    relation = relations.get(str(card.get("base_model_relation", usual)).lower(), relations[usual])
    for name in texts(card.get("base_model"))[:most_parents]:
        yield Claim(relation, name, None, is_base=True)


def claim_of(relation: Relation, entry: Any) -> Claim | None:
    """`ns/name@1.0.0`, or `{version: ns/name@1.0.0, weight: 0.7}`; anything else is a claim that nothing fits."""
    if entry is None:
        return None
    if isinstance(entry, dict):
        weight = entry.get("weight")
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
        if (is_number or weight is None) and isinstance(entry.get("version"), str):
            return Claim(relation, entry["version"], None if weight is None else float(weight), is_base=False)
    return Claim(relation, str(entry)[:500], None, is_base=False)


def base_of(bases: Sequence[str], configured: BaseModel | None, warnings: list[str]) -> BaseModel | None:
    """The base model that a card names; but if the weights' own configuration names one, that one counts, and None is said.

    Args:
        bases: what the card names as base and is no adapter here.
        warnings: more is written here.
    """
    if len(bases) > 1:
        warnings.append(f"base_model: {', '.join(bases)} are no adapters of this registry: no edges were made")
    if len(bases) != 1:
        return None
    if configured is None or is_local_path(configured.name):
        return BaseModel(bases[0])
    if configured.name.lower() != bases[0].lower():
        warnings.append(f"base_model: the configuration names {configured.name}, which counts, not {bases[0]}")
    return None


def edge_to(parent: Parent) -> Edge:
    return Edge(parent.version, parent.relation, parent.weight, parent.role)
