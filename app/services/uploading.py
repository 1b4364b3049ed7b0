"""Bytes on their way in: hashed and inspected while they stream, and known bytes exactly like unknown ones."""

from collections.abc import Iterable
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
from app.objects.store import ObjectStore, Staged


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
    def __init__(self, database: Database, store: ObjectStore, limits: Limits) -> None:
        self.database = database
        self.store = store
        self.limits = limits

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

        Raises: UploadTooLarge, DigestMismatch, SizeMismatch, StoreFull; nothing is stored then.
        """
        if declared_bytes is not None:
            self.check_size(declared_bytes)
        self._ingest(caller, digest, declared_bytes, chunks, None)

    def _ingest(
        self, caller: Caller, digest: Digest, size_bytes: int | None, chunks: Iterable[bytes], upload: UUID | None
    ) -> None:
        with self.store.stage() as staged:
            inspection = self.fill(staged, chunks)
            if size_bytes is not None and staged.size_bytes != size_bytes:
                raise SizeMismatch(size_bytes, staged.size_bytes)
            if staged.digest != digest:
                raise DigestMismatch(digest, staged.digest)
            # bytes first: a crash may orphan an object, never a row
            staged.place()
        with self.database.begin() as tx:
            blobs.record(tx, digest, inspection.size_bytes, inspection.as_json())
            blobs.grant_receipt(tx, caller.user, digest, self.limits.receipt_lease)
            if upload is not None:
                blobs.delete_upload(tx, upload)
                idempotency.note(tx, caller, digest)
            audit.record(tx, caller, "blob.uploaded", digest, namespace=caller.user, size_bytes=inspection.size_bytes)

    def begin(self, caller: Caller, digest: Digest, size_bytes: int) -> Upload:
        """A resumable upload; the caller's unfinished one of the same bytes goes on where it stopped.

        Raises: UploadTooLarge.
        """
        self.check_size(size_bytes)
        limits = self.limits
        with self.database.begin() as tx:
            found = blobs.begin_upload(
                tx, uuid4(), caller.user, digest, size_bytes, limits.part_bytes, limits.upload_lease
            )
        return self._with_parts(found)

    def _with_parts(self, found: UploadRecord) -> Upload:
        stored = self.store.parts(found.id)
        sizes = part_sizes(found.size_bytes, found.part_size_bytes)
        parts = tuple(Part(number, size, stored.get(number) == size) for number, size in enumerate(sizes, start=1))
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
        self.store.write_part(id, number, exactly(chunks, sizes[number - 1]))

    def complete(self, caller: Caller, id: UUID) -> Digest:
        """Put the parts together, hashing and inspecting them. When this returns, the caller has a receipt.

        Raises: NotFound, UploadExpired, UploadIncomplete, DigestMismatch (the parts are discarded), StoreFull.
        """
        with self.database.begin() as tx:
            if (made := idempotency.made(tx, caller)) is not None:
                return Digest(made)
        found = self._own(caller, id)
        missing = [part.number for part in self._with_parts(found).parts if not part.is_done]
        if missing:
            raise UploadIncomplete(missing)
        try:
            self._ingest(caller, found.digest, found.size_bytes, self.store.read_parts(id), id)
        except DigestMismatch:
            # no part can be told from a wrong one: only beginning again helps
            with self.database.begin() as tx:
                blobs.delete_upload(tx, id)
            self.store.discard_upload(id)
            raise
        self.store.discard_upload(id)
        return found.digest


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
