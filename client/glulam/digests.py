"""Digests of files: `sha256:` and 64 hex digits."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

chunk_bytes = 1 << 20


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def chunks_of(path: Path, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start`, `size` of them at most, in chunks of 1 MiB."""
    left = path.stat().st_size - start if size is None else size
    with path.open("rb") as file:
        file.seek(start)
        while left > 0 and (chunk := file.read(min(chunk_bytes, left))):
            left -= len(chunk)
            yield chunk
