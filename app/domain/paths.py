"""Paths of files in a version: relative, `/`-separated, normal, printable."""

import unicodedata

from app.errors import InvalidPath

longest_part_bytes = 255
longest_path_bytes = 1024
hidden_marks = frozenset(
    "\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
"""Zero-width and bidirectional marks: they make one name look like another."""


def check_path(path: str) -> str:
    """The path, unchanged.

    Raises: InvalidPath.
    """
    if not path:
        raise InvalidPath(path, "empty")
    try:
        encoded = path.encode()
    except UnicodeEncodeError as error:
        raise InvalidPath(path.encode(errors="replace").decode(), "not valid Unicode") from error
    if len(encoded) > longest_path_bytes:
        raise InvalidPath(path[:80] + "…", f"longer than {longest_path_bytes} bytes")
    if "\\" in path:
        raise InvalidPath(path, "backslash")
    if path.startswith("/"):
        raise InvalidPath(path, "not relative")
    if unicodedata.normalize("NFC", path) != path:
        raise InvalidPath(path, "not in Unicode normal form C")
    if not path.isprintable() or hidden_marks & set(path):
        raise InvalidPath(path, "not printable")
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            raise InvalidPath(path, "an empty part, '.' or '..'")
        if len(part.encode()) > longest_part_bytes:
            raise InvalidPath(path, f"a part is longer than {longest_part_bytes} bytes")
    return path
