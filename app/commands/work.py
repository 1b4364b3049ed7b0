"""`work`: a worker. It imports no web framework, and torch only when it merges."""

from collections.abc import Sequence

from app.assembly import Services
from app.commands.database import check_database, find_database, url_of
from app.lineage.queue import QueueName
from app.settings import Settings
from app.worker import process
from app.worker.tasks import MergeTasks

gather_seconds = 0.1
"""So late those who follow hear of what happened; a burst of publications costs them as little as one."""


def run(settings: Settings, queues: Sequence[str]) -> int:
    """Work until SIGTERM or SIGINT.

    Raises: CannotStart, NotReady.
    """
    settings = find_database(settings)
    check_database(settings)
    services = Services.open(settings)
    timing = process.Timing(
        settings.worker_heartbeat_seconds, settings.worker_stalled_seconds, settings.shutdown_seconds
    )
    names = [QueueName(name) for name in queues]
    try:
        services.probe_store()
        tasks = MergeTasks(services, gather_seconds=gather_seconds)
        process.run(timing, url_of(settings), services.database, tasks, names)
    finally:
        services.close()
    return 0
