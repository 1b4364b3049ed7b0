"""A registry of real processes, any of which can be killed; recovery is asserted, not hoped for."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import psutil
import psycopg

from app.lineage import migrate
from app.lineage.embedded import EmbeddedPostgres, is_alive
from app.lineage.engine import libpq_url

admin_token = "glu_crash-test-admin-token-of-at-least-192-bits-0123"
heartbeat_seconds, stalled_seconds = 0.3, 1.5


class Part(StrEnum):
    SERVER = "server"
    WORKER = "worker"
    DATABASE = "database"


def wait_until(
    is_true: Callable[[], bool], explanation: str, log: Callable[[], str] = str, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"{explanation}\n{log()}"
        time.sleep(0.1)


def free_port() -> int:
    """Below those that the kernel gives out: while the server is dead nobody else is to get its port, not even a client
    that knocks there and may be given that very port as its own."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Installation:
    """Server, worker and database on one data folder, each started by us alone, so that each can be killed alone."""

    def __init__(
        self, data_dir: Path, database_url: str | None = None, server: Sequence[str] = ("-m", "app", "serve")
    ) -> None:
        """Without a database URL it has a Postgres of its own, which can be killed too."""
        self.data_dir = data_dir
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.postgres = EmbeddedPostgres(data_dir / "postgres") if database_url is None else None
        self.url = database_url or EmbeddedPostgres(data_dir / "postgres").url
        self.commands = {Part.SERVER: server, Part.WORKER: ("-m", "app", "work")}
        self.running: dict[Part, subprocess.Popen[bytes]] = {}
        self.log_path = data_dir / "log"
        self.environment = {
            **os.environ,
            "GLULAM_DATA_DIR": str(data_dir),
            "GLULAM_DATABASE_URL": self.url,
            "GLULAM_ADMIN_TOKEN": admin_token,
            "GLULAM_PORT": str(self.port),
            "GLULAM_DEVICE": "cpu",
            "GLULAM_UPLOAD_PART_BYTES": str(64 * 1024),
            "GLULAM_WORKER_HEARTBEAT_SECONDS": str(heartbeat_seconds),
            "GLULAM_WORKER_STALLED_SECONDS": str(stalled_seconds),
            "GLULAM_SHUTDOWN_SECONDS": "10",
            "OMP_NUM_THREADS": "1",
        }

    def begin(self, parts: Iterable[Part]) -> None:
        if self.postgres is not None:
            self.postgres.start()
            migrate.upgrade(self.url)
        self.start(parts)

    def start(self, parts: Iterable[Part]) -> None:
        """Start the parts and return when each of them, and not a predecessor, answers."""
        wanted = set(parts)
        if Part.DATABASE in wanted and self.postgres is not None:
            self.postgres.start()
        workers_before = self.workers()
        for part in wanted - {Part.DATABASE}:
            self.running[part] = self.launch(self.commands[part])
        if Part.SERVER in wanted:
            self.wait_for(self.running[Part.SERVER], self.server_answers, "the server does not answer")
        if Part.WORKER in wanted:
            newest = max(workers_before, default=0)
            self.wait_for(
                self.running[Part.WORKER], lambda: max(self.workers(), default=0) > newest, "no new worker reports"
            )

    def launch(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, process: "subprocess.Popen[bytes]", answers: Callable[[], bool], explanation: str) -> None:
        def has_come() -> bool:
            assert process.poll() is None, f"it ended with {process.returncode}: {self.log_tail()}"
            return answers()

        wait_until(has_come, explanation, self.log_tail)

    def server_answers(self) -> bool:
        """Ready, and it is the process that we started last that listens (its group, for a server that forks)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status != 200:
                return False
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        started = psutil.Process(self.running[Part.SERVER].pid)
        listening = [
            connection
            for process in (started, *started.children())
            for connection in process.net_connections("tcp4")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == self.port
        ]
        return bool(listening)

    def workers(self) -> list[int]:
        """Numbers of the workers that reported in the last moments; every queue of a process is one."""
        rows = self.query(
            "SELECT id FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => %s)",
            3 * heartbeat_seconds,
        )
        return [int(str(row[0])) for row in rows]

    def query(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        with psycopg.connect(libpq_url(self.url), autocommit=True) as connection:
            return connection.execute(statement.encode(), arguments).fetchall()

    def is_merging(self) -> bool:
        return bool(self.query("SELECT 1 FROM merge_executions WHERE state = 'running'"))

    def kill(self, part: Part, *, with_children: bool = True) -> None:
        """`kill -9`; returns when it is dead and buried. `with_children`: of Postgres, the backends at the same time."""
        if part is not Part.DATABASE:
            process = self.running.pop(part)
            assert process.poll() is None, f"the {part} was dead before: {self.log_tail()}"
            process.kill()
            assert process.wait(10) == -signal.SIGKILL
            return
        assert self.postgres is not None
        postmaster = self.postgres.find()
        assert postmaster is not None, "the database was dead before"
        victims = [postmaster, *(postmaster.children(recursive=True) if with_children else [])]
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                assert victim is not postmaster
        _, alive = psutil.wait_procs(victims, timeout=10)
        assert alive == []
        assert self.postgres.find() is None

    def pid(self, part: Part) -> int:
        if part is not Part.DATABASE:
            return self.running[part].pid
        assert self.postgres is not None
        postmaster = self.postgres.find()
        assert postmaster is not None, "no database runs"
        return postmaster.pid

    def stop(self) -> None:
        """As an operator does; afterwards no process is left."""
        for process in self.running.values():
            # each leads a group of its own, for a server that forks
            os.killpg(process.pid, signal.SIGTERM)
        for part, process in self.running.items():
            # uvicorn ends by the signal that it was sent
            assert process.wait(20) in {0, -signal.SIGTERM}, f"{part}: {self.log_tail()}"
        self.running.clear()
        if self.postgres is not None:
            self.postgres.stop()
        wait_until(lambda: self.processes() == [], "processes are left", lambda: str(self.processes()), 5)

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to it, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("GLULAM_DATA_DIR") == str(self.data_dir)
                if is_alive(process) and (ours or Path(process.cwd()) == self.data_dir / "postgres"):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def destroy(self) -> None:
        """Whatever a failed test has left."""
        for process in self.processes():
            process.kill()
        for child in self.running.values():
            child.wait()

    def log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-3000:] if self.log_path.exists() else ""
