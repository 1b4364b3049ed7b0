"""Bytes from the registry: resumed where an interruption left them, and verified before they get their name."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from glulam.connection import Connection, attempts, passing_statuses, refusal_of, store_statuses
from glulam.digests import chunks_of, digest_of_file
from glulam.errors import DigestMismatch, UnexpectedAnswer, Unreachable
from glulam.progress import Meter, Progress
from glulam.records import record_name
from glulam.values import File

parallel = 4


def download(
    connection: Connection, files: Sequence[File], address: Callable[[str], str], folder: Path, progress: Progress
) -> None:
    """Bring files into a folder; `address` gives the address below `/api/v1` of a path.

    A file that lies there already, whole and with the right digest, is not fetched again.
    Raises: Refused, Unreachable, DigestMismatch, UnexpectedAnswer for a path that would leave the folder.
    """
    targets = [(file, target_of(folder, file.path)) for file in files]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(parallel) as pool:
        # list() so that the first failure is raised here
        list(pool.map(lambda pair: fetch(connection, address(pair[0].path), pair[0], pair[1], progress), targets))


def target_of(folder: Path, path: str) -> Path:
    """Where a file goes. The registry refuses such paths too; a client does not rely on its server for this."""
    parts = PurePosixPath(path).parts
    # a colon names a drive or a stream on Windows
    is_plain = parts and not any(part in {"..", "/"} or "\\" in part or ":" in part or "\0" in part for part in parts)
    if not is_plain or path == record_name:
        raise UnexpectedAnswer(f"the version holds a file named {path!r}, which may not be written into {folder}")
    return folder.joinpath(*parts)


def fetch(connection: Connection, address: str, file: File, target: Path, progress: Progress) -> None:
    if target.is_file() and target.stat().st_size == file.size and digest_of_file(target) == file.digest:
        Meter(progress, file.path, file.size, file.size)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    was_resumed = partial.exists()
    found = fetch_rest(connection, address, file, partial, progress)
    if found != file.digest and was_resumed:
        # the unfinished file may have been another's: once more from the start
        partial.unlink()
        found = fetch_rest(connection, address, file, partial, progress)
    if found != file.digest:
        partial.unlink()
        raise DigestMismatch(file.path, file.digest, found)
    partial.replace(target)


def fetch_rest(connection: Connection, address: str, file: File, path: Path, progress: Progress) -> str:
    """Bring the missing bytes of an unfinished file, over as many answers as it takes. Returns: the digest of the whole."""
    attempt = 0
    with path.open("ab") as out:
        partial = Partial(out, file, Meter(progress, file.path, file.size))
        partial.take_up(path)
        while (have := partial.size) < file.size:
            try:
                receive(connection, address, partial)
            except Unreachable:
                # only attempts that brought nothing count: a long file may break many times
                attempt = 0 if partial.size > have else attempt + 1
                if attempt == attempts:
                    raise
                connection.pause(attempt)
    return partial.digest


class Partial:
    """An unfinished file, hashed as it grows."""

    def __init__(self, out: BinaryIO, file: File, meter: Meter) -> None:
        self.file = file
        self.size = 0
        self._out = out
        self._meter = meter
        self._state = hashlib.sha256()

    @property
    def digest(self) -> str:
        return "sha256:" + self._state.hexdigest()

    def take_up(self, path: Path) -> None:
        """Count what an earlier run left; more than the file has is no beginning of it."""
        if path.stat().st_size > self.file.size:
            self._out.truncate(0)
        for chunk in chunks_of(path):
            self._count(chunk)

    def restart(self) -> None:
        self._out.truncate(0)
        self._state = hashlib.sha256()
        self._meter.add(-self.size)
        self.size = 0

    def append(self, chunk: bytes) -> None:
        """Raises: DigestMismatch if there are more bytes than the registry named."""
        if self.size + len(chunk) > self.file.size:
            raise DigestMismatch(self.file.path, self.file.digest, f"more than {self.file.size} bytes")
        self._out.write(chunk)
        self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        self._state.update(chunk)
        self.size += len(chunk)
        self._meter.add(len(chunk))


def receive(connection: Connection, address: str, partial: Partial) -> None:
    """Append the bytes of one answer: the rest of the file, or all of it anew when the server sends no rest."""
    file, have = partial.file, partial.size
    # bytes as they are: a compressed answer could not be resumed
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": f'"{file.digest.removeprefix("sha256:")}"'}
    with connection.stream(address, headers) as response:
        passing = passing_statuses if connection.is_own(response.url) else store_statuses
        if response.status_code in passing:
            raise Unreachable(f"{connection.url}: status {response.status_code}")
        if not response.is_success:
            response.read()
            raise refusal_of(response)
        is_rest = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if have and not is_rest:
            partial.restart()
        # as they come: gathered into larger chunks, the last ones before a break would be lost
        for chunk in response.iter_raw():
            partial.append(chunk)
    if partial.size < file.size:
        raise Unreachable(f"{connection.url}: the answer ended after {partial.size} of {file.size} bytes")
