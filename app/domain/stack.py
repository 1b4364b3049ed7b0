"""Stacks: what is asked of versions that are still to come, and the locks that answer it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from app.domain.digest import Digest, digest_of_json
from app.domain.number import VersionNumber
from app.domain.plan import Resolution
from app.domain.recipe import Ancestors, Method, Output, Overlaps, Recipe
from app.domain.reference import Selector
from app.errors import InvalidRange, InvalidReference

longest_requirement = 200


class Update(StrEnum):
    """What happens to a stack when its resolution has another outcome than before."""

    AUTO = "auto"
    """A new lock, and its merge."""
    PROPOSE = "propose"
    """A proposal, which somebody accepts or rejects."""
    PIN = "pin"
    """Nothing; but that a lock holds a recalled version is worth a proposal."""


class Because(StrEnum):
    """Why a lock or a proposal is there."""

    LOCK = "lock"
    """Somebody asked for it."""
    ROLLBACK = "rollback"
    UPDATE = "update"
    """An upstream changed."""
    PROPOSAL = "proposal"
    """Somebody accepted one."""
    RECALL = "recall"
    """A version in the lock before was recalled."""


class ProposalState(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    """Upstreams changed again before anybody decided."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Which versions of a repository a layer may be: those in a range, or the one that a selector names."""

    text: str
    range: SpecifierSet | None
    selector: Selector | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`>=1,<2` (empty: every version), or what may stand after the @ of a reference. Raises: InvalidRange."""
        text = text.strip()
        if len(text) > longest_requirement:
            raise InvalidRange(text[:80] + "…", f"at most {longest_requirement} characters")
        if not text or text[0] in "<>=!~":
            try:
                return cls(text, SpecifierSet(text), None)
            except InvalidSpecifier as error:
                raise InvalidRange(text, "a range such as >=1,<2 was expected") from error
        try:
            return cls(text, None, Selector.parse(text))
        except InvalidReference as error:
            raise InvalidRange(text, "neither a range such as >=1,<2 nor a version, alias, commit or digest") from error

    def allows(self, number: VersionNumber) -> bool:
        """Whether a number lies in the range; never for a selector, which a repository has to look up."""
        return self.range is not None and self.range.contains(str(number))


@dataclass(frozen=True, slots=True)
class StackLayer:
    """One entry of a stack."""

    repository: UUID
    requirement: str
    """As it was asked: `Requirement.parse` reads it."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Definition:
    """What a stack asks for."""

    layers: tuple[StackLayer, ...]
    method: Method = field(default_factory=Method)
    output: Output = field(default_factory=Output)
    overlaps: Overlaps = Overlaps.REFUSE
    ancestors: Ancestors = Ancestors.REFUSE


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack as it stands."""

    repository: UUID
    definition: Definition
    update: Update
    maintainer: UUID
    """The user who defined it last: it is resolved and merged with their rights."""
    resolved: Digest | None
    """The outcome of the last resolution, whatever was made of it."""
    problem: dict[str, Any] | None
    """Why the last resolution had none."""
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a definition comes to at one moment: every version by its digest, the trunk included."""

    layers: tuple[StackLayer, ...]
    recipe: Recipe
    """The same layers by digest: what a merge of it asks for."""
    resolution: Resolution

    @property
    def versions(self) -> set[UUID]:
        """All that it names: branches, trunk, and what is covered."""
        found = self.resolution.branches + self.resolution.trunk + self.resolution.covered
        return {member.version for member in found}

    @property
    def digest(self) -> Digest:
        """Of what would be merged: not of the ranges that led there, nor of who asked."""
        resolution, recipe = self.resolution, self.recipe
        return digest_of_json(
            {
                "schema": 1,
                "branches": [[member.digest, member.weight] for member in resolution.branches],
                "trunk": sorted([member.digest, member.weight] for member in resolution.trunk),
                "covered": sorted(member.digest for member in resolution.covered),
                "method": {"name": recipe.method.name, "parameters": recipe.method.parameters},
                "output": recipe.output.as_json(),
                "overlaps": recipe.overlaps.value,
                "ancestors": recipe.ancestors.value,
            }
        )


@dataclass(frozen=True, slots=True)
class Lock:
    """A numbered outcome of a stack; never changed. Merged, it is the version `number.0.0` of the stack."""

    stack: UUID
    number: int
    outcome: Outcome
    digest: Digest
    because: Because
    created_by: str
    created_at: datetime
    merged: UUID | None
    """The version that it became, if that is not deleted."""

    @property
    def version(self) -> VersionNumber:
        return VersionNumber(self.number, 0, 0)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An outcome that waits for somebody's word."""

    stack: UUID
    number: int
    outcome: Outcome
    digest: Digest
    because: Because
    state: ProposalState
    created_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    lock: int | None
    """The lock that it became."""
