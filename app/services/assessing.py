"""Impact: who is concerned when a version turns out to be bad."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.domain.reference import Selector
from app.lineage import impact
from app.lineage.engine import Connection, Database
from app.lineage.graph import Reached
from app.services import finding

most_affected = 1_000
"""Descendants that an answer takes into account, and of anything that it counts; with more of them it says "at least"."""


class Affected(StrEnum):
    DESCENDANTS = "descendants"
    STACKS = "stacks"
    """Whose last lock names the version, or a descendant."""
    LOCKS = "locks"
    MERGES = "merges"
    """The caller's own."""
    ALIASES = "aliases"


@dataclass(frozen=True, slots=True)
class Count:
    count: int
    is_capped: bool
    """There are at least so many."""


@dataclass(frozen=True, slots=True)
class Impact:
    reference: str
    digest: str
    counts: dict[Affected, Count]
    items: list[dict[str, Any]]
    """A page of what was asked for; each with the `key` behind which the next one begins."""


Lister = Callable[[Connection, Reached, Caller, tuple[Any, ...] | None, int], list[dict[str, Any]]]
listers: dict[Affected, Lister] = {
    Affected.DESCENDANTS: impact.versions,
    Affected.STACKS: impact.stacks,
    Affected.LOCKS: impact.locks,
    Affected.MERGES: impact.merges,
    Affected.ALIASES: impact.aliases,
}


def plain(value: Any) -> str:
    """A text that the database can compare with. Raises: ValueError."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


keys: dict[Affected, Callable[[Any], tuple[Any, ...]]] = {
    Affected.DESCENDANTS: lambda value: (datetime.fromisoformat(value[0]), UUID(value[1])),
    Affected.STACKS: lambda value: (plain(value[0]),),
    Affected.LOCKS: lambda value: (plain(value[0]), int(value[1])),
    Affected.MERGES: lambda value: (datetime.fromisoformat(value[0]), UUID(value[1])),
    Affected.ALIASES: lambda value: (plain(value[0]), plain(value[1])),
}
"""What a cursor holds, by list. Raises: ValueError, TypeError, LookupError."""


class Assessing:
    def __init__(self, database: Database) -> None:
        self.database = database

    def impact(
        self,
        caller: Caller,
        name: RepositoryName,
        ref: str,
        of: Affected,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> Impact:
        """What contains a version or stands on it, of what the caller may read; nothing is told of the rest.

        Raises: InvalidReference, NotFound, Deleted (the repository).
        """
        with self.database.read() as tx:
            # a deleted version is still held by others
            root = finding.tombstone_or_version(tx, name, Selector.parse(ref), f"{name}@{ref}", caller)
            found = impact.affected(tx, root.id, caller, most_affected + 1)
            counts = {Affected.DESCENDANTS: Count(found.count - 1, found.is_more)}
            for kind, (count, is_capped) in impact.counts(tx, found, caller, most_affected).items():
                counts[Affected(kind)] = Count(count, is_capped or found.is_more)
            return Impact(root.reference, root.digest, counts, listers[of](tx, found, caller, after, limit))
