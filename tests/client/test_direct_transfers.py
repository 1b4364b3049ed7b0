"""The client against a registry on S3: straight to the store and from it, cut in the middle, and while the store is killed."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from examples.own_registry import OwnRegistry, own_registry
from glulam import GlulamError, Registry
from tests.s3server.fixtures import running
from tests.s3server.server import S3Server

pytestmark = pytest.mark.slow

Make = Callable[[str], Path]
part_bytes = 5 << 20
size = 8 * part_bytes
attachment = "attachment.bin"


class Cut(Exception):
    """The network, or the user's patience, ends."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def server(s3: S3Server) -> Iterator[OwnRegistry]:
    settings = {f"GLULAM_{name.upper()}": value for name, value in s3.settings.items()}
    settings["GLULAM_UPLOAD_PART_BYTES"] = str(part_bytes)
    # not pytest's folder: it is too deep for the socket of the embedded Postgres
    with (
        tempfile.TemporaryDirectory(prefix="glulam-") as folder,
        own_registry(Path(folder) / "data", settings) as registry,
    ):
        yield registry


@pytest.fixture
def folder(adapter: Make, request: pytest.FixtureRequest) -> Path:
    """An adapter with an attachment of eight parts, other bytes for each test."""
    made = adapter("one")
    (made / attachment).write_bytes(Random(request.node.name).randbytes(size))
    return made


def test_an_upload_that_was_cut_goes_on_with_the_parts_that_are_missing(
    registry: Registry, me: str, folder: Path, tmp_path: Path
) -> None:
    def cut(name: str, done: int, total: int, unit: str) -> None:
        if name == attachment and done > 6 * part_bytes:
            raise Cut

    with pytest.raises(Cut):
        registry.push(f"{me}/one", folder, progress=cut)
    seen: list[int] = []

    def watch(name: str, done: int, total: int, unit: str) -> None:
        if name == attachment:
            seen.append(done)

    version = registry.push(f"{me}/one", folder, progress=watch)
    # four go at a time, so that two at least were there
    assert seen[0] >= 2 * part_bytes
    assert seen[-1] == size
    pulled = registry.pull(f"{me}/one@{version.version}", tmp_path / "pulled")
    assert (pulled / attachment).read_bytes() == (folder / attachment).read_bytes()


def test_an_upload_survives_a_kill_of_the_store(
    registry: Registry, me: str, folder: Path, tmp_path: Path, s3: S3Server
) -> None:
    is_killed = False

    def kill(name: str, done: int, total: int, unit: str) -> None:
        nonlocal is_killed
        if name == attachment and done > 6 * part_bytes and not is_killed:
            is_killed = True
            s3.kill()

    with pytest.raises(GlulamError):
        registry.push(f"{me}/two", folder, progress=kill)
    assert is_killed
    s3.start()
    first: list[int] = []

    def watch(name: str, done: int, total: int, unit: str) -> None:
        if name == attachment:
            first.append(done)

    version = registry.push(f"{me}/two", folder, progress=watch)
    assert first[0] >= 2 * part_bytes, "what the store acknowledged before the kill is there"
    pulled = registry.pull(f"{me}/two@{version.version}", tmp_path / "pulled")
    assert (pulled / attachment).read_bytes() == (folder / attachment).read_bytes()


def test_a_download_from_the_store_goes_on_where_it_stopped(
    registry: Registry, me: str, folder: Path, tmp_path: Path
) -> None:
    version = registry.push(f"{me}/three", folder)
    content = (folder / attachment).read_bytes()
    target = tmp_path / "pulled"
    target.mkdir()
    (target / f"{attachment}.part").write_bytes(content[: size // 2])
    seen: list[int] = []

    def watch(name: str, done: int, total: int, unit: str) -> None:
        if name == attachment:
            seen.append(done)

    registry.pull(f"{me}/three@{version.version}", target, progress=watch)
    assert (target / attachment).read_bytes() == content
    assert seen == sorted(seen), "nothing was fetched anew"
