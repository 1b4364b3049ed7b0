"""What no client sends: refused with 4xx, and nothing of it is stored."""

import json
import random
from collections.abc import Callable, Iterator

import pytest

from app.formats.xet import largest_chunk_bytes
from tests.api.conftest import Registry, digest_of, done
from tests.hub import talking
from tests.hub.talking import cas, chunk, create, file_line, header, lfs_line, line, shard, shard_file, shard_header

name = "a" * 64
data = bytes(range(256)) * 40
absent = "f" * 64


def mutations(whole: bytes, count: int, seed: int, is_fine: Callable[[bytes], bool]) -> Iterator[bytes]:
    """Bytes flipped, cut out, doubled or cut off; without those that happen to mean something valid."""
    random_ = random.Random(seed)
    found = 0
    while found < count:
        broken = bytearray(whole)
        at = random_.randrange(len(broken))
        kind = random_.randrange(4)
        if kind == 0:
            broken[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del broken[at:]
        elif kind == 2:
            del broken[at : at + random_.randrange(1, 9)]
        else:
            broken[at:at] = random_.randbytes(random_.randrange(1, 9))
        if not is_fine(bytes(broken)):
            found += 1
            yield bytes(broken)


def planted_xorbs() -> list[bytes]:
    good = chunk(data, 1)
    huge = (largest_chunk_bytes + 1).to_bytes(3, "little")
    return [
        b"",
        b"XETBLOB",
        good[:-1],
        good + b"\0",
        b"\1" + good[1:],
        good[:4] + b"\3" + good[5:],
        good[:5] + huge + good[8:],
        good[:5] + b"\0\0\0" + good[8:],
        b"\0\0\0\0" + good[4:],
        good[:5] + (len(data) + 1).to_bytes(3, "little") + good[8:],
        good[:5] + (len(data) - 1).to_bytes(3, "little") + good[8:],
        chunk(data)[:8] + data[:-1],
        # a frame that unfolds to more than it says
        good[:5] + b"\1\0\0" + chunk(bytes(100_000), 1)[8:],
        b"\0" + len(data).to_bytes(3, "little") + b"\2" + len(data).to_bytes(3, "little") + data,
        b"\xff" * 100,
    ]


def planted_shards(digest: str) -> list[bytes]:
    good = shard_file(digest, [(name, len(data), 0, 1)])
    return [
        b"",
        b"HFRepoMetaData",
        shard_header(),
        shard_header()[:32] + b"\3" + shard_header()[33:],
        shard_header() + good,
        shard(good)[:-17],
        shard(shard_file(digest, [(name, len(data), 0, 1)], flags=0)),
        shard(shard_file(digest, [(name, len(data), 0, 1)], count=2)),
        shard(shard_file(digest, [(name, len(data), 0, 1)], count=2**32 - 1)),
        shard(shard_file(digest, [(name, len(data), 0, 0)])),
        shard(shard_file(digest, [(name, len(data), 1, 0)])),
        shard(shard_file(digest, [(name, len(data), 1, 2)])),
        shard(shard_file(digest, [(name, len(data), 0, 2)])),
        shard(shard_file(digest, [(name, len(data) + 1, 0, 1)])),
        shard(shard_file(digest, [(name, 2**32 - 1, 0, 1)] * 100)),
        shard(shard_file(digest, [(absent, len(data), 0, 1)])),
        shard(shard_file(absent, [(name, len(data), 0, 1)])),
        shard(shard_file(digest, [(name, len(data), 0, 1), (name, len(data), 0, 1)])),
    ]


def planted_commits() -> list[bytes]:
    fine = header() + file_line("a.txt", b"a")
    return [
        b"",
        b"\n\n",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"{" * 10_000,
        file_line("a.txt", b"a"),
        header() + header(),
        header() + b"nonsense\n",
        header() + b'{"key": "file"}\n',
        header() + b'{"key": "file", "value": []}\n',
        header() + line("file", path="a.txt", content="not base64!", encoding="base64"),
        header() + line("file", path="a.txt", content=7, encoding="base64"),
        header() + line("file", path="a.txt"),
        header() + line("other", path="a.txt"),
        header() + line("lfsFile", path="a.bin", algo="sha256", oid="xyz"),
        header() + line("lfsFile", path="a.bin", algo="sha1", oid=absent),
        header() + lfs_line("a.bin", absent),
        header() + lfs_line("a.bin", digest_of(data), size=-1),
        header() + line("deletedFile", path="absent.txt"),
        header() + line("deletedFolder", path="absent/"),
        header() + line("copyFile", path="b.txt", srcPath="absent.txt", srcRevision="main"),
        header() + line("copyFile", path="b.txt", srcPath="a.txt", srcRevision="absent"),
        header(parentCommit=7) + file_line("a.txt", b"a"),
        line("header", summary=7) + file_line("a.txt", b"a"),
        fine + file_line("../a.txt", b"a"),
        fine + file_line("/a.txt", b"a"),
        fine + file_line("a\0.txt", b"a"),
        fine + file_line("a.txt/b", b"a"),
        fine + file_line("A.TXT", b"a"),
        fine + b'{"key": "file", "key": "file", "value": {}}\n',
        header() + json.dumps({"key": "file", "value": {"path": "x", "content": "A" * 15_000_000}}).encode(),
    ]


def state(registry: Registry) -> list[int]:
    return [registry.objects(), *(registry.rows(table) for table in ("blobs", "commits", "receipts", "xorbs", "trees"))]


def is_json_lines(body: bytes) -> bool:
    """Whether a mutation only changed a value that may be anything: left out, for it may well be accepted."""
    try:
        parsed = [json.loads(part) for part in body.split(b"\n") if part.strip()]
    except ValueError:
        return False
    return bool(parsed)


def test_malformed_xorbs_shards_and_commits_are_refused_and_leave_nothing(registry: Registry) -> None:
    alice = registry.user("alice")
    repository = create(alice, "one")
    base = cas(alice, repository)
    good = chunk(data, 1)
    done(alice.request("POST", f"{base}/v1/xorbs/default/{name}", content=good))
    before = state(registry)
    xorbs = [*planted_xorbs(), *(good[:length] for length in range(1, len(good), max(1, len(good) // 50)))]
    for number, body in enumerate(xorbs):
        answer = alice.request("POST", f"{base}/v1/xorbs/default/{'b' * 64}", content=body)
        assert 400 <= answer.status_code < 500, (number, answer.status_code, answer.text)
    digest = digest_of(data)
    whole = shard(shard_file(digest, [(name, len(data), 0, 1)]))
    meaning = whole[: 48 + 3 * 48 + 32]
    # not read: the client's own name of the file, flags of which nothing is known here, and what is left free
    ignored = {*range(48, 84), *range(88, 96), *range(14, 32), *range(40, 48), *range(128, 132), *range(176, 192)}
    random_ = random.Random(7)
    places = [at for at in range(len(meaning)) if at not in ignored]
    broken = [bytes(meaning[:at]) for at in range(0, len(meaning), 5)]
    for at in random_.sample(places, 50):
        flipped = bytearray(meaning)
        flipped[at] ^= 1 << random_.randrange(8)
        broken.append(bytes(flipped) + bytes(16))
    shards = [*planted_shards(digest), *broken]
    for number, body in enumerate(shards):
        answer = alice.request("POST", f"{base}/v1/shards", content=body)
        assert 400 <= answer.status_code < 500, (number, answer.status_code, answer.text)
    fine = header() + file_line("a.txt", b"some text") + lfs_line("b.bin", absent)
    cut = list(mutations(fine, 40, 7, is_json_lines))
    for number, body in enumerate([*planted_commits(), *cut]):
        answer = talking.post(alice, repository, body)
        assert 400 <= answer.status_code < 500, (number, answer.status_code, answer.text)
        assert answer.headers["X-Error-Message"]
    assert len(xorbs) + len(shards) + len(planted_commits()) + len(cut) >= 200
    assert state(registry) == before
    # and what is right is taken
    done(alice.request("POST", f"{base}/v1/shards", content=whole))
    done(talking.post(alice, repository, header() + lfs_line("b.bin", digest, size=len(data))))


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_every_kind_of_chunk_is_unpacked(registry: Registry, scheme: int) -> None:
    alice = registry.user("alice")
    repository = create(alice, "one")
    base = cas(alice, repository)
    pieces = [bytes([number]) * (number * 1000 + number % 4 + 1) for number in range(5)]
    xorb = b"".join(chunk(piece, scheme) for piece in pieces)
    done(alice.request("POST", f"{base}/v1/xorbs/default/{name}", content=xorb + b"XETBLOB and what follows"))
    file = pieces[3] + pieces[4] + pieces[0] + pieces[1] + pieces[2]
    segments = [(name, len(pieces[3]) + len(pieces[4]), 3, 5), (name, len(b"".join(pieces[:3])), 0, 3)]
    done(
        alice.request("POST", f"{base}/v1/shards", content=shard(shard_file(digest_of(file), segments, flags=3 << 30)))
    )
    done(talking.post(alice, repository, header() + lfs_line("f.bin", digest_of(file), size=len(file))))
    assert talking.get(alice, f"/{repository}/resolve/main/f.bin").content == file
