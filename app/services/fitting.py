"""Fitting: what could stand among the layers of a merge beside those that do, and what speaks against the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.base_model import BaseModel, same_base
from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.lineage import Kind, VersionState
from app.domain.reference import Reference
from app.domain.version import Version
from app.errors import InvalidReference, Missing
from app.lineage import aliases, repositories, versions
from app.lineage.engine import Connection, Database
from app.services import finding
from app.services.registering import Registering

most_choices = 30
"""Versions of one repository that are offered in place of a layer."""


class Obstacle(StrEnum):
    """Why a version cannot be added to the layers."""

    OTHER_BASE = "other-base"
    RECALLED = "recalled"
    ALREADY_THERE = "already-there"


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer that stands already."""

    asked: str
    version: Version | None
    """None where the reference names nothing that the caller may read."""
    choices: tuple[str, ...]
    """References into the same repository, itself among them: aliases, then numbers, the newest first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    version: Version
    description: str | None
    obstacle: Obstacle | None


@dataclass(frozen=True, slots=True)
class Bench:
    """Layers, and what could be laid beside them."""

    layers: tuple[Placed, ...]
    base_model: BaseModel | None
    """Of the first layer that names one: what the others have to fit."""
    candidates: tuple[Candidate, ...]
    """Those that fit first."""


class Fitting:
    def __init__(self, database: Database, registering: Registering) -> None:
        self.database = database
        self.registering = registering

    def look(self, caller: Caller, layers: Sequence[str], q: str, limit: int) -> Bench:
        """The layers as the caller may see them, and the newest versions of repositories that `q` finds.

        A `q` that is a reference finds exactly that version.
        """
        with self.database.read() as tx:
            placed = tuple(self._placed(tx, caller, asked) for asked in layers)
            base = next(
                (found.version.base_model for found in placed if found.version and found.version.base_model), None
            )
            others = repositories.base_model_aliases(tx)
            named = living_at(tx, caller, q)
        found = [] if named is not None else self._searched(caller, q, base, limit)
        held = {layer.version.content_digest for layer in placed if layer.version is not None}
        candidates = [
            Candidate(version, description, obstacle_of(version, base, held, others))
            for version, description in ([(named, None)] if named is not None else found)
        ]
        candidates.sort(key=lambda candidate: candidate.obstacle is not None)
        return Bench(placed, base, tuple(candidates[:limit]))

    def _placed(self, tx: Connection, caller: Caller, asked: str) -> Placed:
        version = living_at(tx, caller, asked)
        if version is None:
            return Placed(asked, None, (asked,))
        offered = [
            f"{version.repository}@{record.name}"
            for record in aliases.list_aliases(tx, version.repository_id, caller, None, most_choices)
            if record.number is not None
        ]
        offered += [
            other.reference for other in versions.list_versions(tx, version.repository_id, caller, None, most_choices)
        ]
        return Placed(asked, version, tuple(dict.fromkeys([*([] if asked in offered else [asked]), *offered])))

    def _searched(self, caller: Caller, q: str, base: BaseModel | None, limit: int) -> list[tuple[Version, str | None]]:
        """Newest versions with their repositories' descriptions; those on this base before the others."""
        names = [base.name, None] if base is not None else [None]
        repositories_found = {
            repository.id: repository
            for name in names
            for repository in self.registering.search(
                caller,
                q=q,
                kind=None,
                namespace=None,
                base_model=name,
                tag=(),
                license=None,
                sort="updated",
                after=None,
                limit=limit,
            )
            if repository.kind is not Kind.MODEL
        }
        with self.database.read() as tx:
            return [
                (newest, repository.description)
                for repository in repositories_found.values()
                for newest in versions.list_versions(tx, repository.id, caller, None, 1)
            ]


def living_at(tx: Connection, caller: Caller, reference: str) -> Version | None:
    """The adapter that a text names, if it is a reference and the caller may read what it names."""
    try:
        Reference.parse(reference)
        found = finding.referenced(tx, reference, caller, "")
    except (InvalidReference, Missing):
        return None
    return None if found.kind is Kind.MODEL else found


def obstacle_of(
    version: Version, base: BaseModel | None, held: set[Digest], others: Mapping[str, str]
) -> Obstacle | None:
    """`held`: content digests of the layers; `others`: lower-case names of base models → canonical names."""
    if version.content_digest in held:
        return Obstacle.ALREADY_THERE
    if version.state is VersionState.RECALLED:
        return Obstacle.RECALLED
    if base is None or version.base_model is None:
        return None
    if same_base(base.canonical(others), version.base_model.canonical(others)):
        return None
    return Obstacle.OTHER_BASE
