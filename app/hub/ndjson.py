"""The body of a commit: one JSON value per line, read as it comes, with the files' bytes spooled to disk."""

import base64
import binascii
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any

from app.domain.digest import digest_of_bytes, parse_digest
from app.domain.paths import check_path
from app.errors import InvalidDigest, MalformedRequest, TooManyFiles, UploadTooLarge
from app.formats.inspection import Inspector
from app.formats.json_text import JsonRefused, holds_nul, parse_json
from app.services.committing import Added, Copied, Linked, NewCommit, Operation, Removed, longest_message

largest_file_bytes = 10 * 1024 * 1024
"""Of a file that is sent inside a commit; a larger one is uploaded first."""
largest_line_bytes = largest_file_bytes * 4 // 3 + 64 * 1024
largest_commit_bytes = 1024 * 1024 * 1024
"""Of all lines together."""
operations_per_file = 4
"""So many as a version may have files, times this: each may be removed and added, with room for what clients say twice."""
longest_revision = 500
spooled_bytes = 8 * 1024 * 1024
"""So much is kept in memory; more goes to disk."""


class CommitReader:
    """Reads one commit. The files' bytes can be read as long as its context lasts."""

    def __init__(self, limit_bytes: int, max_files: int) -> None:
        self.limit_bytes = min(limit_bytes, largest_commit_bytes)
        self.max_files = max_files
        self.spool: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=spooled_bytes)  # noqa: SIM115
        self.header: dict[str, Any] | None = None
        self.operations: list[Operation] = []
        self.added: set[str] = set()
        """Paths that are given a file."""

    def __enter__(self) -> "CommitReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()

    def read(self, chunks: Iterable[bytes]) -> NewCommit:
        """Nothing is kept longer than its line that the commit could not have.

        Raises: MalformedRequest, InvalidPath, TooManyFiles, UploadTooLarge.
        """
        for number, line in enumerate(lines_of(chunks, self.limit_bytes), start=1):
            if line.strip():
                self._read_line(line, number)
        if self.header is None:
            raise MalformedRequest("a commit begins with its header")
        message = "\n\n".join(filter(None, (self._text("summary"), self._text("description"))))
        parent = self.header.get("parentCommit")
        if parent is not None and not isinstance(parent, str):
            raise MalformedRequest("parentCommit is a commit's id")
        return NewCommit(message[:longest_message] or "Commit", self.operations, parent)

    def _text(self, key: str) -> str:
        value = (self.header or {}).get(key) or ""
        if not isinstance(value, str):
            raise MalformedRequest(f"{key} is a text")
        return value.strip()

    def _read_line(self, line: bytes, number: int) -> None:
        try:
            entry = parse_json(line, depth=4)
        except JsonRefused as error:
            raise MalformedRequest(f"line {number} is refused: {error.detail}") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("value"), dict) or holds_nul(entry["value"]):
            raise MalformedRequest(f"line {number} is no key with a value")
        key, value = entry.get("key"), entry["value"]
        if key == "header" and self.header is None and not self.operations:
            self.header = value
            return
        most_operations = operations_per_file * self.max_files
        if self.header is None or len(self.operations) >= most_operations:
            raise MalformedRequest(f"a commit is a header and at most {most_operations} operations")
        operation = self._operation(key, value, number)
        self.operations.append(operation)
        if not isinstance(operation, Removed):
            self.added.add(operation.path)
        if len(self.added) > self.max_files:
            raise TooManyFiles(self.max_files, len(self.added))

    def _operation(self, key: object, value: dict[str, Any], number: int) -> Operation:
        def text(field: str) -> str:
            found = value.get(field)
            if not isinstance(found, str):
                raise MalformedRequest(f"line {number}: {field} is a text")
            return found

        if key in {"file", "lfsFile", "copyFile"}:
            check_path(text("path"))
        if key == "file":
            return self._added(text("path"), text("content"), value.get("encoding", "utf-8"), number)
        if key == "lfsFile":
            size = value.get("size")
            if size is not None and (type(size) is not int or size < 0):
                raise MalformedRequest(f"line {number}: size is a number of bytes")
            try:
                digest = parse_digest("sha256:" + text("oid"))
            except InvalidDigest as error:
                raise MalformedRequest(f"line {number}: oid is a sha256") from error
            if value.get("algo", "sha256") != "sha256":
                raise MalformedRequest(f"line {number}: sha256 is the only algorithm")
            return Linked(text("path"), digest, size)
        if key in {"deletedFile", "deletedFolder"}:
            check_path(text("path").strip("/"))
            return Removed(text("path").strip("/"), is_folder=key == "deletedFolder")
        if key == "copyFile":
            revision = text("srcRevision") if value.get("srcRevision") else None
            if revision is not None and len(revision) > longest_revision:
                raise MalformedRequest(f"line {number}: srcRevision is too long")
            return Copied(text("path"), check_path(text("srcPath")), revision)
        raise MalformedRequest(f"line {number}: there is no operation {key!r}")

    def _added(self, path: str, content: str, encoding: object, number: int) -> Added:
        try:
            data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
        except (binascii.Error, ValueError) as error:
            raise MalformedRequest(f"line {number}: content is no base64") from error
        if len(data) > largest_file_bytes:
            raise UploadTooLarge(largest_file_bytes, len(data))
        inspector = Inspector()
        inspector.feed(data)
        start = self.spool.seek(0, 2)
        self.spool.write(data)
        length = len(data)

        def read() -> bytes:
            self.spool.seek(start)
            return self.spool.read(length)

        return Added(path, digest_of_bytes(data), inspector.finish(), read)


def lines_of(chunks: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Raises: UploadTooLarge for a line, or for all of them."""
    rest = bytearray()
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > limit_bytes:
            raise UploadTooLarge(limit_bytes, seen)
        scanned = len(rest)
        rest += chunk
        start = 0
        while (end := rest.find(b"\n", max(start, scanned))) >= 0:
            yield bytes(rest[start:end])
            start = end + 1
        del rest[:start]
        if len(rest) > largest_line_bytes:
            raise UploadTooLarge(largest_line_bytes, len(rest))
    if rest:
        yield bytes(rest)
