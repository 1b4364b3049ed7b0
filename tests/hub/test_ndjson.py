"""A commit's lines are refused as soon as they cannot be part of one."""

from collections.abc import Iterator

import pytest

from app.errors import InvalidPath, MalformedRequest, RegistryError, TooManyFiles, UploadTooLarge
from app.hub.ndjson import CommitReader, largest_commit_bytes
from app.services.committing import NewCommit
from tests.hub.talking import file_line, header, lfs_line, line

long = "a/" * 600


def read(lines: list[bytes], *, limit_bytes: int = 10**9, max_files: int = 2) -> NewCommit:
    with CommitReader(limit_bytes, max_files) as reader:
        return reader.read(lines)


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        ([file_line(long, b"")], InvalidPath),
        ([lfs_line(long, "a" * 64)], InvalidPath),
        ([line("deletedFile", path=long)], InvalidPath),
        ([line("deletedFolder", path=long)], InvalidPath),
        ([line("copyFile", path=long, srcPath="a")], InvalidPath),
        ([line("copyFile", path="a", srcPath=long)], InvalidPath),
        ([line("copyFile", path="a", srcPath="a", srcRevision=long)], MalformedRequest),
        ([file_line(f"{number}", b"") for number in range(3)], TooManyFiles),
        ([line("deletedFile", path="a")] * 9, MalformedRequest),
        ([b" " * 101], UploadTooLarge),
    ],
    ids=range(10),
)
def test_what_cannot_be_is_refused_before_more_is_read(refused: list[bytes], error: type[RegistryError]) -> None:
    def sent() -> Iterator[bytes]:
        yield header()
        yield from refused
        pytest.fail("more was read")

    with pytest.raises(error), CommitReader(10**9 if error is not UploadTooLarge else 100, 2) as reader:
        reader.read(sent())


def test_a_file_may_be_named_more_than_once() -> None:
    again = [line("deletedFolder", path="a/"), *([file_line("a/b", b"x"), line("deletedFile", path="a/b")] * 3)]
    assert len(read([header(), *again]).operations) == 7


def test_all_lines_together_have_a_limit() -> None:
    with CommitReader(2 * largest_commit_bytes, 2) as reader:
        assert reader.limit_bytes == largest_commit_bytes
