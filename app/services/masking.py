"""Names for versions, as a reader may see them: a reference, or a number that tells nothing."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from app.domain.caller import Caller
from app.errors import RegistryError
from app.lineage import graph
from app.lineage.engine import Connection


class Mask:
    """One answer's names: a hidden version has the same `hidden-n` wherever it stands in it."""

    def __init__(self, references: Mapping[UUID, str], readable: Iterable[UUID]) -> None:
        self.references = references
        self.readable = frozenset(readable)
        self.hidden: dict[UUID, dict[str, Any]] = {}

    def name(self, id: UUID) -> Any:
        """A reference, or `{"id": "hidden-1", "hidden": true}`."""
        if id in self.readable:
            return self.references[id]
        return self.hidden.setdefault(id, {"id": f"hidden-{len(self.hidden) + 1}", "hidden": True})

    def apply(self, value: Any) -> Any:
        """The value with every uuid in it named."""
        if isinstance(value, UUID):
            return self.name(value)
        if isinstance(value, Mapping):
            return {key: self.apply(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.apply(entry) for entry in value]
        return value


def uuids_in(value: Any) -> Iterator[UUID]:
    if isinstance(value, UUID):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from uuids_in(entry)
    elif isinstance(value, list | tuple | set | frozenset):
        for entry in value:
            yield from uuids_in(entry)


def mask_for(tx: Connection, ids: Iterable[UUID], caller: Caller, known: Mapping[UUID, str] | None = None) -> Mask:
    """The names of these versions in one answer to this caller; `known` are versions that have no row yet."""
    return Mask(*names_for(tx, ids, caller, known))


def names_for(
    tx: Connection, ids: Iterable[UUID], caller: Caller, known: Mapping[UUID, str] | None = None
) -> tuple[dict[UUID, str], set[UUID]]:
    """(reference of each version, those that the caller may read)."""
    known = known or {}
    references = dict(known)
    readable = set(known)
    for id, reference, is_readable in graph.names_of(tx, {id for id in ids if id not in known}, caller):
        references[id] = reference
        if is_readable:
            readable.add(id)
    return references, readable


@contextmanager
def masked(tx: Connection, caller: Caller, known: Mapping[UUID, str] | None = None) -> Iterator[None]:
    """A refusal that names versions by uuid leaves this context with the names that the caller may see."""
    try:
        yield
    except RegistryError as error:
        error.facts = mask_for(tx, uuids_in(error.facts), caller, known).apply(error.facts)
        raise
