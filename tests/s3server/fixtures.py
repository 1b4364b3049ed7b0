"""What a test asks for to meet a real S3 server."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.s3server.server import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Running, for all tests of a process; each pytest worker has its own."""
    with running() as server:
        yield server


@pytest.fixture
def own_s3_server() -> Iterator[S3Server]:
    """Running, and the test's alone: it may be killed."""
    with running() as server:
        yield server


@contextmanager
def running() -> Iterator[S3Server]:
    with tempfile.TemporaryDirectory(prefix="glulam-s3-") as folder:
        server = S3Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            if server.process is not None:
                server.kill()
