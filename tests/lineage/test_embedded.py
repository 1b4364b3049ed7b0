"""The embedded Postgres, through everything that a laptop does to it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from app.lineage.embedded import EmbeddedPostgres, longest_socket_path_bytes


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="glulam-") as parent:
        yield Path(parent) / "postgres"
        EmbeddedPostgres(Path(parent) / "postgres").stop()


def remember(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE remembered AS SELECT 42 AS number")


def recall(postgres: EmbeddedPostgres) -> int:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute("SELECT number FROM remembered").fetchone()
    assert row is not None
    return int(row[0])


def test_it_keeps_what_it_was_given(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    remember(postgres)
    postgres.stop()
    assert not postgres.is_running()
    postgres.start()
    assert recall(postgres) == 42


def test_it_survives_kill_9(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    remember(postgres)
    assert postgres.process is not None
    killed = postgres.process.pid
    postgres.process.kill()
    postgres.process.wait(10)
    assert not postgres.is_running()
    postgres.start()
    assert postgres.process is not None
    assert postgres.process.pid != killed
    assert recall(postgres) == 42


def test_a_second_owner_adopts_it_and_stops_it(folder: Path) -> None:
    first, second = EmbeddedPostgres(folder), EmbeddedPostgres(folder)
    first.start()
    second.start()
    assert first.process is not None
    assert second.process is not None
    assert second.process.pid == first.process.pid
    second.stop()
    assert not first.is_running()


def test_a_pid_file_whose_number_belongs_to_somebody_else_does_not_mislead(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    postgres.stop()
    lines = [str(psutil.Process().pid), str(folder), "1700000000", "5432", str(folder), "", "1 1", "ready"]
    (folder / "postmaster.pid").write_text("\n".join(lines) + "\n")
    assert postgres.find() is None
    postgres.start()
    assert postgres.is_running()


def test_a_folder_with_a_long_name_has_its_socket_elsewhere(folder: Path) -> None:
    deep = folder.parent / ("a" * longest_socket_path_bytes) / "postgres"
    postgres = EmbeddedPostgres(deep)
    postgres.start()
    try:
        remember(postgres)
        assert postgres.socket_dir != deep
        assert postgres.socket_dir.stat().st_mode & 0o077 == 0
    finally:
        postgres.stop()
    assert not postgres.socket_dir.exists()


def test_a_folder_that_was_half_made_is_made_again(folder: Path) -> None:
    (folder.parent / "postgres.new").mkdir()
    (folder.parent / "postgres.new" / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    assert postgres.is_running()
