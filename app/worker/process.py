"""The worker process: takes jobs from the queues until it is told to stop, and outlives a database that restarts."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from procrastinate import App, JobContext
from procrastinate.exceptions import JobAborted
from procrastinate.worker import Worker

from app.errors import NotReady
from app.lineage import queue
from app.lineage.engine import Database
from app.lineage.queue import QueueName

log = logging.getLogger(__name__)

reconnect_seconds = 2.0
lost_seconds = 60.0
"""After a lost database a worker's last questions to it have so long to end: three times what a connection is waited for."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a worker waits, in seconds."""

    heartbeat_seconds: float
    stalled_seconds: float
    """Another worker without a heartbeat for so long is taken for dead."""
    shutdown_seconds: float


class Tasks(Protocol):
    """What the worker can do."""

    def register(self, app: App) -> None:
        """Add every task by its name, with `retry=queue.again`. A task that lasts polls `context.should_abort()` and then
        raises JobAborted: the worker is stopping, and the job starts again elsewhere."""
        ...

    def failed(self, task: str, arguments: Mapping[str, Any], error: Exception) -> None:
        """Record that a job has failed for good, and why."""
        ...


def run(timing: Timing, url: str, database: Database, tasks: Tasks, queues: Sequence[QueueName]) -> None:
    """Work until SIGTERM or SIGINT. Then a running job has half of `shutdown_seconds` to finish, is asked to stop for the
    other half, and is handed back as it is at the end.

    Raises: CannotStart for a URL that is no Postgres URL.
    """
    asyncio.run(WorkerProcess(timing, url, database, tasks, queues).run())


class WorkerProcess:
    """One Procrastinate worker per queue, so that chores do not wait for a long merge; one job at a time in each."""

    def __init__(self, timing: Timing, url: str, database: Database, tasks: Tasks, queues: Sequence[QueueName]) -> None:
        self.timing = timing
        self.database = database
        self.queues = queues
        self.tasks = tasks
        self.app = queue.open_worker_app(url)
        self.stopping = asyncio.Event()
        tasks.register(self.app)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        while not self.stopping.is_set():
            try:
                async with self.app.open_async():
                    await self.work()
            except queue.database_lost as error:
                log.warning("the database does not answer (%s); trying again", error)
            if not self.stopping.is_set():
                await self.pause(reconnect_seconds)

    async def work(self) -> None:
        """Run the workers until told to stop, or until one of them has lost the database; then stop the others too."""
        workers = [self.worker(name) for name in self.queues]
        runs = [asyncio.create_task(worker.run(), name=f"worker {worker.worker_name}") for worker in workers]
        rescue = asyncio.create_task(self.rescue_stalled_jobs())
        stopping = asyncio.create_task(self.stopping.wait())
        log.info("working on %s", ", ".join(self.queues))
        await asyncio.wait([*runs, rescue, stopping], return_when=asyncio.FIRST_COMPLETED)
        rescue.cancel()
        stopping.cancel()
        for worker in workers:
            worker.stop()
        if not self.stopping.is_set():
            # the database is lost: what still asks it for something is waited for, and then it is found again
            told = asyncio.create_task(self.stopping.wait())
            ended: asyncio.Future[Any] = asyncio.gather(*runs, return_exceptions=True)
            first: set[asyncio.Future[Any]] = {ended, told}
            await asyncio.wait(first, timeout=lost_seconds, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
        _, unfinished = await asyncio.wait(runs, timeout=self.timing.shutdown_seconds)
        if unfinished:
            await self.abandon(workers)
        for finished in await asyncio.gather(*runs, rescue, return_exceptions=True):
            if isinstance(finished, Exception):
                raise finished

    def worker(self, name: QueueName) -> Worker:
        return Worker(
            self.app,
            queues=[name.value],
            name=name.value,
            concurrency=1,
            fetch_job_polling_interval=2,
            abort_job_polling_interval=2,
            shutdown_graceful_timeout=self.timing.shutdown_seconds / 2,
            delete_jobs="successful",
            install_signal_handlers=False,
            update_heartbeat_interval=self.timing.heartbeat_seconds,
            stalled_worker_timeout=self.timing.stalled_seconds,
            task_middleware=[self.run_job],
        )

    def run_job(self, call_next: Callable[[], Any], context: JobContext, _worker: Worker) -> Any:
        """Around every job, in its thread: one that fails for good is recorded, whatever it failed of."""
        try:
            return call_next()
        except JobAborted:
            raise
        except Exception as error:
            if context.task.get_retry_exception(error, context.job) is None:
                log.exception("job %s of %s failed", context.job.id, context.job.task_name)
                # when this finds no database either, the job is run again, and fails again later
                self.tasks.failed(context.job.task_name, context.job.task_kwargs, error)
            raise

    async def rescue_stalled_jobs(self) -> None:
        """Queue the jobs of dead workers again: at the start, and every few seconds."""
        while True:
            with suppress(NotReady):
                found = await asyncio.to_thread(queue.retry_stalled, self.database, self.timing.stalled_seconds)
                if found:
                    log.warning("their workers are gone, so these jobs start again: %s", found)
            await asyncio.sleep(self.timing.stalled_seconds / 6)

    async def abandon(self, workers: Sequence[Worker]) -> None:
        """Leave a job that does not stop: a thread cannot be killed, so the process goes, and the job is free at once."""
        for worker in workers:
            if worker.worker_id is not None:
                with suppress(NotReady):
                    await asyncio.to_thread(queue.release, self.database, worker.worker_id)
        log.error("a job did not stop within %g s; it is handed back as it is", self.timing.shutdown_seconds)
        os._exit(1)

    async def pause(self, seconds: float) -> None:
        """Sleep, unless told to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
