"""What both the objects and the unfinished uploads of a folder need of its files."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.errors import StoreFull
from app.objects.store import chunk_bytes


@contextmanager
def room_needed() -> Iterator[None]:
    """Raises: StoreFull where the operating system says that the disk or the quota is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull from error
        raise


def make_durable(folder: Path) -> None:
    """Return when the entries of `folder` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def pieces(file: BinaryIO, length: int | None) -> Iterator[bytes]:
    """The next `length` bytes of an open file (None: to its end), which is closed at the end."""
    with file:
        remaining = length
        while remaining is None or remaining > 0:
            chunk = file.read(chunk_bytes if remaining is None else min(chunk_bytes, remaining))
            if not chunk:
                return
            if remaining is not None:
                remaining -= len(chunk)
            yield chunk
