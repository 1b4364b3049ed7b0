"""Servers that webhooks are sent to, on this machine: real sockets, each as friendly as it is told to be."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Receiver:
    """What came in, and what it answers."""

    port: int = 0
    answer: Callable[[int], int] = lambda _: 204
    """The number of a request, from 0 → its status."""
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    received: list[dict[str, str]] = field(default_factory=list)
    """Headers, by request, names in small letters."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiver(answer: Callable[[int], int] = lambda _: 204, **headers: str) -> Iterator[Receiver]:
    """An HTTP server that keeps what it is sent."""
    kept = Receiver(answer=answer, headers=headers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            number = len(kept.bodies)
            kept.bodies.append(body)
            kept.received.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(kept.answer(number))
            for name, value in kept.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Sentinel:
    """Counts connections, over TLS those whose handshake is through, and says nothing."""

    port: int
    connections: int = 0


@contextmanager
def sentinel(speak: bytes = b"", *, tls: ssl.SSLContext | None = None, resets: bool = False) -> Iterator[Sentinel]:
    """A listener on every local address; with `speak` it repeats these bytes for ever, slowly; or it resets connections."""
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    listener.settimeout(0.05)
    seen = Sentinel(listener.getsockname()[1])
    over = threading.Event()
    open_ones: list[socket.socket] = []

    def listen() -> None:
        while not over.is_set():
            for connection in open_ones:
                try:
                    connection.sendall(speak)
                except OSError:
                    continue
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            seen.connections += 1
            if resets:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
            else:
                open_ones.append(connection)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        for connection in open_ones:
            connection.close()
        listener.close()


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key, in one file."""
    made = folder / "certificate.pem"
    asked = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*asked.split(), *name, "-keyout", made, "-out", folder / "alone.pem"], check=True, timeout=60)
    made.write_bytes(made.read_bytes() + (folder / "alone.pem").read_bytes())
    return made
