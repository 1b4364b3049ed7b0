"""The object store in a folder of a local file system.

    <root>/sha256/ab/cd/<64 hex>     objects
    <root>/uploads/<uuid>/…          parts of unfinished uploads, as `local_uploads` says
    <root>/tmp/<random>              what is being written; on the same file system, so that it can be renamed

A path is only ever made from a digest, a uuid or a number that was parsed, never from a user's text. Bytes become
visible in one order: written < fsync(file) < rename < fsync(folder), the folder's own entry having been made durable
before. Needs a file system with POSIX renames; on a network file system durability is as good as its fsync.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID, uuid4

from app.domain.digest import Digest, digest_of_bytes, digest_pattern, hex_of, parse_digest
from app.errors import BlobDamaged, StoreFull
from app.objects import local_uploads
from app.objects.local_files import make_durable, pieces, room_needed
from app.objects.store import StoredObject


def remove_tree(folder: Path) -> None:
    """Remove a folder of files, also while somebody else is removing it."""
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            with suppress(FileNotFoundError):
                os.unlink(entry)
        os.rmdir(folder)


class Temporary:
    """A file in `tmp/`, hashed as it is written; renamed to where it belongs, or removed when its context is left."""

    def __init__(self, store: "LocalStore") -> None:
        self.store = store
        self.path = store.temporaries / uuid4().hex
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.file: BinaryIO | None = None

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self.hash.hexdigest())

    def __enter__(self) -> Self:
        with room_needed():
            self.file = open(self.path, "xb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
            self.path.unlink(missing_ok=True)

    def open_file(self) -> BinaryIO:
        if self.file is None:
            raise ValueError(
                "nothing can be written before the context is entered, after it is left or once it is placed"
            )
        return self.file

    def write(self, chunk: bytes | memoryview) -> None:
        file = self.open_file()
        rest = memoryview(chunk).cast("B") if len(chunk) else memoryview(b"")
        self.hash.update(rest)
        self.size_bytes += len(rest)
        try:
            with room_needed():
                while rest:
                    rest = rest[file.write(rest) :]
        except BaseException:
            # the hash is ahead of the file now: nothing further may be written or placed
            self.__exit__(None, None, None)
            raise

    def rename_to(self, target: Path) -> None:
        """Durable, then visible as `target`, then durably so.

        Raises: StoreFull; FileNotFoundError when the target's folder is not there.
        """
        file = self.open_file()
        with room_needed():
            # the age of an object counts from its placing, not from the last chunk of a slow upload
            os.utime(file.fileno())
            os.fsync(file.fileno())
            os.rename(self.path, target)
            self.file = None
            file.close()
            make_durable(target.parent)

    def place(self) -> Digest:
        digest = self.digest
        self.open_file()
        target = self.store.path_of(digest)
        self.store.make_folder(target.parent)
        self.rename_to(target)
        return digest


class LocalStore:
    """An ObjectStore in a folder, which is made when it is not there, readable by this user only.

    Two stores on one folder, in one process or several, do not disturb each other.
    """

    def __init__(self, root: Path) -> None:
        """Raises: OSError when the folder cannot be made."""
        self.root = root
        self.objects = root / "sha256"
        self.uploads = root / "uploads"
        self.temporaries = root / "tmp"
        if not root.is_dir():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_durable(root.parent)
        for folder in (self.objects, self.uploads, self.temporaries):
            self.make_folder(folder)

    @property
    def origin(self) -> None:
        return None

    def path_of(self, digest: Digest) -> Path:
        """Raises: InvalidDigest."""
        hexadecimal = hex_of(parse_digest(digest))
        return self.objects / hexadecimal[:2] / hexadecimal[2:4] / hexadecimal

    def make_folder(self, folder: Path) -> None:
        """Make a folder below the root and its parents, durably."""
        if folder == self.root:
            return
        self.make_folder(folder.parent)
        with room_needed():
            folder.mkdir(mode=0o700, exist_ok=True)
            # even if it was there: whoever made it may not have come as far as this
            make_durable(folder.parent)

    def size(self, digest: Digest) -> int | None:
        try:
            return self.path_of(digest).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("a range has no negative numbers")
        file = self.open_object(digest)
        file.seek(start)
        return pieces(file, length)

    def read_into(self, digest: Digest, start: int, buffer: memoryview) -> None:
        with self.open_object(digest) as file:
            rest = buffer.cast("B") if buffer.nbytes else memoryview(b"")
            while rest:
                count = os.preadv(file.fileno(), [rest], start + buffer.nbytes - len(rest))
                if count == 0:
                    raise BlobDamaged(digest)
                rest = rest[count:]

    def open_object(self, digest: Digest) -> BinaryIO:
        """Raises: BlobDamaged when it is not there."""
        try:
            return open(self.path_of(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobDamaged(digest) from error

    def stage(self) -> Temporary:
        return Temporary(self)

    def delete(self, digest: Digest) -> bool:
        # no fsync: an object that a power loss brings back is an orphan like any other, and collected again
        try:
            self.path_of(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def digests(self) -> Iterator[StoredObject]:
        """As the protocol says; a file whose name is not its key is no object and not listed."""
        for outer in sorted(os.listdir(self.objects)):
            for inner in sorted(os.listdir(self.objects / outer)):
                for entry in os.scandir(self.objects / outer / inner):
                    digest = f"sha256:{entry.name}"
                    if not digest_pattern.fullmatch(digest) or not entry.name.startswith(outer + inner):
                        continue
                    try:
                        status = entry.stat()
                    except FileNotFoundError:  # deleted since it was listed
                        continue
                    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield StoredObject(Digest(digest), status.st_size, modified_at)

    def folder_of(self, upload: UUID) -> Path:
        return self.uploads / UUID(str(upload)).hex

    def begin_upload(self, upload: UUID) -> None:
        # the first part makes the folder; one that is there is used again, and spared by `sweep`
        with suppress(FileNotFoundError):
            os.utime(self.folder_of(upload))

    def write_part(self, upload: UUID, number: int, start: int, chunks: Iterable[bytes]) -> int:
        if number < 1:
            raise ValueError("parts are numbered from 1")
        return local_uploads.write_part(self, self.folder_of(upload), int(number), start, chunks)

    def least_part_bytes(self, size_bytes: int) -> int:
        return 1

    def presign_parts(self, upload: UUID, sizes: Mapping[int, int], seconds: int) -> None:
        return None

    def presign_get(self, digest: Digest, disposition: str, seconds: int) -> None:
        return None

    def missing_parts(self, upload: UUID, sizes: Sequence[int]) -> list[int]:
        stored = local_uploads.parts_in(self.folder_of(upload))
        return [number for number, size_bytes in enumerate(sizes, start=1) if stored.get(number) != size_bytes]

    def join(self, upload: UUID) -> local_uploads.JoinedParts:
        return local_uploads.JoinedParts(self, self.folder_of(upload))

    def discard_upload(self, upload: UUID) -> None:
        doomed = self.temporaries / uuid4().hex
        # at once for everybody, by a rename; a killed removal is left for `sweep`
        with suppress(FileNotFoundError):
            os.rename(self.folder_of(upload), doomed)
            remove_tree(doomed)

    def sweep(self, older_than_seconds: float) -> int:
        limit = time.time() - older_than_seconds
        swept = 0
        for entry in list(os.scandir(self.temporaries)):
            with suppress(FileNotFoundError):
                if entry.stat().st_mtime > limit:
                    continue
                if entry.is_dir():
                    remove_tree(Path(entry.path))
                else:
                    os.unlink(entry)
                swept += 1
        for folder in list(os.scandir(self.uploads)):
            if not local_uploads.upload_name.fullmatch(folder.name):
                continue
            # a part that arrives changes its folder, and so does whoever begins the upload again
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime <= limit:
                    self.discard_upload(UUID(folder.name))
                    swept += 1
        return swept

    def ping(self) -> None:
        self.objects.stat()

    def probe(self) -> list[str]:
        lacks = []
        if len({folder.stat().st_dev for folder in (self.objects, self.uploads, self.temporaries)}) > 1:
            lacks.append(
                f"{self.root}: sha256, uploads and tmp lie on different file systems, so that nothing can be placed"
            )
        data = uuid4().bytes
        digest = digest_of_bytes(data)
        try:
            with self.stage() as staged:
                staged.write(data)
                staged.place()
            if b"".join(self.read(digest, 1, 3)) != data[1:4]:
                lacks.append(f"{self.root}: what was written is not what is read")
            if not self.delete(digest) or self.size(digest) is not None:
                lacks.append(f"{self.root}: a deleted object is still there")
        except (OSError, StoreFull, BlobDamaged) as error:
            lacks.append(f"{self.root}: writing, reading and deleting an object failed: {error}")
        return lacks
