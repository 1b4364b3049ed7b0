"""Searching: repositories by words and by what they are, with how many there are of each kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.domain.caller import Caller
from app.domain.lineage import Kind
from app.domain.repository import Namespace, Repository
from app.errors import NotFound
from app.lineage import accounts, searching
from app.lineage.engine import Database
from app.lineage.searching import Facet, Newest, Search, most_counted
from app.services.registering import names_of_base

facet_values = 12
"""So many of each facet are shown: those that most of what was found has."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A search as people ask it."""

    q: str = ""
    kind: Kind | None = None
    namespace: str | None = None
    base_model: str | None = None
    tag: Sequence[str] = ()
    license: str | None = None
    sort: str = "updated"


@dataclass(frozen=True, slots=True)
class Entry:
    """A repository in a list, with the newest version of it that the caller may read."""

    repository: Repository
    version: str | None
    base: str | None
    """The name of its base model, or of the repository's."""
    summary: Mapping[str, Any]
    sort_key: Any


@dataclass(frozen=True, slots=True)
class Found:
    entries: Sequence[Entry]
    count: int
    is_capped: bool
    """There are more than were counted."""
    facets: Mapping[Facet, Sequence[tuple[str, int]]]


class Searching:
    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, caller: Caller, asked: Asked, after: tuple[Any, UUID] | None, limit: int) -> Found:
        """A page of what the caller may read, and the facets of all of that: nothing else is counted."""
        with self.database.read() as tx:
            wanted = Search(
                asked.q or None,
                None if asked.kind is None else asked.kind.value,
                asked.namespace,
                names_of_base(tx, asked.base_model),
                tuple(asked.tag),
                asked.license,
            )
            found = searching.find(tx, wanted, caller, sort=asked.sort, after=after, limit=limit)
            newest = searching.newest(tx, [repository.id for repository, _ in found], caller)
            count = searching.count(tx, wanted, caller)
            return Found(
                [entry_of(repository, newest.get(repository.id), key) for repository, key in found],
                min(count, most_counted),
                count > most_counted,
                {facet: searching.facet(tx, facet, wanted, caller, facet_values) for facet in Facet},
            )

    def namespace(self, caller: Caller, name: str) -> Namespace:
        """A user or an organisation: no secret among those who are signed in, and for others there as far as they may read
        something of it.

        Raises: NotFound.
        """
        with self.database.read() as tx:
            found = accounts.find_namespace(tx, name)
            if found is None or (
                caller.user_id is None and searching.count(tx, Search(namespace=found.name), caller) == 0
            ):
                raise NotFound(name)
            return found


def entry_of(repository: Repository, newest: Newest | None, key: Any) -> Entry:
    said = None if repository.base_model is None else repository.base_model.name
    if newest is None:
        return Entry(repository, None, said, {}, key)
    return Entry(repository, newest.number, newest.base or said, newest.summary, key)
