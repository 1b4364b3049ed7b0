"""The worker process: no job is lost, whatever happens to it."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.errors import NotReady
from app.lineage import migrate, queue
from app.lineage.embedded import EmbeddedPostgres
from app.lineage.engine import Database
from app.lineage.queue import TaskName
from tests.processes import toy_worker

pytestmark = pytest.mark.slow

Start = Callable[[str, float], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers, and kills those that are left."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str, shutdown_seconds: float = 4) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.processes.toy_worker", url, str(shutdown_seconds)]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def noted(database: Database) -> Database:
    with database.begin() as connection:
        connection.execute(text(toy_worker.notes))
    return database


def defer(database: Database, name: str, **arguments: float | bool) -> None:
    with database.begin() as connection:
        queue.defer(connection, TaskName.EXECUTE_MERGE, delay_seconds=0, name=name, **arguments)


def notes(database: Database, name: str) -> list[str]:
    with database.begin() as connection:
        query = text("SELECT note FROM notes WHERE name = :name ORDER BY at")
        return list(connection.execute(query, {"name": name}).scalars())


def wait_for(database: Database, name: str, note: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while note not in (found := notes(database, name)):
        assert time.monotonic() < deadline, f"{found} without {note!r}"
        time.sleep(0.05)


def unfinished(database: Database) -> int:
    with database.begin() as connection:
        return sum(queue.depth(connection).values())


def test_jobs_are_done_and_go(noted: Database, database_url: str, start: Start) -> None:
    worker = start(database_url, 4)
    for number in range(5):
        defer(noted, f"job {number}")
    for number in range(5):
        wait_for(noted, f"job {number}", "finished")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert unfinished(noted) == 0


def test_one_merge_runs_at_a_time(noted: Database, database_url: str, start: Start) -> None:
    for name in ("first", "second"):
        defer(noted, name, seconds=0.3)
    start(database_url, 4)
    wait_for(noted, "second", "finished")
    with noted.begin() as connection:
        assert (
            list(connection.execute(text("SELECT note FROM notes ORDER BY at")).scalars())
            == ["started", "finished"] * 2
        )


def test_the_job_of_a_killed_worker_is_done_by_another(noted: Database, database_url: str, start: Start) -> None:
    defer(noted, "long", seconds=1)
    victim = start(database_url, 4)
    wait_for(noted, "long", "started")
    victim.kill()
    start(database_url, 4)
    wait_for(noted, "long", "finished")
    assert notes(noted, "long") == ["started", "started", "finished"]


def test_a_stopping_worker_finishes_a_short_job(noted: Database, database_url: str, start: Start) -> None:
    defer(noted, "short", seconds=1)
    worker = start(database_url, 4)
    wait_for(noted, "short", "started")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert notes(noted, "short") == ["started", "finished"]


def test_a_stopping_worker_hands_a_long_job_back(noted: Database, database_url: str, start: Start) -> None:
    defer(noted, "long", seconds=6)
    worker = start(database_url, 1)
    wait_for(noted, "long", "started")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert notes(noted, "long") == ["started", "handed back"]
    assert unfinished(noted) == 1
    start(database_url, 30)
    wait_for(noted, "long", "finished")


def test_a_job_that_does_not_stop_is_left_behind_and_done_by_another(
    noted: Database, database_url: str, start: Start
) -> None:
    defer(noted, "deaf", seconds=5, heeds=False)
    worker = start(database_url, 1)
    wait_for(noted, "deaf", "started")
    worker.send_signal(signal.SIGTERM)
    stopping = time.monotonic()
    assert worker.wait(10) == 1
    assert time.monotonic() - stopping < 4.5
    start(database_url, 30)
    wait_for(noted, "deaf", "finished")


def test_a_job_that_fails_is_recorded_once_and_does_not_stop_the_worker(
    noted: Database, database_url: str, start: Start
) -> None:
    defer(noted, "bad", fails=True)
    defer(noted, "good")
    start(database_url, 4)
    wait_for(noted, "good", "finished")
    assert notes(noted, "bad") == ["started", "failed: execute_merge ZeroDivisionError"]


def test_a_worker_outlives_a_killed_database(start: Start) -> None:
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        database = Database.open(postgres.url)
        try:
            migrate.upgrade(postgres.url)
            with database.begin() as connection:
                connection.execute(text(toy_worker.notes))
            worker = start(postgres.url, 4)
            defer(database, "before")
            wait_for(database, "before", "finished")
            assert postgres.process is not None
            postgres.process.kill()
            postgres.process.wait(10)
            with pytest.raises(NotReady):
                database.ping()
            time.sleep(1)
            postgres.start()
            defer(database, "after")
            wait_for(database, "after", "finished", seconds=40)
            assert worker.poll() is None
        finally:
            database.close()
            postgres.stop()
