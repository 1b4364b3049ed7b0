"""Recalls: a version is pulled out with all that holds it or stands on it; and put back, exactly."""

from datetime import datetime
from uuid import UUID, uuid4

from app.domain.caller import Caller
from app.domain.recall import Recall, Severity
from app.domain.reference import Reference
from app.errors import AlreadyRecalled, Forbidden, NotFound
from app.lineage import audit, recalls
from app.lineage.engine import Connection, Database
from app.services import finding


class Recalling:
    def __init__(self, database: Database) -> None:
        self.database = database

    def recall(self, caller: Caller, version: str, reason: str, severity: Severity) -> Recall:
        """Recall a version that the caller may write, a deleted one too. What it reaches is told to those who own it, and
        to the caller only where they may read it.

        Raises: InvalidReference, NotFound, Deleted (the repository), Forbidden, AlreadyRecalled.
        """
        id = uuid4()
        with self.database.begin() as tx:
            recalls.freeze_lineage(tx)
            asked = Reference.parse(version, "/version")
            found = finding.tombstone_or_version(
                tx, asked.repository, asked.selector, version, caller, "/version", to_delete=True
            )
            if not caller.may_write(found.namespace_id):
                raise Forbidden("recall", found.reference)
            if not recalls.insert_recall(tx, id, found.id, reason, severity, caller.user):
                raise AlreadyRecalled(found.reference)
            recalls.mark(tx, id, found.id)
            recalls.cancel_merges(tx, id)
            recalls.pull_out(tx, id, caller)
            audit.record(
                tx,
                caller,
                "recall.created",
                found.reference,
                namespace=found.namespace_id,
                recall=str(id),
                reason=reason,
                severity=severity.value,
            )
            return self._own(tx, caller, id)

    def undo(self, caller: Caller, id: UUID) -> None:
        """Every version and every alias is what it would be had the recall never been; merges that it cancelled stay cancelled.

        Raises: NotFound, Forbidden.
        """
        with self.database.begin() as tx:
            recalls.freeze_lineage(tx)
            found = self._own(tx, caller, id)
            if not caller.may_write(found.namespace):
                raise Forbidden("undo the recall of", found.reference)
            if found.undone_at is not None:
                return
            recalls.put_back(tx, id, caller)
            audit.record(tx, caller, "recall.undone", found.reference, namespace=found.namespace, recall=str(id))

    def _own(self, tx: Connection, caller: Caller, id: UUID) -> Recall:
        found = recalls.find(tx, id, caller)
        if found is None:
            raise NotFound(f"recall {id}")
        return found

    def get(self, caller: Caller, id: UUID) -> Recall:
        """Raises: NotFound."""
        with self.database.read() as tx:
            return self._own(tx, caller, id)

    def recalls(
        self, caller: Caller, active: bool | None, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Recall]:
        """Of versions that the caller may read, newest first."""
        with self.database.read() as tx:
            return recalls.list_recalls(tx, caller, active=active, after=after, limit=limit)
