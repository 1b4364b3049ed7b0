"""The audit log, for those whose namespace an event is about."""

from datetime import datetime
from uuid import UUID

from app.domain.caller import Caller, MemberRole
from app.lineage import audit
from app.lineage.audit import AuditEvent
from app.lineage.engine import Database


class Auditing:
    def __init__(self, database: Database) -> None:
        self.database = database

    def events(
        self, caller: Caller, action: str | None, subject: str | None, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[AuditEvent]:
        """Newest first: of the namespaces that the caller owns; for an administrator, all."""
        owned = [namespace for namespace, role in caller.roles.items() if role is MemberRole.OWNER]
        with self.database.read() as tx:
            return audit.events(
                tx, None if caller.is_admin else owned, action=action, subject=subject, before=before, limit=limit
            )
