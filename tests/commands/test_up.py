"""`up`: everything runs, survives the death of its parts, and leaves nothing behind."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from app.lineage.embedded import EmbeddedPostgres, is_alive

pytestmark = pytest.mark.slow


class Installation:
    """A data folder, a port, and the `up` that runs on them."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.up: subprocess.Popen[str] | None = None
        self.output_path = data_dir / "output"

    def start(self) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "GLULAM_DATA_DIR": str(self.data_dir),
            "GLULAM_PORT": str(self.port),
            "GLULAM_SERVER_PROCESSES": "2",
            "GLULAM_SHUTDOWN_SECONDS": "10",
        }
        with self.output_path.open("a") as output:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "app", "up"], env=environment, stdout=output, stderr=output, text=True
            )
        wait_until(self.is_ready, self.output)
        return self.up

    def is_ready(self) -> bool:
        assert self.up is not None
        assert self.up.poll() is None, self.output()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def output(self) -> str:
        return self.output_path.read_text()

    def children(self, command: str) -> list[psutil.Process]:
        """The running `serve` or `work`."""
        assert self.up is not None
        return [
            child for child in psutil.Process(self.up.pid).children() if is_alive(child) and command in child.cmdline()
        ]

    def get(self, path: str) -> str:
        """On a connection of its own, with the administrator's token."""
        token = (self.data_dir / "admin-token").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            body = answer.read().decode()
            assert answer.status == 200, body
            return body
        finally:
            connection.close()

    def postgres(self) -> psutil.Process | None:
        return EmbeddedPostgres(self.data_dir / "postgres").find()

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to it, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            try:
                if is_alive(process) and process.environ().get("GLULAM_DATA_DIR") == str(self.data_dir):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def installation() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        made = Installation(Path(folder))
        yield made
        for process in made.processes():
            process.kill()


def says(installation: Installation, text: str, times: int = 1) -> bool:
    return installation.output().count(text) == times


def wait_until(is_true: Callable[[], bool], explanation: Callable[[], str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, explanation()
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_process(installation: Installation, number: signal.Signals) -> None:
    up = installation.start()
    assert len(installation.processes()) >= 5, "up, twice serve, work and Postgres"
    up.send_signal(number)
    assert up.wait(20) == 0, installation.output()
    assert installation.processes() == []


def test_the_address_is_printed_always_and_the_admin_token_once(installation: Installation) -> None:
    address = f"Glulam is ready at http://127.0.0.1:{installation.port}"

    for start in (1, 2):
        up = installation.start()
        wait_until(partial(says, installation, address, start), installation.output)
        up.terminate()
        up.wait(20)
    assert installation.output().count("Admin token") == 1
    token = (installation.data_dir / "admin-token").read_text().strip()
    assert f"Admin token (kept in {installation.data_dir / 'admin-token'}): {token}" in installation.output()


def test_a_running_server_holds_no_torch(installation: Installation) -> None:
    installation.start()
    mapped = {Path(region.path).name for child in installation.children("serve") for region in child.memory_maps()}
    assert not [name for name in mapped if "torch" in name]
    assert [name for name in mapped if name.startswith("_pydantic_core")], "or the test looks at nothing"


@pytest.mark.parametrize("victim", ["serve", "work"])
def test_a_killed_child_is_replaced(installation: Installation, victim: str) -> None:
    installation.start()
    wait_until(partial(says, installation, "Glulam is ready"), installation.output)
    before = installation.children(victim)
    before[0].kill()

    def is_replaced() -> bool:
        now = installation.children(victim)
        return before[0] not in now and len(now) == len(before) and installation.is_ready()

    wait_until(is_replaced, installation.output)


def test_while_one_server_process_is_dead_the_other_answers(installation: Installation) -> None:
    installation.start()
    first, second = installation.children("serve")
    os.kill(first.pid, signal.SIGSTOP)
    for _ in range(20):
        assert '"admin"' in installation.get("/api/v1/whoami")
    os.kill(first.pid, signal.SIGKILL)
    assert is_alive(second)
    for _ in range(20):
        assert '"admin"' in installation.get("/api/v1/whoami")


def test_what_the_server_processes_measure_is_told_as_one(installation: Installation) -> None:
    installation.start()
    for _ in range(40):
        installation.get("/api/v1/whoami")
    asked = 'glulam_requests_total{method="GET",route="/whoami",status="200"} '
    # whoever is asked
    for _ in range(8):
        lines = installation.get("/metrics").splitlines()
        assert [line for line in lines if line.startswith(asked)] == [asked + "40.0"]
        assert len([line for line in lines if line.startswith('glulam_jobs{queue="merge",status="todo"}')]) == 1


def test_a_killed_database_is_replaced(installation: Installation) -> None:
    installation.start()
    wait_until(partial(says, installation, "Glulam is ready"), installation.output)
    killed = installation.postgres()
    assert killed is not None
    killed.kill()

    def is_replaced() -> bool:
        found = installation.postgres()
        return found is not None and found.pid != killed.pid and installation.is_ready()

    wait_until(is_replaced, installation.output)


def test_the_children_of_a_killed_up_stop_and_the_next_one_adopts_the_database(installation: Installation) -> None:
    up = installation.start()
    children = [*installation.children("serve"), *installation.children("work")]
    postgres = installation.postgres()
    assert postgres is not None
    up.kill()
    up.wait()
    wait_until(lambda: not any(is_alive(child) for child in children), installation.output)
    again = installation.start()
    assert installation.postgres() == postgres
    again.terminate()
    assert again.wait(20) == 0
    assert installation.processes() == []


def test_a_second_up_on_the_same_folder_is_refused(installation: Installation) -> None:
    installation.start()
    other = Installation(installation.data_dir)
    with pytest.raises(AssertionError, match="another `up` runs"):
        other.start()


def test_a_port_in_use_is_refused(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)), pytest.raises(AssertionError, match="cannot listen"):
        installation.start()
    assert installation.processes() == []
