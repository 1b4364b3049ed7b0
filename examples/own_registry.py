"""A registry of one's own for a while: `python -m app up` on a free port with a fresh data folder."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

start_seconds = 60
stop_seconds = 30
checkout = Path(__file__).parent.parent


@dataclass(frozen=True)
class OwnRegistry:
    """Where it answers, and the token of its admin."""

    url: str
    admin_token: str


@contextmanager
def own_registry(data: Path, others: Mapping[str, str] = {}) -> Iterator[OwnRegistry]:
    """Started and ready within the block, stopped with all its processes after it; its log is `up.log` in the folder.

    `others` are further settings, by variable.
    Raises: RuntimeError with the end of the log when it does not become ready.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    ours = {key: value for key, value in os.environ.items() if not key.startswith("GLULAM_")}
    settings = {
        "GLULAM_DATA_DIR": str(data),
        "GLULAM_HOST": "127.0.0.1",
        "GLULAM_PORT": str(port),
        "GLULAM_LOG_FORMAT": "json",
        **others,
    }
    data.mkdir(parents=True)
    log = data / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "up"], cwd=checkout, env=ours | settings, stdout=out, stderr=out
        )
    try:
        wait_until_ready(url, process, log)
        yield OwnRegistry(url, (data / "admin-token").read_text().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(stop_seconds)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + start_seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            # not listening yet
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the registry did not become ready:\n{log.read_text(errors='replace')[-4000:]}")
