"""The lineage that a model card claims: its parents, found and checked, and warnings for those that were not."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.lineage import Kind, Relation
from app.domain.repository import Repository
from app.domain.version import Version
from app.errors import Deleted, InvalidReference, MalformedRequest, ModelExpected, NotAnAdapter, ParentNotFound
from app.formats.card import texts
from app.lineage.engine import Connection
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
    weight: float
    is_base: bool
    """Named as `base_model`: it may just as well be a base model that is kept elsewhere."""


class CardLineage:
    def __init__(self, publishing: Publishing) -> None:
        self.publishing = publishing

    def read(
        self,
        tx: Connection,
        caller: Caller,
        repository: Repository,
        new: NewVersion,
        card: Mapping[str, Any],
        configured: BaseModel | None,
    ) -> tuple[NewVersion, list[str]]:
        """A version with what its card says of parents, base and datasets; and what of that could not be followed.

        Args:
            configured: the base that the weights' own configuration names: that one counts, where both are given.
        """
        warnings: list[str] = []
        found: dict[Relation, dict[object, ParentAsked]] = {relation: {} for relation in Relation}
        bases: list[str] = []
        for claim in claims(repository.kind, card):
            parent = self._parent(tx, caller, repository, claim)
            if isinstance(parent, Version):
                asked = ParentAsked(parent.reference, claim.weight, f"/{claim.relation.value}")
                found[claim.relation].setdefault(parent.id, asked)
            elif claim.is_base:
                bases.append(claim.reference)
            else:
                warnings.append(f"{claim.relation.value}: {parent}: no edge was made")
        origins = list(found[Relation.INITIALIZED_FROM].values())
        warnings += [f"initialized_from: one parent only, {origin.reference} was left out" for origin in origins[1:]]
        named = None if len(bases) != 1 else BaseModel(bases[0])
        if named is not None and configured is not None and not is_local_path(configured.name):
            if configured.name.lower() != named.name.lower():
                warnings.append(
                    f"base_model: the configuration names {configured.name}, which counts, not {named.name}"
                )
            named = None
        if len(bases) > 1:
            warnings.append(f"base_model: {', '.join(bases)} are no adapters of this registry: no edges were made")
        builds_on = tuple(found[Relation.BUILDS_ON].values())
        return (
            replace(
                new,
                builds_on=builds_on if builds_on or "builds_on" in card else None,
                initialized_from=origins[0] if origins else None,
                merged_from=tuple(found[Relation.MERGED_FROM].values()),
                base_model=named,
                datasets=tuple({"name": name[:500]} for name in texts(card.get("datasets"))[:most_datasets]),
            ),
            warnings,
        )

    def _parent(self, tx: Connection, caller: Caller, repository: Repository, claim: Claim) -> Version | str:
        """The version that is meant, or why there is none. Without an `@`, the newest."""
        reference = claim.reference if "@" in claim.reference else f"{claim.reference}@latest"
        asked = ParentAsked(reference, claim.weight, "")
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
        yield Claim(relation, name, 1.0, is_base=True)


def claim_of(relation: Relation, entry: Any) -> Claim | None:
    """`ns/name@1.0.0`, or `{version: ns/name@1.0.0, weight: 0.7}`; anything else is a claim that nothing fits."""
    if entry is None:
        return None
    if isinstance(entry, dict):
        weight = entry.get("weight", 1.0)
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
        if is_number and isinstance(entry.get("version"), str):
            return Claim(relation, entry["version"], float(weight), is_base=False)
    return Claim(relation, str(entry)[:500], 1.0, is_base=False)
