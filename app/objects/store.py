"""What every object store can do: immutable bytes under their digest, and the parts of unfinished uploads.

A store decides nothing: whether an object is wanted, who may read it and whether a name is taken is the database's
affair. Every method may be called from any thread; one `Staged` belongs to one thread. Two processes may share a store.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit
from uuid import UUID

from app.domain.digest import Digest
from app.errors import MalformedRequest

chunk_bytes = 1 << 20
"""Reading yields at most this many bytes at a time."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as a listing shows it."""

    digest: Digest
    size_bytes: int
    modified_at: datetime
    """When it was last placed, in UTC by the store's clock."""


class Staged(Protocol):
    """Bytes on their way in: hashed as they are written, invisible until they are placed.

    Leaving the context without `place` removes them. After `place`, or outside the context, writing is an error
    (ValueError); placing twice too. A process that is killed leaves a leftover that `sweep` removes, never an object.
    """

    @property
    def digest(self) -> Digest:
        """Of what was written so far."""

    @property
    def size_bytes(self) -> int:
        """Of what was written so far."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append. Raises: StoreFull."""

    def place(self) -> Digest:
        """Make the bytes durable and visible under their digest; when this returns they survive a power loss.

        An object that is there already is written again and its `modified_at` is then now: a collection that judges by
        age does not take it from under the caller. Raises: StoreFull.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ByteStore(Protocol):
    """Objects read and written by digest: all that whoever carries a merge out needs of a store.

    Reading gives what is stored and does not hash it: who reads a whole object compares the digest.
    """

    def size(self, digest: Digest) -> int | None:
        """In bytes; None when the object is not there."""

    def read(self, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` on, at most `length` of them, in chunks of 1 byte to 1 MiB whose borders mean nothing.

        A range is cut at the end of the object: one beyond it gives no chunk. A negative number is a ValueError.
        Deleting the object while it is read may or may not cut the reading short.
        Raises: BlobDamaged when the object is not there: at the call, before the first chunk.
        """

    def read_into(self, digest: Digest, start: int, buffer: memoryview) -> None:
        """Fill the whole of `buffer` (contiguous, writable) with the bytes from `start` on.

        Raises: BlobDamaged when the object is not there or ends too early; what the buffer then holds is undefined.
        """

    def stage(self) -> Staged:
        """Begin to write an object; nothing is made before its context is entered."""


class ObjectStore(ByteStore, Protocol):
    """Where the bytes lie. Not promised: the order of listings, and whether a listing shows what changes while it runs."""

    def delete(self, digest: Digest) -> bool:
        """Whether it was there. Its bytes are gone for every reader that begins later."""

    def digests(self) -> Iterator[StoredObject]:
        """Every object. Raises OSError when any part of the store cannot be listed: a collection then stops."""

    def write_part(self, upload: UUID, number: int, chunks: Iterable[bytes]) -> int:
        """Store one part (`number` ≥ 1) of an upload and return its size in bytes; durable when this returns.

        Atomic: an earlier part of that number stays until the new one is whole, for good when `chunks` raises.
        Raises: StoreFull; UploadExpired when the upload was discarded while the part was written.
        """

    def parts(self, upload: UUID) -> dict[int, int]:
        """Size in bytes by part number, ascending; empty for an upload that was never written to."""

    def read_parts(self, upload: UUID) -> Iterator[bytes]:
        """The bytes of all parts in the order of their numbers; gaps in the numbers are not noticed here.

        What is read while a part is replaced or discarded is undefined.
        """

    def discard_upload(self, upload: UUID) -> None:
        """Remove the parts; an unknown upload is nothing to remove."""

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what killed processes left half written and nobody touched for that long; how many there were."""

    def probe(self) -> list[str]:
        """What the store lacks to keep its promises, as sentences for the operator; empty when all is well.

        Writes, reads and removes an object of its own.
        """


def open_store(url: str) -> ObjectStore:
    """The store behind a URL: `file:///absolute/folder`, which is made when it is not there.

    Raises: MalformedRequest for another scheme or a relative folder, OSError when the folder cannot be made.
    """
    # here, not above: only the store that is chosen is loaded, with the libraries it needs
    from app.objects.local import LocalStore

    address = urlsplit(url)
    if address.scheme != "file":
        raise MalformedRequest(f"no object store for the scheme {address.scheme!r}: use file:///absolute/folder")
    if address.netloc not in ("", "localhost") or not address.path.startswith("/") or address.query or address.fragment:
        raise MalformedRequest("an object store's folder is absolute and percent-encoded: file:///absolute/folder")
    return LocalStore(Path(unquote(address.path)))
