"""The protocol spoken by hand, without a client: for what no client would send."""

import base64
import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import lz4.frame
from httpx2 import Response as Response

from app.domain.git import is_lfs
from tests.api.conftest import User, done

header_bytes = 8


def line(key: str, **value: Any) -> bytes:
    return json.dumps({"key": key, "value": value}).encode() + b"\n"


def header(summary: str = "A commit", **more: Any) -> bytes:
    return line("header", summary=summary, description="", **more)


def file_line(path: str, data: bytes) -> bytes:
    return line("file", path=path, content=base64.b64encode(data).decode(), encoding="base64")


def lfs_line(path: str, oid: str, **more: Any) -> bytes:
    return line("lfsFile", path=path, algo="sha256", oid=oid.removeprefix("sha256:"), **more)


def post(user: User, repository: str, body: bytes | Iterable[bytes], branch: str = "main") -> Response:
    sent = body if isinstance(body, bytes) else b"".join(body)
    return user.request("POST", f"/api/models/{repository}/commit/{branch}", content=sent)


def push(
    user: User, repository: str, files: Mapping[str, bytes], *, branch: str = "main", remove: Iterable[str] = ()
) -> Response:
    """Commit as a client does: large files are uploaded first."""
    lines = [header()]
    for path, data in files.items():
        if is_lfs(path, len(data)):
            lines.append(lfs_line(path, user.upload(data), size=len(data)))
        else:
            lines.append(file_line(path, data))
    lines += [line("deletedFile", path=path) for path in remove]
    return post(user, repository, lines, branch)


def pushed(user: User, repository: str, files: Mapping[str, bytes], **arguments: Any) -> str:
    """The commit's id."""
    found: str = done(push(user, repository, files, **arguments))["commitOid"]
    return found


def create(user: User, name: str, **fields: Any) -> str:
    done(user.request("POST", "/api/repos/create", json={"name": name, "private": False} | fields))
    return f"{user.name}/{name}"


def get(user: User, path: str, **arguments: Any) -> Response:
    return user.request("GET", path, **arguments)


def chunk(data: bytes, scheme: int = 0) -> bytes:
    """A chunk as a Xet client packs it."""
    packed = data
    if scheme == 2:
        packed = b"".join(data[place::4] for place in range(4))
    if scheme:
        packed = lz4.frame.compress(packed)
    return b"\0" + len(packed).to_bytes(3, "little") + bytes([scheme]) + len(data).to_bytes(3, "little") + packed


def hash_bytes(name: str) -> bytes:
    """The bytes of a hash that is written so."""
    return b"".join(bytes.fromhex(name[start : start + 16])[::-1] for start in range(0, 64, 16))


def shard_header() -> bytes:
    return (b"HFRepoMetaData".ljust(32, b"\0")) + struct.pack("<QQ", 2, 0)


def shard_file(
    digest: str, segments: list[tuple[str, int, int, int]], *, flags: int = 1 << 30, count: int | None = None
) -> bytes:
    entry = bytes(32) + struct.pack("<II", flags, len(segments) if count is None else count) + bytes(8)
    entry += b"".join(
        hash_bytes(name) + struct.pack("<IIII", 0, size, first, end) for name, size, first, end in segments
    )
    if flags & 1 << 31:
        entry += bytes(48) * len(segments)
    if flags & 1 << 30:
        entry += hash_bytes(digest.removeprefix("sha256:")) + bytes(16)
    return entry


def shard(*files: bytes) -> bytes:
    return shard_header() + b"".join(files) + b"\xff" * 32 + bytes(16)


def cas(user: User, repository: str) -> str:
    """The path that chunks of a repository are sent to."""
    granted = done(get(user, f"/api/models/{repository}/xet-write-token/main"))
    return "/" + str(granted["casUrl"]).split("/", 3)[3]
