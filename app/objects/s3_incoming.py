"""Bytes on their way into S3: written through this process, or sent to the store by a client and hashed here."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from botocore.exceptions import ClientError

from app.domain.digest import Digest
from app.errors import NotReady, UploadExpired
from app.objects.local_files import room_needed
from app.objects.s3_client import Spool, is_absent, pieces, spooled
from app.objects.s3_multipart import Multipart

if TYPE_CHECKING:
    from app.objects.s3 import S3Store

part_bytes = 32 << 20
"""Of what is written through this process; 10,000 of them are 312 GiB."""
parts_in_flight = 8


class S3Staged:
    """An object in the making. Up to one part it is sent when it is placed, under its digest and checked by the store;
    a larger one goes to a temporary key, part by part while it is written, and is copied from there by the store."""

    def __init__(self, store: "S3Store") -> None:
        self.store = store
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.buffer: Spool | None = None
        self.multipart: Multipart | None = None
        self.sent = 0
        self.sending: deque[Future[None]] = deque()

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self.hash.hexdigest())

    def __enter__(self) -> Self:
        self.buffer = spooled()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.buffer is None:
            return
        self.buffer.close()
        self.buffer = None
        if self.multipart is not None:
            for future in self.sending:
                future.exception()
            # what cannot be removed now is left for `sweep`
            with suppress(NotReady):
                self.multipart.abort()
                self.store.remove(self.multipart.key)

    def open_buffer(self) -> Spool:
        if self.buffer is None:
            raise ValueError(
                "nothing can be written before the context is entered, after it is left or once it is placed"
            )
        return self.buffer

    def write(self, chunk: bytes | memoryview) -> None:
        self.open_buffer()
        rest = memoryview(chunk).cast("B") if len(chunk) else memoryview(b"")
        self.hash.update(rest)
        self.size_bytes += len(rest)
        try:
            while rest:
                buffer = self.open_buffer()
                with room_needed():
                    taken = buffer.write(rest[: part_bytes - buffer.tell()])
                rest = rest[taken:]
                if buffer.tell() == part_bytes:
                    self.send(buffer, part_bytes)
                    self.buffer = spooled()
        except BaseException:
            # the hash is ahead of the parts now: nothing further may be written or placed
            self.__exit__(None, None, None)
            raise

    def send(self, buffer: Spool, size_bytes: int) -> None:
        """Begin to send a part, which closes its buffer; waits while too many are on their way."""
        if self.multipart is None:
            self.multipart = Multipart.begin(self.store.bucket, self.store.temporary_key())
        if len(self.sending) == parts_in_flight:
            self.sending.popleft().result()
        self.sent += 1
        self.sending.append(self.store.pool.submit(send_part, self.multipart, self.sent, buffer, size_bytes))

    def place(self) -> Digest:
        buffer, digest = self.open_buffer(), self.digest
        if self.multipart is None:
            self.store.put(digest, buffer, self.size_bytes)
            self.__exit__(None, None, None)
            return digest
        multipart = self.multipart
        if buffer.tell():
            self.send(buffer, buffer.tell())
        while self.sending:
            self.sending.popleft().result()
        multipart.complete(multipart.parts())
        whole = self.store.head(multipart.key)
        if whole is None:
            raise NotReady("object store")
        self.store.copy(multipart.key, whole["ETag"], digest, self.size_bytes)
        self.__exit__(None, None, None)
        return digest


def send_part(multipart: Multipart, number: int, buffer: Spool, size_bytes: int) -> None:
    with buffer:
        multipart.write(number, buffer, size_bytes)


class S3Joined:
    """The parts of an upload, put together by the store under the upload's own key when the context is entered.

    From then on no part can be added; the whole stays where it is, also when the context is left, until the upload is
    discarded: a completion that is cut off can be taken up again.
    """

    def __init__(self, store: "S3Store", key: str, upload: str) -> None:
        self.store = store
        self.key = key
        self.upload = upload
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.etag = ""
        """Of the whole, which is what is hashed and what is copied; empty for an upload without parts."""

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self.hash.hexdigest())

    def __enter__(self) -> Self:
        multipart = Multipart.find(self.store.bucket, self.key)
        if multipart is not None and (parts := multipart.parts()):
            multipart.complete(parts)
        whole = self.store.head(self.key)
        if whole is not None:
            self.etag = whole["ETag"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def chunks(self) -> Iterator[bytes]:
        if not self.etag:
            return
        try:
            body = self.store.get(self.key, IfMatch=self.etag)
        except ClientError as error:
            if is_absent(error):
                raise UploadExpired(self.upload) from error
            raise
        for chunk in pieces(body):
            self.hash.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    def place(self) -> Digest:
        digest = self.digest
        if self.etag:
            self.store.copy(self.key, self.etag, digest, self.size_bytes)
        else:
            with spooled() as nothing:
                self.store.put(digest, nothing, 0)
        return digest
