"""The job queue: Procrastinate on our own Postgres. Services know tasks by name only.

A job is transport: what was asked and what came of it stand in our own tables. So a job may run twice, and finished ones go.
"""

from enum import StrEnum
from typing import Final

import psycopg
from procrastinate import App, PsycopgConnector, RetryStrategy, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.types import JSONValue
from sqlalchemy import Connection, text

from app.errors import NotReady, Unavailable
from app.lineage.engine import Database, libpq_url


class QueueName(StrEnum):
    MERGE = "merge"
    """torch, and no network but the database and the store; one job at a time."""
    CHORES = "chores"
    """Everything else; no torch."""


class TaskName(StrEnum):
    EXECUTE_MERGE = "execute_merge"
    COLLECT = "collect"
    TELL = "tell"
    UPDATE_STACK = "update_stack"
    DELIVER = "deliver"


queue_of: Final = dict.fromkeys(TaskName, QueueName.CHORES) | {TaskName.EXECUTE_MERGE: QueueName.MERGE}

again = RetryStrategy(max_attempts=20, wait=1, linear_wait=2, retry_exceptions=(JobAborted, Unavailable))
"""For tasks: run again what was handed back by a stopping worker, or met a database or store that did not answer."""

database_lost = (ConnectorException, psycopg.Error, Unavailable)
"""What a worker meets when the database goes away under it."""

deferring = App(connector=SyncPsycopgConnector())
"""Never opened: every job is written on its caller's connection."""

stalled_jobs = text(
    "SELECT job.id FROM procrastinate_jobs job LEFT JOIN procrastinate_workers worker ON worker.id = job.worker_id"
    " WHERE job.status = 'doing' AND (job.worker_id IS NULL"
    " OR worker.last_heartbeat < now() - make_interval(secs => :stalled_seconds))"
    " FOR UPDATE OF job SKIP LOCKED"
)
retry_job = text("SELECT procrastinate_retry_job_v2(:job, now(), NULL, NULL, NULL)")
drop_waiting = text(
    "DELETE FROM procrastinate_jobs WHERE id IN"
    " (SELECT id FROM procrastinate_jobs WHERE task_name = :task AND status = 'todo' FOR UPDATE SKIP LOCKED)"
)
unfinished_jobs = text(
    "SELECT queue_name, status::text, count(*) FROM procrastinate_jobs"
    " WHERE status IN ('todo', 'doing') GROUP BY queue_name, status"
)


def defer(connection: Connection, task: TaskName, *, delay_seconds: int = 0, **arguments: JSONValue) -> int:
    """Queue a job in the caller's transaction: it exists if and only if that is committed. Returns the job's number.

    Raises: NotReady.
    """
    driver_connection = connection.connection.driver_connection
    configured = deferring.configure_task(
        task.value,
        queue=queue_of[task].value,
        connection=driver_connection,
        schedule_in={"seconds": delay_seconds} if delay_seconds else None,
    )
    try:
        return configured.defer(**arguments)
    except ConnectorException as error:
        raise NotReady("database") from error


def take_over(connection: Connection, task: TaskName) -> None:
    """What waits of a task without arguments is done by the caller, with everything that was committed with those jobs."""
    connection.execute(drop_waiting, {"task": task.value})


def open_worker_app(url: str) -> App:
    """The engine for one worker process, not connected yet.

    Raises: CannotStart for a URL that is no Postgres URL.
    """
    connector = PsycopgConnector(
        conninfo=libpq_url(url),
        min_size=1,
        max_size=6,
        # a database that restarts is waited for, and heartbeats are only late
        timeout=20,
        kwargs={"application_name": "glulam worker", "connect_timeout": 5, "tcp_user_timeout": 10_000},
    )
    return App(connector=connector)


def retry_stalled(database: Database, stalled_seconds: float) -> list[int]:
    """Queue again every job whose worker has sent no heartbeat for so long, or is gone; returns their numbers.

    One statement: two workers that ask at once never start a job twice, since a job that the other has just taken up is
    locked or no longer stalled.

    Raises: NotReady.
    """
    with database.begin() as connection:
        found = connection.execute(stalled_jobs, {"stalled_seconds": stalled_seconds}).scalars().all()
        for job in found:
            connection.execute(retry_job, {"job": job})
    return list(found)


def release(database: Database, worker: int) -> None:
    """Forget a worker that is about to be stopped by force, so that its jobs count as stalled at once.

    Raises: NotReady.
    """
    with database.begin() as connection:
        connection.execute(text("SELECT procrastinate_unregister_worker_v1(:worker)"), {"worker": worker})


def depth(connection: Connection) -> dict[tuple[str, str], int]:
    """How many jobs wait ("todo") and run ("doing"), by queue and status; every queue is there."""
    counted = {(queue.value, status): 0 for queue in QueueName for status in ("todo", "doing")}
    for queue, status, jobs in connection.execute(unfinished_jobs):
        counted[queue, status] = jobs
    return counted
