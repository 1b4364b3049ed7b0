"""What every object store keeps; a new store joins by a line in `url`."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import pytest

from app.domain.digest import Digest, digest_of_bytes
from app.errors import BlobDamaged, InvalidDigest, MalformedRequest
from app.objects.store import ObjectStore, chunk_bytes, open_store
from tests.s3server.server import S3Server

project = Path(__file__).parents[2]
"""Where a child process finds the package."""

part_bytes = 5 << 20
"""A part that every store takes wherever it stands; the last may be smaller."""


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh store; where it needs more, that is in the environment, for child processes too."""
    if request.param == "local":
        return (tmp_path / "objects of a test").as_uri()
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.shared_bucket}/objects%20of/a test {uuid4()}"


@pytest.fixture
def store(url: str) -> ObjectStore:
    return open_store(url)


def put(store: ObjectStore, data: bytes) -> Digest:
    with store.stage() as staged:
        staged.write(data)
        return staged.place()


def part(number: int) -> bytes:
    return noise(part_bytes, seed=number)


def begun(store: ObjectStore) -> UUID:
    upload = uuid4()
    store.begin_upload(upload)
    return upload


def joined(store: ObjectStore, upload: UUID) -> bytes:
    with store.join(upload) as parts:
        data = b"".join(parts.chunks())
        assert (parts.size_bytes, parts.digest) == (len(data), digest_of_bytes(data))
        return data


def whole(store: ObjectStore, digest: Digest) -> bytes:
    return b"".join(store.read(digest))


def noise(size_bytes: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size_bytes)


@pytest.mark.parametrize(
    "size_bytes", [0, 1, chunk_bytes - 1, chunk_bytes, chunk_bytes + 1, 3 * chunk_bytes + 7, 64 << 20, (64 << 20) + 1]
)
def test_what_was_placed_is_what_is_read(store: ObjectStore, size_bytes: int) -> None:
    data = noise(size_bytes)
    with store.stage() as staged:
        for start in range(0, size_bytes, 100_003):
            staged.write(memoryview(data)[start : start + 100_003])
        assert staged.size_bytes == size_bytes
        assert staged.digest == digest_of_bytes(data)
        assert staged.place() == digest_of_bytes(data)
    chunks = list(store.read(digest_of_bytes(data)))
    assert b"".join(chunks) == data
    assert all(0 < len(chunk) <= chunk_bytes for chunk in chunks)
    assert store.size(digest_of_bytes(data)) == size_bytes


@pytest.mark.parametrize("start", [0, 1, 999, chunk_bytes, chunk_bytes + 499, chunk_bytes + 500, 5 * chunk_bytes])
def test_a_range_is_cut_at_the_end_of_the_object(store: ObjectStore, start: int) -> None:
    data = noise(chunk_bytes + 500)
    digest = put(store, data)
    for length in (None, 0, 1, 1000, chunk_bytes, chunk_bytes + 500, 9 * chunk_bytes):
        assert b"".join(store.read(digest, start, length)) == data[start : None if length is None else start + length]


def test_a_range_has_no_negative_numbers(store: ObjectStore) -> None:
    digest = put(store, b"abc")
    with pytest.raises(ValueError):
        store.read(digest, -1)
    with pytest.raises(ValueError):
        store.read(digest, 0, -1)


def test_a_buffer_is_filled_from_the_start_that_was_asked(store: ObjectStore) -> None:
    data = noise(chunk_bytes + 500)
    digest = put(store, data)
    buffer = bytearray(chunk_bytes)
    store.read_into(digest, 321, memoryview(buffer))
    assert buffer == data[321 : 321 + chunk_bytes]
    store.read_into(digest, 0, memoryview(bytearray()))


def test_an_object_that_ends_before_the_buffer_is_full_is_damaged(store: ObjectStore) -> None:
    digest = put(store, b"abc")
    with pytest.raises(BlobDamaged):
        store.read_into(digest, 1, memoryview(bytearray(3)))
    with pytest.raises(BlobDamaged):
        store.read_into(digest, 10, memoryview(bytearray(1)))


def test_an_object_that_is_gone_is_damage_at_the_call(store: ObjectStore) -> None:
    absent = digest_of_bytes(b"never placed")
    assert store.size(absent) is None
    assert not store.delete(absent)
    with pytest.raises(BlobDamaged):
        store.read(absent)
    with pytest.raises(BlobDamaged):
        store.read_into(absent, 0, memoryview(bytearray(1)))


def test_a_deleted_object_is_gone_and_can_be_placed_again(store: ObjectStore) -> None:
    digest = put(store, b"abc")
    assert store.delete(digest)
    assert store.size(digest) is None
    assert not store.delete(digest)
    assert put(store, b"abc") == digest
    assert whole(store, digest) == b"abc"


def test_no_key_is_made_from_anything_but_a_digest(store: ObjectStore) -> None:
    for text in ("../../etc/passwd", "sha256:" + "A" * 64, "sha256:../" + "a" * 61, "sha256:" + "a" * 64 + "\n", ""):
        with pytest.raises(InvalidDigest):
            store.size(Digest(text))
        with pytest.raises(InvalidDigest):
            store.delete(Digest(text))


def test_what_was_not_placed_leaves_nothing(store: ObjectStore) -> None:
    with store.stage() as staged:
        staged.write(b"abc")
    with suppress(ConnectionError), store.stage() as staged:
        staged.write(b"def")
        raise ConnectionError("the client went away")
    assert list(store.digests()) == []
    assert store.sweep(older_than_seconds=-60) == 0
    with pytest.raises(ValueError):
        staged.write(b"too late")
    with pytest.raises(ValueError):
        staged.place()


def test_nothing_is_written_before_the_context_or_after_the_placing(store: ObjectStore) -> None:
    staged = store.stage()
    with pytest.raises(ValueError):
        staged.write(b"early")
    with staged:
        staged.write(b"abc")
        staged.place()
        with pytest.raises(ValueError):
            staged.write(b"late")
        with pytest.raises(ValueError):
            staged.place()
    assert whole(store, digest_of_bytes(b"abc")) == b"abc"


def test_the_listing_names_every_object_once(store: ObjectStore) -> None:
    expected = {put(store, noise(size_bytes, seed=size_bytes)): size_bytes for size_bytes in range(0, 60, 3)}
    listed = list(store.digests())
    assert {entry.digest: entry.size_bytes for entry in listed} == expected
    assert len(listed) == len(expected)
    now = datetime.now(UTC)
    assert all(abs(now - entry.modified_at) < timedelta(minutes=1) for entry in listed)


def test_placing_an_object_again_makes_it_young(store: ObjectStore) -> None:
    put(store, b"abc")
    (before,) = store.digests()
    # a store may know the time to the second only
    time.sleep(1.1)
    put(store, b"abc")
    (after,) = store.digests()
    assert after.modified_at > before.modified_at


def test_many_threads_may_place_read_and_delete_the_same_object(store: ObjectStore) -> None:
    data = noise(300_000)
    digest = digest_of_bytes(data)

    def work(seed: int) -> None:
        for _ in range(10):
            assert put(store, data) == digest
            with suppress(BlobDamaged):
                assert hashlib.sha256(whole(store, digest)).hexdigest() == digest.removeprefix("sha256:")
            if seed == 0:
                store.delete(digest)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert put(store, data) == digest
    assert [entry.digest for entry in store.digests()] == [digest]
    assert store.sweep(older_than_seconds=-60) == 0


def test_two_stores_on_one_place_see_the_same_objects(store: ObjectStore, url: str) -> None:
    digest = put(store, b"abc")
    upload = begun(store)
    store.write_part(upload, 1, 0, [b"part"])
    other = open_store(url)
    assert whole(other, digest) == b"abc"
    assert other.missing_parts(upload, [4, 1]) == [2]


def test_parts_are_joined_in_the_order_of_their_numbers(store: ObjectStore) -> None:
    upload = begun(store)
    for number in (3, 2, 1):
        data = part(number)
        assert store.write_part(upload, number, (number - 1) * part_bytes, [data[:7], data[7:]]) == part_bytes
    assert store.missing_parts(upload, [part_bytes] * 5) == [4, 5]
    assert store.missing_parts(upload, [part_bytes, 1, part_bytes]) == [2], "a part of another size is not there"
    assert joined(store, upload) == part(1) + part(2) + part(3)
    assert list(store.digests()) == []


def test_an_upload_without_parts_is_empty(store: ObjectStore) -> None:
    assert store.missing_parts(uuid4(), []) == []
    assert store.missing_parts(uuid4(), [1, 1]) == [1, 2]
    with store.join(uuid4()) as parts:
        assert list(parts.chunks()) == []
        assert parts.place() == digest_of_bytes(b"")
    assert whole(store, digest_of_bytes(b"")) == b""


def test_a_joined_upload_is_placed_and_its_parts_are_discarded(store: ObjectStore) -> None:
    upload = begun(store)
    data = part(1) + b"tail"
    store.write_part(upload, 1, 0, [part(1)])
    store.write_part(upload, 2, part_bytes, [b"tail"])
    with store.join(upload) as parts:
        assert b"".join(parts.chunks()) == data
        assert store.size(digest_of_bytes(data)) is None
        parts.place()
    assert whole(store, digest_of_bytes(data)) == data
    store.discard_upload(upload)
    assert store.sweep(older_than_seconds=-60) == 0


def test_a_joining_that_was_cut_off_can_be_taken_up_again(store: ObjectStore) -> None:
    upload = begun(store)
    store.write_part(upload, 1, 0, [part(1)])
    store.write_part(upload, 2, part_bytes, [b"tail"])
    with suppress(ConnectionError), store.join(upload) as parts:
        next(iter(parts.chunks()))
        raise ConnectionError("the process that joined them stops")
    assert list(store.digests()) == []
    assert store.missing_parts(upload, [part_bytes, 4]) == []
    assert joined(store, upload) == part(1) + b"tail"


def test_a_part_is_replaced_whole_or_not_at_all(store: ObjectStore) -> None:
    upload, other = begun(store), begun(store)
    store.write_part(upload, 1, 0, [b"first"])
    store.write_part(other, 1, 0, [b"first"])

    def broken() -> Iterator[bytes]:
        yield b"sec"
        raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        store.write_part(upload, 1, 0, broken())
    store.write_part(other, 1, 0, [b"second"])
    assert joined(store, upload) == b"first"
    assert joined(store, other) == b"second"


def test_parts_are_numbered_from_one(store: ObjectStore) -> None:
    with pytest.raises(ValueError):
        store.write_part(begun(store), 0, 0, [b"x"])


def test_a_discarded_upload_leaves_nothing(store: ObjectStore) -> None:
    upload, other = begun(store), begun(store)
    store.write_part(upload, 1, 0, [b"a"])
    store.write_part(other, 1, 0, [b"b"])
    store.discard_upload(upload)
    store.discard_upload(upload)
    assert store.missing_parts(upload, [1]) == [1]
    assert store.missing_parts(other, [1]) == []
    store.begin_upload(upload)
    store.write_part(upload, 1, 0, [b"again"])
    assert store.missing_parts(upload, [5]) == []
    store.discard_upload(upload)
    store.discard_upload(other)
    assert store.sweep(older_than_seconds=-60) == 0


def test_threads_write_parts_of_one_upload_at_once(store: ObjectStore) -> None:
    upload = begun(store)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda number: store.write_part(upload, number, (number - 1) * part_bytes, [part(number)]), range(1, 5)
            )
        )
    assert store.missing_parts(upload, [part_bytes] * 4) == []
    assert joined(store, upload) == b"".join(map(part, range(1, 5)))


def test_a_healthy_store_lacks_nothing_and_keeps_nothing_of_the_probe(store: ObjectStore) -> None:
    assert store.probe() == []
    assert list(store.digests()) == []


writer = """
import sys
from uuid import UUID
from app.objects.store import open_store
store = open_store(sys.argv[1])
with store.stage() as staged:
    staged.write(b"half of an object" * 3_000_000)
    def chunks():
        yield b"half of a part"
        print("written", flush=True)
        sys.stdin.read()
    store.begin_upload(UUID(int=7))
    store.write_part(UUID(int=7), 1, 0, chunks())
"""


def killed_writer(url: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", writer, url], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.readline() == b"written\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


def test_a_killed_writer_leaves_no_object_and_its_leftovers_are_swept(store: ObjectStore, url: str) -> None:
    killed_writer(url)
    assert list(store.digests()) == []
    assert store.sweep(older_than_seconds=3600) == 0, "young leftovers may belong to a living writer"
    assert store.sweep(older_than_seconds=-60) > 0
    assert store.sweep(older_than_seconds=-60) == 0


def test_only_known_schemes_and_absolute_folders_open(tmp_path: Path) -> None:
    bad: Iterable[str] = (
        "gopher://x/y",
        "objects",
        "/objects",
        "file:objects",
        "file://elsewhere/objects",
        "file:///a?b",
        "s3:///prefix",
        "s3://key:secret@bucket/prefix",
        "s3://bucket/prefix?region=here",
    )
    for text in bad:
        with pytest.raises(MalformedRequest):
            open_store(text)
