"""`up`: server, worker and, where none is set, the embedded Postgres, in one foreground process tree."""

import fcntl
import http.client
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from app.commands.admin_token import admin_token
from app.commands.database import embedded_postgres, url_of, with_url
from app.commands.supervision import Backoff, Child, listening_at, stop_all
from app.errors import CannotStart
from app.lineage import migrate
from app.settings import Settings

if TYPE_CHECKING:
    from app.lineage.embedded import EmbeddedPostgres

log = logging.getLogger(__name__)

tick_seconds = 0.2
metrics_variable = "PROMETHEUS_MULTIPROC_DIR"
"""By it the Prometheus client shares what processes count."""


def run(settings: Settings) -> int:
    """Returns the exit status: 0 after SIGTERM or Ctrl-C, 1 if a part does not come up.

    Raises: CannotStart, NotReady.
    """
    signals = StopSignals()
    with (
        bound(settings) as listening,
        only_one(settings),
        signals.handled(),
        database_for(settings) as (settings, postgres),
    ):
        migrate.upgrade(url_of(settings))
        _, is_new_token = admin_token(settings)
        children = children_of(settings, listening)
        try:
            return supervise(settings, children, postgres, signals, is_new_token)
        finally:
            stop_all(children, settings.shutdown_seconds, lambda: signals.count > 1)


class StopSignals:
    """Counts SIGTERM and Ctrl-C: the first asks to stop, the second to hurry."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.count = 0

    @contextmanager
    def handled(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.stop.set()


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Raises: CannotStart if another `up` runs on this data folder."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(f"another `up` runs on the data folder {settings.data_dir}") from error
        yield


@contextmanager
def database_for(settings: Settings) -> Iterator[tuple[Settings, "EmbeddedPostgres | None"]]:
    """The database that is set, or the embedded one, stopped at the end even if it was found running.

    Raises: CannotStart.
    """
    if settings.database_url is not None:
        yield settings, None
        return
    postgres = embedded_postgres(settings)
    postgres.start()
    try:
        yield with_url(settings, postgres.url), postgres
    finally:
        postgres.stop()


def children_of(settings: Settings, listening: socket.socket) -> list[Child]:
    """Server processes that answer at one socket, and a worker."""
    environment = {**os.environ, Settings.variable_of("database_url"): url_of(settings)}
    server = ["serve", listening_at, str(listening.fileno())]
    serving = dict(environment)
    if settings.server_processes > 1:
        serving[metrics_variable] = str(metrics_folder(settings))
    names = [f"serve {number}" for number in range(1, settings.server_processes + 1)]
    servers = [Child(name, server, serving, [listening.fileno()]) for name in names]
    return [*servers, Child("work", ["work"], environment)]


def metrics_folder(settings: Settings) -> Path:
    """Where server processes count together, from nothing."""
    folder = settings.data_dir / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def supervise(
    settings: Settings,
    children: Sequence[Child],
    postgres: "EmbeddedPostgres | None",
    signals: StopSignals,
    is_new_token: bool,
) -> int:
    """Keep everything running until a signal; give up if a child dies before the server was ready for the first time."""
    for child in children:
        child.start()
    is_ready = False
    backoff, postgres_started = Backoff(), time.monotonic()
    while not signals.stop.wait(tick_seconds):
        if not is_ready:
            if failed := next((child for child in children if child.has_failed()), None):
                log.error("%s does not start", failed.name)
                return 1
            is_ready = answers(settings)
            if is_ready:
                announce(settings, is_new_token)
            continue
        for child in children:
            child.keep_running()
        if postgres is not None and not postgres.is_running() and backoff.is_due():
            log.error("the embedded Postgres ended; it is started again")
            backoff.failed(time.monotonic() - postgres_started)
            postgres_started = time.monotonic()
            try:
                postgres.start()
            except CannotStart as error:
                log.error("%s", error)
    return 0


@contextmanager
def bound(settings: Settings) -> Iterator[socket.socket]:
    """The socket at which the server processes listen, one and all: whoever of them is there takes the next connection.

    Raises: CannotStart if somebody listens there already, who would be taken for our server.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listening:
        # a port that was in use a moment ago is free
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotStart(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from error
        yield listening


def answers(settings: Settings) -> bool:
    """Whether `/readyz` says yes."""
    connection = http.client.HTTPConnection(reachable_host(settings.host), settings.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def reachable_host(host: str) -> str:
    """Where a server that listens on every address is reached from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def announce(settings: Settings, is_new_token: bool) -> None:
    host = reachable_host(settings.host)
    address = settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    print(f"Glulam is ready at {address}", flush=True)
    if is_new_token:
        token, _ = admin_token(settings)
        print(f"Admin token (kept in {settings.admin_token_path}): {token}")
        print(f"Try it: curl -H 'Authorization: Bearer {token}' {address}/api/v1/whoami", flush=True)
