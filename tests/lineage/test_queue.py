"""The queue: in the caller's transaction, and nobody's job is lost."""

import threading

import pytest
from sqlalchemy import text

from app.lineage import queue
from app.lineage.engine import Database
from app.lineage.queue import TaskName


def defer(database: Database) -> int:
    with database.begin() as connection:
        return queue.defer(connection, TaskName.EXECUTE_MERGE, execution="some")


def take(database: Database, worker: int) -> int | None:
    with database.begin() as connection:
        job: int | None = connection.scalar(
            text("SELECT id FROM procrastinate_fetch_job_v2('{merge}', :worker)"), {"worker": worker}
        )
    return job


def hire(database: Database, silent_seconds: float = 0) -> int:
    with database.begin() as connection:
        worker = connection.scalar(text("SELECT worker_id FROM procrastinate_register_worker_v1()"))
        connection.execute(
            text("UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => :s) WHERE id = :w"),
            {"s": silent_seconds, "w": worker},
        )
    assert isinstance(worker, int)
    return worker


def test_a_job_is_there_when_its_transaction_is(database: Database) -> None:
    defer(database)
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        queue.defer(connection, TaskName.EXECUTE_MERGE, execution="other")
        raise ZeroDivisionError
    with database.read() as connection:
        assert queue.depth(connection) == {
            ("merge", "todo"): 1, ("merge", "doing"): 0, ("chores", "todo"): 0, ("chores", "doing"): 0,
        }  # fmt: skip


def test_the_job_of_a_silent_worker_is_queued_again(database: Database) -> None:
    job = defer(database)
    assert take(database, hire(database, silent_seconds=60)) == job
    assert queue.retry_stalled(database, 120) == []
    assert queue.retry_stalled(database, 30) == [job]
    assert take(database, hire(database)) == job
    assert queue.retry_stalled(database, 30) == []


def test_a_released_worker_leaves_its_job_at_once(database: Database) -> None:
    job, worker = defer(database), hire(database)
    take(database, worker)
    queue.release(database, worker)
    assert queue.retry_stalled(database, 3600) == [job]


def test_many_rescuers_queue_a_job_once(database: Database) -> None:
    jobs = {defer(database) for _ in range(20)}
    silent = hire(database, silent_seconds=60)
    while take(database, silent):
        pass
    found: list[int] = []
    start = threading.Barrier(8)

    def rescue() -> None:
        start.wait()
        found.extend(queue.retry_stalled(database, 30))

    threads = [threading.Thread(target=rescue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(jobs)
