"""Bytes on their way in: hashed and inspected while they stream, and known bytes exactly like unknown ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.caller import Caller
from app.domain.digest import Digest
from app.errors import DigestMismatch, NotFound, SizeMismatch, UploadExpired, UploadIncomplete, UploadTooLarge
from app.formats.inspection import Inspection, Inspector
from app.lineage import audit, blobs, idempotency
from app.lineage.blobs import UploadRecord
from app.lineage.engine import Database
from app.objects.store import Incoming, ObjectStore, Staged
from app.services.holding import Holding


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes and seconds, from the settings."""

    upload_bytes: int
    part_bytes: int
    upload_lease: timedelta
    receipt_lease: timedelta


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    size_bytes: int
    is_done: bool
    url: str | None
    """Where the store itself takes the part; None: this server does, or it is there already."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts, and which of them have arrived."""

    id: UUID
    digest: Digest
    size_bytes: int
    part_size_bytes: int
    parts: tuple[Part, ...]
    expires_at: datetime


class Uploading:
    def __init__(self, database: Database, store: ObjectStore, limits: Limits, holding: Holding) -> None:
        self.database = database
        self.store = store
        self.limits = limits
        self.holding = holding

    def check_size(self, size_bytes: int) -> None:
        """Raises: UploadTooLarge."""
        if size_bytes > self.limits.upload_bytes:
            raise UploadTooLarge(self.limits.upload_bytes, size_bytes)

    def fill(self, staged: Staged, chunks: Iterable[bytes]) -> Inspection:
        """Write, hash and inspect in one pass. Raises: UploadTooLarge, StoreFull."""
        inspector = Inspector()
        for chunk in chunks:
            self.check_size(staged.size_bytes + len(chunk))
            staged.write(chunk)
            inspector.feed(chunk)
        return inspector.finish()

    def receive(self, caller: Caller, digest: Digest, chunks: Iterable[bytes], declared_bytes: int | None) -> None:
        """A whole blob. When this returns, the caller has a receipt for it.

        Raises: UploadTooLarge, QuotaExceeded, DigestMismatch, SizeMismatch, StoreFull, BeingCollected; nothing is stored then.
        """
        if declared_bytes is not None:
            self.check_size(declared_bytes)
            self.holding.check_room(caller.user, {digest: declared_bytes})
        with self.store.stage() as staged:
            inspection = self.fill(staged, chunks)
            self._place(caller, staged, digest, declared_bytes, inspection, None)

    def _place(
        self,
        caller: Caller,
        incoming: Incoming,
        digest: Digest,
        size_bytes: int | None,
        inspection: Inspection,
        upload: UUID | None,
    ) -> None:
        """Bytes first, and their row after: a crash may orphan an object, never a row.

        Raises: SizeMismatch, DigestMismatch, QuotaExceeded, StoreFull, BeingCollected.
        """
        if size_bytes is not None and incoming.size_bytes != size_bytes:
            raise SizeMismatch(size_bytes, incoming.size_bytes)
        if incoming.digest != digest:
            raise DigestMismatch(digest, incoming.digest)
        sizes: dict[str, int] = {digest: incoming.size_bytes}
        with self.holding.held(sizes, caller.user) as holder:
            incoming.place()
            self._record(caller, digest, inspection, upload, holder)

    def _record(
        self, caller: Caller, digest: Digest, inspection: Inspection, upload: UUID | None, holder: UUID
    ) -> None:
        with self.database.begin() as tx:
            self.holding.release(tx, holder, {digest: inspection.size_bytes})
            blobs.record(tx, digest, inspection.size_bytes, inspection.as_json())
            blobs.grant_receipt(tx, caller.user, digest, self.limits.receipt_lease)
            if upload is not None:
                blobs.delete_upload(tx, upload)
                idempotency.note(tx, caller, digest)
            audit.record(tx, caller, "blob.uploaded", digest, namespace=caller.user, size_bytes=inspection.size_bytes)

    def begin(self, caller: Caller, digest: Digest, size_bytes: int) -> Upload:
        """A resumable upload; the caller's unfinished one of the same bytes goes on where it stopped.

        Raises: UploadTooLarge, QuotaExceeded.
        """
        self.check_size(size_bytes)
        limits = self.limits
        part_bytes = max(limits.part_bytes, self.store.least_part_bytes(size_bytes))
        row = caller.user, digest, size_bytes, part_bytes, limits.upload_lease
        with self.database.begin() as tx:
            id = blobs.begin_upload(tx, uuid4(), *row).id
            # all of it is reserved from here on: what is begun can be completed
            self.holding.claim_room(tx, caller.user)
        # apart: whoever else begins an upload does not wait for the store
        with self.database.begin() as tx:
            found = blobs.begin_upload(tx, id, *row)
            # while the row is locked: of several who begin the same upload the store sees one after the other
            self.store.begin_upload(found.id)
        return self._with_parts(found)

    def _missing(self, found: UploadRecord) -> dict[int, int]:
        """The sizes of the parts that are not there, by number."""
        sizes = part_sizes(found.size_bytes, found.part_size_bytes)
        return {number: sizes[number - 1] for number in self.store.missing_parts(found.id, sizes)}

    def _with_parts(self, found: UploadRecord) -> Upload:
        missing = self._missing(found)
        urls: Mapping[int, str] = {}
        if missing:
            # an address is good for this part of this upload alone, and no longer than its lease
            seconds = int(self.limits.upload_lease.total_seconds())
            urls = self.store.presign_parts(found.id, missing, seconds) or {}
        sizes = part_sizes(found.size_bytes, found.part_size_bytes)
        parts = tuple(
            Part(number, size, number not in missing, urls.get(number)) for number, size in enumerate(sizes, start=1)
        )
        return Upload(found.id, found.digest, found.size_bytes, found.part_size_bytes, parts, found.expires_at)

    def _own(self, caller: Caller, id: UUID) -> UploadRecord:
        with self.database.read() as tx:
            found = blobs.find_upload(tx, id, caller.user)
        if found is None:
            raise NotFound(f"upload {id}")
        if found.is_expired:
            raise UploadExpired(str(id))
        return found

    def get(self, caller: Caller, id: UUID) -> Upload:
        """Raises: NotFound, UploadExpired."""
        return self._with_parts(self._own(caller, id))

    def receive_part(self, caller: Caller, id: UUID, number: int, chunks: Iterable[bytes]) -> None:
        """One part, whole and durable when this returns; sending it again replaces it.

        Raises: NotFound, UploadExpired, SizeMismatch, StoreFull.
        """
        found = self._own(caller, id)
        sizes = part_sizes(found.size_bytes, found.part_size_bytes)
        if not 1 <= number <= len(sizes):
            raise NotFound(f"part {number} of upload {id}")
        start = (number - 1) * found.part_size_bytes
        chunks = exactly(chunks, sizes[number - 1])
        try:
            self.store.write_part(id, number, start, chunks)
        except UploadExpired:
            # a completion, also one that was cut off, closes the parts; a client that cannot ask which are there sends all of
            # them before it completes again, and then all is hashed
            if number in self._missing(self._own(caller, id)):
                raise
            for _ in chunks:
                pass

    def complete(self, caller: Caller, id: UUID) -> Digest:
        """Put the parts together, hashing and inspecting them. When this returns, the caller has a receipt.

        Parts that went straight to the store pass through here once, to be read; the store copies them into place.

        Raises: NotFound, UploadExpired, UploadIncomplete, DigestMismatch (the parts are discarded), StoreFull,
        QuotaExceeded (the quota was lowered meanwhile), BeingCollected.
        """
        if (made := self._made(caller)) is not None:
            return made
        try:
            return self._complete(caller, id)
        except (NotFound, SizeMismatch, UploadExpired, UploadIncomplete):
            # the same request, sent twice, may have been done meanwhile, and then nothing is left of the upload
            if (made := self._made(caller)) is not None:
                return made
            raise

    def _made(self, caller: Caller) -> Digest | None:
        with self.database.begin() as tx:
            made = idempotency.made(tx, caller)
        return None if made is None else Digest(made)

    def _complete(self, caller: Caller, id: UUID) -> Digest:
        found = self._own(caller, id)
        if missing := self._missing(found):
            raise UploadIncomplete(sorted(missing))
        try:
            with self.store.join(id) as joined:
                inspection = inspected(joined.chunks())
                self._place(caller, joined, found.digest, found.size_bytes, inspection, id)
        except DigestMismatch:
            # no part can be told from a wrong one: only beginning again helps
            with self.database.begin() as tx:
                blobs.delete_upload(tx, id)
            self.store.discard_upload(id)
            raise
        self.store.discard_upload(id)
        return found.digest


def inspected(chunks: Iterable[bytes]) -> Inspection:
    inspector = Inspector()
    for chunk in chunks:
        inspector.feed(chunk)
    return inspector.finish()


def part_sizes(size_bytes: int, part_bytes: int) -> list[int]:
    """All parts are of one size but the last; an empty file has none."""
    whole, rest = divmod(size_bytes, part_bytes)
    return [part_bytes] * whole + ([rest] if rest else [])


def exactly(chunks: Iterable[bytes], size_bytes: int) -> Iterable[bytes]:
    """The chunks, if they are so many bytes together. Raises: SizeMismatch, before a byte too many is passed on."""
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size_bytes:
            raise SizeMismatch(size_bytes, seen)
        yield chunk
    if seen != size_bytes:
        raise SizeMismatch(size_bytes, seen)
