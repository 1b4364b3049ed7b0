"""A server that the real clients of the Hub can reach, and those clients in environments of their own."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvicorn
from starlette.types import ASGIApp

from app.settings import MIB, Settings
from tests.api.conftest import Registry, User
from tests.api.conftest import open_registry as open_registry
from tests.api.conftest import registry as registry
from tests.api.conftest import settings as settings

environments = Path(__file__).parents[2] / ".venv"
newest = sys.executable


class Listening(uvicorn.Server):
    """A server in a thread of this process."""

    def install_signal_handlers(self) -> None:
        """They belong to the tests."""


def client_environment(url: str, home: Path, token: str | None, *, xet: bool = True) -> dict[str, str]:
    """What a client's process is started with: nothing of the machine's own settings of Hugging Face."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING_FACE"))}
    own = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    own |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    if token is not None:
        own["HF_TOKEN"] = token
    if not xet:
        own["HF_HUB_DISABLE_XET"] = "1"
    return kept | own


def run_client(script: str, arguments: Sequence[str], environment: Mapping[str, str], *, python: str, cwd: Path) -> Any:
    """Run a script with a client's Python; what it prints last is its answer, as JSON."""
    done = subprocess.run(
        [python, "-c", script, *arguments],
        env=dict(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else None


@dataclass
class Hub:
    """A registry under an address."""

    registry: Registry
    url: str
    folder: Path

    def user(self, name: str) -> User:
        return self.registry.user(name)

    def environment(self, user: User | None, *, xet: bool = True) -> dict[str, str]:
        home = self.folder / ("home" if user is None else f"home-{user.name}")
        return client_environment(self.url, home, None if user is None else user.token, xet=xet)

    def run(
        self,
        script: str,
        *arguments: str,
        user: User | None = None,
        python: str = newest,
        xet: bool = True,
        others: dict[str, str] | None = None,
    ) -> Any:
        environment = self.environment(user, xet=xet) | (others or {})
        return run_client(script, arguments, environment, python=python, cwd=self.folder)


class Listen(Protocol):
    def __call__(self, app: ASGIApp, **config: Any) -> str: ...


class Serve(Protocol):
    def __call__(self, registry: Registry, app: ASGIApp | None = None) -> Hub: ...


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Gives applications addresses; further arguments are uvicorn's own."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp, **config: Any) -> str:
        server = Listening(uvicorn.Config(app, port=0, log_config=None, lifespan="off", **config))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"{'https' if 'ssl_certfile' in config else 'http'}://127.0.0.1:{port}"

    yield start
    for server, thread in reversed(running):
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def serve(listen: Listen, tmp_path: Path) -> Serve:
    """Gives registries addresses; others may stand before their applications."""
    return lambda registry, app=None: Hub(registry, listen(app or registry.app), tmp_path)


@pytest.fixture
def hub(serve: Callable[[Registry], Hub], open_registry: Callable[[Settings], Registry], settings: Settings) -> Hub:
    """With parts as large as they usually are: these clients send much."""
    return serve(open_registry(settings.model_copy(update={"upload_part_bytes": 16 * MIB})))
