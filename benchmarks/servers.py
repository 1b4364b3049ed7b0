"""A registry of real processes to measure, what they use, and how a client speaks to it at least cost."""

import hashlib
import http.client
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from examples.own_registry import own_registry

MIB = 1 << 20


class Wrong(SystemExit):
    """An answer is not what it should be: nothing is reported."""


@dataclass(frozen=True)
class Measured:
    """A registry that runs: where, whose token, and its processes."""

    url: str
    token: str
    data: Path

    @property
    def processes(self) -> list[psutil.Process]:
        """Server, worker, Postgres: everything that works on the data folder."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("GLULAM_DATA_DIR") == str(self.data)
                if ours or process.cwd().startswith(str(self.data)):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    @property
    def servers(self) -> list[psutil.Process]:
        return [process for process in self.processes if process.cmdline()[2:4] == ["app", "serve"]]

    def cpu_seconds(self) -> float:
        """Of all processes, those that have ended too where their parent has seen it."""
        total = 0.0
        for process in self.processes:
            try:
                total += sum(process.cpu_times()[:2])
            except psutil.Error:
                continue
        return total

    def client(self) -> "Client":
        return Client(self.url, self.token)


@contextmanager
def measured_registry(others: Mapping[str, str] = {}) -> Iterator[Measured]:
    """`python -m app up` as it comes, on a folder of its own; `others` are settings, by variable."""
    # not below a long path: the socket of the embedded Postgres lies in it
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        data = Path(folder) / "data"
        with own_registry(data, others) as registry:
            yield Measured(registry.url, registry.admin_token, data)


class Client:
    """One connection, kept open; the standard library's, which costs the machine least beside what is measured."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        self.headers = {"Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
        """Raises: Wrong for an answer that is no success."""
        self.connection.request(method, f"/api/v1{path}", body or None, self.headers | {"Content-Type": content_type})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise Wrong(f"{method} {path}: {answer.status} {text.decode(errors='replace')[:500]}")
        return text

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        text = self.send(method, path, b"" if body is None else json.dumps(body).encode())
        return json.loads(text) if text else None

    def put(self, data: bytes) -> str:
        """Upload bytes. Returns: their digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.send("PUT", f"/blobs/{digest}", data, "application/octet-stream")
        return digest


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
