"""A worker that is slow, or kills itself, in mid-merge. Run as `python -m tests.crash.planted_worker FAULT`.

Faults: `slow/SECONDS` (at each write to the store), `before-commit`, `after-commit` (of the merge's result).
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app import logs
from app.assembly import Services
from app.domain.merge import Claim
from app.formats.inspection import Inspection
from app.lineage.queue import QueueName
from app.objects.local import LocalStore, Temporary
from app.services.executing import Executing
from app.settings import Settings
from app.worker import process
from app.worker.tasks import MergeTasks

fault, _, amount = sys.argv[1].partition("/")


class SlowTemporary(Temporary):
    def write(self, chunk: bytes | memoryview) -> None:
        time.sleep(float(amount or 0))
        super().write(chunk)


class SlowStore(LocalStore):
    def stage(self) -> Temporary:
        return SlowTemporary(self)


class DyingExecuting(Executing):
    def succeed(
        self,
        claim: Claim,
        files: Sequence[tuple[str, str]],
        inspections: Mapping[str, Inspection],
        report: Mapping[str, Any],
    ) -> None:
        if fault == "before-commit":
            os.kill(os.getpid(), signal.SIGKILL)
        super().succeed(claim, files, inspections, report)
        if fault == "after-commit":
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logs.configure("console", "info")
    settings = Settings()
    services = Services.open(settings)
    assert isinstance(services.store, LocalStore)
    store = SlowStore(services.store.root)
    executing = DyingExecuting(services.database, store, services.publishing, services.executing.holding)
    planted = replace(services, store=store, executing=executing)
    timing = process.Timing(settings.worker_heartbeat_seconds, settings.worker_stalled_seconds, 10)
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    process.run(timing, url, services.database, MergeTasks(planted), list(QueueName))
