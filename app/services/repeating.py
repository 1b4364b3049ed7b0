"""A request that was sent twice is done once: answers are kept by the caller's Idempotency-Key."""

from datetime import timedelta

from app.domain.caller import Caller
from app.errors import IdempotencyKeyReused, RequestInProgress
from app.lineage import idempotency
from app.lineage.engine import Database
from app.lineage.idempotency import KeptAnswer

abandoned_after = timedelta(seconds=2)
"""A first request that has not been answered for so long has most likely died with its server; the same request may begin
again. Nothing is made twice if it lives: `idempotency.made` lets them in one after the other."""


class Repeating:
    def __init__(self, database: Database) -> None:
        self.database = database

    def begin(self, caller: Caller, key: str, fingerprint: bytes) -> KeptAnswer | None:
        """None if this is the first time: then `keep` or `release` ends it. Else the answer that was given then.

        Raises: IdempotencyKeyReused, RequestInProgress.
        """
        with self.database.begin() as tx:
            kept = idempotency.reserve(tx, caller.user, key, fingerprint, abandoned_after)
        if kept is None:
            return None
        if kept.fingerprint != fingerprint:
            raise IdempotencyKeyReused(key)
        if kept.status is None:
            raise RequestInProgress(key)
        return kept

    def keep(self, caller: Caller, key: str, status: int, location: str | None, body: bytes) -> None:
        with self.database.begin() as tx:
            idempotency.keep(tx, caller.user, key, status, location, body)

    def release(self, caller: Caller, key: str) -> None:
        with self.database.begin() as tx:
            idempotency.release(tx, caller.user, key)
