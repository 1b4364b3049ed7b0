"""Holding: what may be placed in the store, for whom, and what collection leaves alone until its rows are written."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID, uuid4

from app.errors import BeingCollected, NotReady, QuotaExceeded
from app.lineage import leases, usage
from app.lineage.engine import Connection, Database

patience_seconds = 10.0
"""So long a deletion of the same object is waited for; it takes milliseconds, unless its collection has died."""


class Holding:
    def __init__(self, database: Database, *, lease: timedelta, namespace_bytes: int | None) -> None:
        """
        Args:
            lease: longer than it takes to place an object and write its row; of a merge, from its first object to its end.
            namespace_bytes: what one namespace may hold; None is no limit.
        """
        self.database = database
        self.lease = lease
        self.namespace_bytes = namespace_bytes

    def check_room(self, namespace: UUID, sizes: Mapping[str, int]) -> None:
        """Before anything is received: whether it would fit now. Raises: QuotaExceeded."""
        if self.namespace_bytes is not None:
            with self.database.read() as tx:
                self._check(usage.of(tx, namespace, sizes))

    def claim_room(self, tx: Connection, namespace: UUID, sizes: Mapping[str, int] | None = None) -> None:
        """That what the transaction has added to a namespace fits, with these (bytes by digest) beside it; nobody else
        adds to it until the transaction ends. After every other lock.

        Raises: QuotaExceeded.
        """
        if self.namespace_bytes is not None:
            usage.lock(tx, namespace)
            self._check(usage.of(tx, namespace, sizes or {}))

    def _check(self, found_bytes: int) -> None:
        if self.namespace_bytes is not None and found_bytes > self.namespace_bytes:
            raise QuotaExceeded(self.namespace_bytes, found_bytes)

    def hold(self, holder: UUID, sizes: Mapping[str, int], namespace: UUID | None) -> None:
        """Lease objects (bytes by digest) before they are placed; a deletion that is under way is waited for.

        Args:
            namespace: who pays for them until they have rows; None: nobody.

        Raises: QuotaExceeded, BeingCollected.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            with self.database.begin() as tx:
                if namespace is not None:
                    self.claim_room(tx, namespace, sizes)
                going = leases.take(tx, holder, sizes, namespace, self.lease)
            if going is None:
                return
            if time.monotonic() > deadline:
                raise BeingCollected(going)
            time.sleep(0.02)

    @contextmanager
    def held(self, sizes: Mapping[str, int], namespace: UUID | None) -> Iterator[UUID]:
        """Holds objects while they are placed and recorded; whoever records them calls `release`.

        Raises: QuotaExceeded, BeingCollected.
        """
        holder = uuid4()
        self.hold(holder, sizes, namespace)
        try:
            yield holder
        except BaseException:
            # where this fails too the lease ends by itself
            with suppress(NotReady), self.database.begin() as tx:
                leases.end(tx, holder)
            raise

    def release(self, tx: Connection, holder: UUID, placed: Mapping[str, int]) -> None:
        """In the transaction that records what was placed. Raises: BeingCollected if a lease ended too early."""
        for digest in placed.keys() - leases.end(tx, holder):
            raise BeingCollected(digest)
