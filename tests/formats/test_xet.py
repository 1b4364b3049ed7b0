"""What a shard may ask for: bounded in files, runs of chunks and bytes, and each file once."""

from collections.abc import Iterator

import pytest

from app.errors import InvalidXet
from app.formats import xet
from app.formats.xet import Segment, chunks_of, read_shard
from tests.hub.talking import chunk, shard, shard_file

name, digest = "a" * 64, "sha256:" + "b" * 64


def test_a_file_that_is_listed_often_is_read_once() -> None:
    listed = shard_file(digest, [(name, 10, 0, 1)])
    (file,) = read_shard(shard(*[listed] * 1000))
    assert (file.digest, file.size_bytes) == (digest, 10)


def test_names_of_xorbs_are_kept_once() -> None:
    (file,) = read_shard(shard(shard_file(digest, [(name, 10, 0, 1)] * 100)))
    assert len({id(segment.xorb) for segment in file.segments}) == 1


@pytest.mark.parametrize(
    "listing",
    [
        shard(*[shard_file(digest, [])] * (xet.most_files + 1)),
        shard(shard_file(digest, [(name, 10, 0, 1)] * (xet.most_segments + 1))),
        shard(shard_file(digest, [(name, 2**32 - 1, 0, 1)] * 257)),
    ],
    ids=["files", "runs", "bytes"],
)
def test_a_shard_asks_for_a_bounded_amount(listing: bytes) -> None:
    with pytest.raises(InvalidXet, match="at most"):
        read_shard(listing)


def test_a_run_is_left_as_soon_as_it_is_longer_than_it_says() -> None:
    def packed() -> Iterator[bytes]:
        yield chunk(b"x" * 10)
        yield chunk(b"x" * 10)
        pytest.fail("more was read")

    with pytest.raises(InvalidXet, match="more than 15 bytes"):
        list(chunks_of(packed(), Segment(name, 15, 0, 3)))
