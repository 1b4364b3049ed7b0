"""A worker process whose one task does what its arguments say; run as `python -m tests.processes.toy_worker URL`."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from procrastinate import App, JobContext
from procrastinate.exceptions import JobAborted
from sqlalchemy import text

from app import logs
from app.lineage import queue
from app.lineage.engine import Database
from app.lineage.queue import QueueName, TaskName
from app.worker import process

notes = "CREATE TABLE IF NOT EXISTS notes (name text, note text, at timestamptz DEFAULT clock_timestamp())"


class ToyTasks:
    """Notes in the database what happens to each job."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def register(self, app: App) -> None:
        @app.task(name=TaskName.EXECUTE_MERGE.value, retry=queue.again, pass_context=True)
        def execute(
            context: JobContext, name: str, seconds: float = 0, heeds: bool = True, fails: bool = False
        ) -> None:
            self.note(name, "started")
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if heeds and context.should_abort():
                    self.note(name, "handed back")
                    raise JobAborted
                time.sleep(0.05)
            if fails:
                raise ZeroDivisionError(name)
            self.note(name, "finished")

    def failed(self, task: str, arguments: Mapping[str, Any], error: Exception) -> None:
        self.note(arguments["name"], f"failed: {task} {type(error).__name__}")

    def note(self, name: str, note: str) -> None:
        with self.database.begin() as connection:
            connection.execute(text("INSERT INTO notes VALUES (:name, :note)"), {"name": name, "note": note})


if __name__ == "__main__":
    logs.configure("console", "info")
    url = sys.argv[1]
    timing = process.Timing(heartbeat_seconds=0.3, stalled_seconds=1.5, shutdown_seconds=float(sys.argv[2]))
    opened = Database.open(url)
    process.run(timing, url, opened, ToyTasks(opened), list(QueueName))
