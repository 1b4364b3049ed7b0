"""Downloads over real sockets, from a server that breaks off, lies, or knows no ranges."""

import hashlib
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from glulam.connection import Connection
from glulam.downloads import download, target_of
from glulam.errors import DigestMismatch, NotFound, UnexpectedAnswer, Unreachable
from glulam.progress import silent
from glulam.values import File

content = random.Random(5).randbytes(3_000_000)
digest = "sha256:" + hashlib.sha256(content).hexdigest()
weights = File("sub/weights.safetensors", digest, len(content))


class Server(ThreadingHTTPServer):
    """Serves `content` at every address but /missing; each answer breaks off after `break_after` bytes while it is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.break_after: int | None = None
        self.knows_ranges = True
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path.endswith("/missing"):
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        content = self.server.content
        unchanged = self.headers.get("If-Range") == f'"{hashlib.sha256(content).hexdigest()}"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and unchanged and self.server.knows_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) if self.server.break_after is None else start + self.server.break_after
        self.wfile.write(content[start:end])
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def bring(server: Server, folder: Path, file: File = weights, address: str = "/files") -> None:
    connection = Connection(server.url, None, sleep=lambda seconds: None)
    try:
        download(connection, [file], lambda path: address, folder, silent)
    finally:
        connection.close()


def test_a_file_comes_whole_and_verified(server: Server, tmp_path: Path) -> None:
    bring(server, tmp_path)
    assert (tmp_path / weights.path).read_bytes() == content
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.break_after = 700_000
    bring(server, tmp_path)
    assert (tmp_path / weights.path).read_bytes() == content
    assert server.ranges == [None, "bytes=700000-", "bytes=1400000-", "bytes=2100000-", "bytes=2800000-"]


def test_an_interrupted_run_is_taken_up_by_the_next(server: Server, tmp_path: Path) -> None:
    part = tmp_path / (weights.path + ".part")
    part.parent.mkdir()
    part.write_bytes(content[:1_000_000])
    bring(server, tmp_path)
    assert (tmp_path / weights.path).read_bytes() == content
    assert server.ranges == ["bytes=1000000-"]


def test_a_server_without_ranges_sends_the_whole_again(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    part = tmp_path / (weights.path + ".part")
    part.parent.mkdir()
    part.write_bytes(content[:1_000_000])
    bring(server, tmp_path)
    assert (tmp_path / weights.path).read_bytes() == content


@pytest.mark.parametrize("left", [b"something else", bytes(len(content)), bytes(len(content) + 1)])
def test_what_another_run_left_is_not_trusted(server: Server, tmp_path: Path, left: bytes) -> None:
    part = tmp_path / (weights.path + ".part")
    part.parent.mkdir()
    part.write_bytes(left)
    bring(server, tmp_path)
    assert (tmp_path / weights.path).read_bytes() == content


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    bring(server, tmp_path)
    bring(server, tmp_path)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("wrong", [bytes(len(content)), content + b"more"])
def test_wrong_bytes_do_not_get_the_name(server: Server, tmp_path: Path, wrong: bytes) -> None:
    server.content = wrong
    with pytest.raises(DigestMismatch):
        bring(server, tmp_path)
    assert not (tmp_path / weights.path).exists()


def test_a_connection_that_brings_nothing_is_given_up(server: Server, tmp_path: Path) -> None:
    server.break_after = 0
    with pytest.raises(Unreachable):
        bring(server, tmp_path)
    assert not (tmp_path / weights.path).exists()


def test_a_refusal_is_raised_as_it_is(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        bring(server, tmp_path, address="/missing")


def test_an_empty_file_is_a_file(server: Server, tmp_path: Path) -> None:
    bring(server, tmp_path, File("empty", "sha256:" + hashlib.sha256(b"").hexdigest(), 0))
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "C:/x", "a\\b", "glulam.json", "", "a\0b"])
def test_a_path_that_leaves_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(UnexpectedAnswer):
        target_of(tmp_path, path)
