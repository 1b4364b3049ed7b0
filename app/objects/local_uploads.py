"""Unfinished uploads in a folder: the parts lie where they belong in one file, which becomes the object without being copied.

    <uploads>/<uuid>/whole             the bytes
    <uploads>/<uuid>/<number>-<bytes>  says that a part is in it, all of it, and durable

Whoever writes a part holds a shared lock of the file, whoever joins the parts the only one; once the file has the name of an
object too, no part can be written into it. A part that is there already is received apart and then put in its place.
"""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from app.domain.digest import Digest
from app.errors import NotReady, UploadExpired
from app.objects.local_files import make_durable, pieces, room_needed
from app.objects.store import chunk_bytes

if TYPE_CHECKING:
    from app.objects.local import LocalStore

whole_name = "whole"
part_name = re.compile(r"([0-9]+)-([0-9]+)")
upload_name = re.compile(r"[0-9a-f]{32}")
straggler_seconds = 90.0
"""So long joining waits for somebody who is still sending a part a second time; their patience is a setting, and shorter."""


def parts_in(folder: Path) -> dict[int, int]:
    """Size in bytes by part number, ascending; a file with another name is no part."""
    try:
        found = [part_name.fullmatch(entry.name) for entry in os.scandir(folder)]
    except FileNotFoundError:
        return {}
    return dict(sorted((int(match[1]), int(match[2])) for match in found if match is not None))


def check_is_file(path: Path, descriptor: int) -> None:
    """Raises: UploadExpired where the path does not lead to the file any more that was opened there."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UploadExpired(path.parent.name) from error
    if not os.path.samestat(status, os.fstat(descriptor)):
        raise UploadExpired(path.parent.name)


@contextmanager
def writable(path: Path, upload: str) -> Iterator[int]:
    """The file's descriptor, shared with others who write parts. Raises: UploadExpired when it is no place for parts any more."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadExpired(upload) from error
        # none: it was discarded; two: it is an object
        if os.fstat(descriptor).st_nlink != 1:
            raise UploadExpired(upload)
        yield descriptor
    finally:
        os.close(descriptor)


def put(descriptor: int, start: int, chunks: Iterable[bytes]) -> int:
    """Write chunks from `start` on. Returns: how many bytes. Raises: StoreFull."""
    place = start
    for chunk in chunks:
        rest = memoryview(chunk)
        with room_needed():
            while rest:
                count = os.pwrite(descriptor, rest, place)
                place += count
                rest = rest[count:]
    return place - start


def write_part(store: "LocalStore", folder: Path, number: int, start: int, chunks: Iterable[bytes]) -> int:
    """As the protocol says. Raises: StoreFull, UploadExpired."""
    store.make_folder(folder)
    whole = folder / whole_name
    try:
        with writable(whole, folder.name) as descriptor:
            size = parts_in(folder).get(number)
            if size is None:
                size_bytes = put(descriptor, start, chunks)
            else:
                with store.stage() as staged:
                    for chunk in chunks:
                        staged.write(chunk)
                    # what is there is given up only now that all of the new one has come
                    (folder / f"{number}-{size}").unlink(missing_ok=True)
                    make_durable(folder)
                    with open(staged.path, "rb", buffering=0) as received:
                        size_bytes = put(descriptor, start, pieces(received, None))
            with room_needed():
                os.fsync(descriptor)
                # the upload may have been discarded meanwhile, and begun anew
                check_is_file(whole, descriptor)
                marker = folder / f"{number}-{size_bytes}"
                os.close(os.open(marker, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                make_durable(folder)
                try:
                    check_is_file(whole, descriptor)
                except UploadExpired:
                    # it may lie among the parts of the new one
                    marker.unlink(missing_ok=True)
                    raise
    except FileNotFoundError as error:
        raise UploadExpired(folder.name) from error
    return size_bytes


class JoinedParts:
    """The parts of an upload as one: read and hashed where they lie, and given the name of an object there."""

    def __init__(self, store: "LocalStore", folder: Path) -> None:
        self.store = store
        self.upload = folder.name
        self.path = folder / whole_name
        self.total_bytes = sum(parts_in(folder).values())
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.descriptor: int | None = None

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self.hash.hexdigest())

    def __enter__(self) -> Self:
        """Raises: NotReady if somebody goes on writing a part, UploadExpired if the upload is discarded meanwhile."""
        if self.total_bytes:
            with self.still_there():
                self.descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self.wait_for_writers(self.descriptor)
                # somebody else may have joined the parts while this one waited
                check_is_file(self.path, self.descriptor)
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    @contextmanager
    def still_there(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise UploadExpired(self.upload) from error

    def wait_for_writers(self, descriptor: int) -> None:
        deadline = time.monotonic() + straggler_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise NotReady("object store") from error
                time.sleep(0.02)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def chunks(self) -> Iterator[bytes]:
        while self.descriptor is not None and self.size_bytes < self.total_bytes:
            wanted = min(chunk_bytes, self.total_bytes - self.size_bytes)
            chunk = os.pread(self.descriptor, wanted, self.size_bytes)
            if not chunk:
                return
            self.hash.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    def place(self) -> Digest:
        digest = self.digest
        if self.descriptor is None:
            with self.store.stage() as nothing:
                return nothing.place()
        target, link = self.store.path_of(digest), self.store.temporaries / uuid4().hex
        self.store.make_folder(target.parent)
        with room_needed():
            os.ftruncate(self.descriptor, self.total_bytes)
            # the age of an object counts from its placing
            os.utime(self.descriptor)
            os.fsync(self.descriptor)
            # a second name, for a completion that is cut off here to find all parts again
            with self.still_there():
                os.link(self.path, link)
            os.rename(link, target)
            # it is still there where the target was this very file before
            link.unlink(missing_ok=True)
            make_durable(target.parent)
        return digest
