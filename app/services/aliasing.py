"""Aliases: names of versions that move, and remember."""

from app.domain.caller import Caller
from app.domain.event import EventType
from app.domain.names import RepositoryName, check_alias
from app.domain.reference import Selector
from app.domain.version import Version
from app.errors import NameExists, NotFound
from app.lineage import aliases, audit, commits, events
from app.lineage.aliases import AliasRecord
from app.lineage.engine import Database
from app.services import finding


class Aliasing:
    def __init__(self, database: Database) -> None:
        self.database = database

    def point(self, caller: Caller, name: RepositoryName, alias: str, ref: str, *, is_new: bool = False) -> Version:
        """
        Args:
            is_new: it is to be made, and not moved.

        Raises: InvalidName, InvalidReference, NotFound, Deleted, Forbidden, NameExists of a branch, or if it was to be new.
        """
        check_alias(alias)
        with self.database.begin() as tx:
            holder = finding.locked(tx, finding.writable(tx, name, caller), caller)
            is_moved = aliases.target(tx, holder.id, alias) is not None
            if (is_new and is_moved) or commits.head(tx, holder.id, alias) is not None:
                raise NameExists(f"{holder.full_name}@{alias}")
            # a full reference to this repository will do, too
            own, at, selector = ref.partition("@")
            ref = selector if at and own.lower() == holder.full_name.lower() else ref
            found = finding.version(tx, name, Selector.parse(ref), f"{name}@{ref}", caller)
            aliases.point(tx, holder.id, alias, found.id, caller.user)
            audit.record(
                tx,
                caller,
                "alias.moved",
                f"{holder.full_name}@{alias}",
                namespace=holder.namespace_id,
                version=str(found.number),
            )
            events.record(tx, EventType.ALIAS_MOVED, holder.id, found.id, alias=alias)
            return found

    def remove(self, caller: Caller, name: RepositoryName, alias: str) -> None:
        """Raises: NotFound, Deleted, Forbidden."""
        with self.database.begin() as tx:
            holder = finding.locked(tx, finding.writable(tx, name, caller), caller)
            left = aliases.remove(tx, holder.id, alias, caller.user)
            if left is None:
                raise NotFound(f"{name}@{alias}")
            audit.record(tx, caller, "alias.removed", f"{holder.full_name}@{alias}", namespace=holder.namespace_id)
            events.record(tx, EventType.ALIAS_REMOVED, holder.id, left, alias=alias)

    def aliases(self, caller: Caller, name: RepositoryName, after: str | None, limit: int) -> list[AliasRecord]:
        """By name. Raises: NotFound, Deleted."""
        with self.database.read() as tx:
            holder = finding.repository(tx, name, caller)
            return aliases.list_aliases(tx, holder.id, caller, after, limit)

    def history(
        self, caller: Caller, name: RepositoryName, alias: str, before: int | None, limit: int
    ) -> list[tuple[int, AliasRecord]]:
        """Newest first; an alias that never was has none. Raises: NotFound, Deleted."""
        with self.database.read() as tx:
            holder = finding.repository(tx, name, caller)
            found = aliases.history(tx, holder.id, alias, caller, before, limit)
            if not found and before is None:
                raise NotFound(f"{name}@{alias}")
            return found
