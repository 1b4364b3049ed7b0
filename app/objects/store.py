"""What every object store can do: immutable bytes under their digest, and the parts of unfinished uploads.

A store decides nothing: whether an object is wanted, who may read it and whether a name is taken is the database's
affair. Every method may be called from any thread; one `Staged` belongs to one thread. Two processes may share a store.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self
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


@dataclass(frozen=True, slots=True)
class S3Options:
    """What a bucket's URL does not say. What is None comes from boto3's own chain: variables, files, the instance's role."""

    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    """Where clients reach the same store; None: at `endpoint_url`."""
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    addressing_style: Literal["path", "virtual"] = "path"
    is_direct: bool = True
    """Whether clients may be sent to the store with signed addresses."""


class Incoming(Protocol):
    """Bytes on their way in: hashed as they pass, invisible until they are placed."""

    @property
    def digest(self) -> Digest:
        """Of what has passed so far."""

    @property
    def size_bytes(self) -> int:
        """Of what has passed so far."""

    def place(self) -> Digest:
        """Make the bytes durable and visible under their digest; when this returns they survive a power loss.

        An object that is there already is written again and its `modified_at` is then now: a collection that judges by
        age does not take it from under the caller. Raises: StoreFull.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Staged(Incoming, Protocol):
    """Bytes that are written here.

    Leaving the context without `place` removes them. After `place`, or outside the context, writing is an error
    (ValueError); placing twice too. A process that is killed leaves a leftover that `sweep` removes, never an object.
    """

    def write(self, chunk: bytes | memoryview) -> None:
        """Append. Raises: StoreFull."""


class Joined(Incoming, Protocol):
    """The parts of an upload as one; they stay until the upload is discarded, placed or not."""

    def chunks(self) -> Iterator[bytes]:
        """All bytes in the order of the parts' numbers, once, to be read to the end before `place`; gaps in the numbers
        are not noticed here. Undefined when a part is replaced or discarded meanwhile."""


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

    @property
    def origin(self) -> str | None:
        """Scheme, host and port of the addresses that are presigned; None where none are."""

    def delete(self, digest: Digest) -> bool:
        """Whether it was there. Its bytes are gone for every reader that begins later."""

    def digests(self) -> Iterator[StoredObject]:
        """Every object. Raises OSError or NotReady when any part cannot be listed: a collection then stops."""

    def least_part_bytes(self, size_bytes: int) -> int:
        """The smallest part, the last aside, that the store takes in an upload of this size."""

    def begin_upload(self, upload: UUID) -> None:
        """Before its first part, and by one caller at a time; one that was begun already goes on where it is."""

    def write_part(self, upload: UUID, number: int, start: int, chunks: Iterable[bytes]) -> int:
        """Store one part (`number` ≥ 1) of an upload and return its size in bytes; durable when this returns.

        `start` is where it begins in the whole, in bytes: after all parts of lower numbers. An earlier part of that number
        stays until all of the new one has come, for good when `chunks` raises; a process that dies after that may leave
        neither. Several that write one part at once mix their bytes, unless these are the same.
        Raises: StoreFull; UploadExpired when the upload was discarded while the part was written, or never begun.
        """

    def presign_parts(self, upload: UUID, sizes: Mapping[int, int], seconds: int) -> Mapping[int, str] | None:
        """By number, where a client may PUT the parts of these sizes (in bytes) itself, for so long.

        None: nowhere but through the server, that is by `write_part`. Raises: UploadExpired, as there.
        """

    def missing_parts(self, upload: UUID, sizes: Sequence[int]) -> list[int]:
        """The numbers of those parts, from 1 on and of these sizes in bytes, that are not there in their size."""

    def join(self, upload: UUID) -> Joined:
        """Begin to take in an upload whose parts are all there. In its context, and after it, no part may be written."""

    def discard_upload(self, upload: UUID) -> None:
        """Remove the parts, put together or not; an unknown upload is nothing to remove."""

    def presign_get(self, digest: Digest, disposition: str, seconds: int) -> str | None:
        """Where a client may GET an object itself, for so long; `disposition` is the Content-Disposition of the answer.

        None: nowhere but through the server. Not checked: whether the object is there.
        """

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what killed processes left half written and nobody touched for that long; how many there were."""

    def ping(self) -> None:
        """Raises: NotReady, or OSError, when the store does not answer."""

    def probe(self) -> list[str]:
        """What the store lacks to keep its promises, as sentences for the operator; empty when all is well.

        Writes, reads and removes an object of its own.
        """


def open_store(url: str, s3: S3Options | None = None) -> ObjectStore:
    """The store behind a URL: `file:///absolute/folder`, which is made when it is not there, or `s3://bucket/prefix`.

    Raises: MalformedRequest for another scheme, a relative folder or no bucket; OSError when the folder cannot be made.
    """
    # here, not above: only the store that is chosen is loaded, with the libraries it needs
    address = urlsplit(url)
    if address.scheme == "s3":
        from app.objects.s3 import S3Store

        if not address.netloc or "@" in address.netloc or ":" in address.netloc or address.query or address.fragment:
            raise MalformedRequest("a bucket is named by s3://bucket/prefix; its address and keys are settings")
        return S3Store(address.netloc, unquote(address.path), s3 or S3Options())
    if address.scheme != "file":
        raise MalformedRequest(
            f"no object store for the scheme {address.scheme!r}: use file:///… or s3://bucket/prefix"
        )
    if address.netloc not in ("", "localhost") or not address.path.startswith("/") or address.query or address.fragment:
        raise MalformedRequest("an object store's folder is absolute and percent-encoded: file:///absolute/folder")
    from app.objects.local import LocalStore

    return LocalStore(Path(unquote(address.path)))
