"""Collecting: what is over goes, from the database first and from the store after.

An object goes in two steps. One transaction takes its row, under lock and only if nothing needs it and nobody leases it, and
writes that it is being deleted; then the object is deleted, and then the note. Whoever wants to place the same bytes
meanwhile waits. An object that has no row (its writer was killed) goes the same way, by its age.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID, uuid4

from app.domain.digest import Digest
from app.errors import NotReady
from app.lineage import blobs, collection, idempotency, leases, webhooks, xorbs
from app.lineage.engine import Database
from app.objects.store import ObjectStore
from app.services.xet import oldest_generation

T = TypeVar("T")

deliveries_kept_days = 30
page_size = 1_000
condemned_at_once = 16
"""Whoever uploads the same bytes again waits until so many objects are deleted, at most."""
deleting_seconds = 30.0
"""A deletion is not begun later than so long after it was noted: long before anybody takes it for abandoned."""


@dataclass(frozen=True, slots=True)
class Terms:
    """From when on things are over."""

    upload_lease: timedelta
    answers_kept: timedelta
    grace: timedelta
    """From when an object is first found unneeded, and from when a repository is deleted, until it goes."""
    cache_bytes: int
    """Of merge results that no version holds."""
    xet_generation: timedelta = timedelta(days=30)
    """What Xet clients sent is referred to in the generation in which it came, and in the next."""


class Collecting:
    def __init__(self, database: Database, store: ObjectStore, terms: Terms) -> None:
        self.database = database
        self.store = store
        self.terms = terms

    def collect(self) -> dict[str, int]:
        """How many of each were dropped. May run at several places at once.

        Raises: NotReady when database or store do not answer; what was not listed is not touched.
        """
        try:
            return self._collect(uuid4())
        except OSError as error:
            raise NotReady("object store") from error

    def _collect(self, run: UUID) -> dict[str, int]:
        # first of all: where the store cannot be listed, nothing is deleted from it
        orphans = self._orphans()
        with self.database.begin() as tx:
            uploads = blobs.expire_uploads(tx)
            dropped = {
                "uploads": len(uploads),
                "receipts": blobs.expire_receipts(tx),
                "answers": idempotency.expire(tx, self.terms.answers_kept),
                "leases": leases.expire(tx),
                "versions": collection.tombstone(tx, self.terms.grace),
                "deliveries": webhooks.expire(tx, deliveries_kept_days),
                "xorbs": xorbs.expire(tx, oldest_generation(time.time(), self.terms.xet_generation.total_seconds())),
            }
        # rows first: parts without a row are never read, a row without parts would seem to begin anew
        for upload in uploads:
            self.store.discard_upload(upload)
        # what is being written now is younger than the longest upload may last
        dropped["leftovers"] = self.store.sweep(self.terms.upload_lease.total_seconds())
        dropped["results"] = self._evict()
        self._mark()
        dropped["blobs"] = self._collect_blobs(run)
        dropped["orphans"] = self._collect_orphans(run, orphans)
        return dropped

    def _orphans(self) -> list[Digest]:
        """Objects of a certain age without a row."""
        placed_by = datetime.now(UTC) - self.terms.grace
        found: list[Digest] = []
        old = (stored.digest for stored in self.store.digests() if stored.modified_at <= placed_by)
        for digests in in_pages(old, page_size):
            with self.database.read() as tx:
                known = collection.known(tx, digests)
            found += [digest for digest in digests if digest not in known]
        return found

    def _evict(self) -> int:
        """Give up the results that were not used for longest until the others fit."""
        with self.database.read() as tx:
            results = collection.cached_results(tx)
        kept: set[str] = set()
        kept_bytes = evicted = 0
        for result in results:
            # results may share files; each lies in the store once
            kept_bytes += sum(size_bytes for digest, size_bytes in result.files if digest not in kept)
            kept |= {digest for digest, _ in result.files}
            if kept_bytes > self.terms.cache_bytes:
                with self.database.begin() as tx:
                    evicted += collection.evict(tx, result)
        return evicted

    def _mark(self) -> None:
        """Note since when each object is unneeded."""
        after = ""
        while True:
            with self.database.begin() as tx:
                digests = collection.page(tx, after, page_size)
                if not digests:
                    return
                collection.mark(tx, digests, collection.needed(tx, digests))
            after = digests[-1]

    def _collect_blobs(self, run: UUID) -> int:
        with self.database.read() as tx:
            overdue = collection.overdue(tx, self.terms.grace)
        count = 0
        for digests in in_pages(overdue, condemned_at_once):
            began = time.monotonic()
            with self.database.begin() as tx:
                condemned = collection.condemn(tx, run, digests, self.terms.grace)
            count += self._delete(run, condemned, began)
        return count

    def _collect_orphans(self, run: UUID, orphans: Iterable[Digest]) -> int:
        count = 0
        for digests in in_pages(orphans, condemned_at_once):
            began = time.monotonic()
            with self.database.begin() as tx:
                condemned = collection.condemn_orphans(tx, run, digests)
            count += self._delete(run, condemned, began)
        began = time.monotonic()
        with self.database.begin() as tx:
            abandoned = collection.take_over(tx, run)
        return count + self._delete(run, abandoned, began)

    def _delete(self, run: UUID, digests: Sequence[str], began: float) -> int:
        """Delete condemned objects; how many."""
        gone = 0
        uncertain: str | None = None
        try:
            for digest in digests:
                if time.monotonic() - began > deleting_seconds:
                    break
                uncertain = digest
                self.store.delete(Digest(digest))
                uncertain = None
                gone += 1
        finally:
            # what was not begun is an orphan from now on, and goes with those
            done = [digest for digest in digests if digest != uncertain]
            if done:
                with self.database.begin() as tx:
                    collection.finish(tx, run, done)
        return gone


def in_pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
