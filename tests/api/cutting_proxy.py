"""A network that breaks: TCP on its way to a server, cut where a test says, every byte that a client sent counted."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

piece_bytes = 64 * 1024


@dataclass(eq=False)
class Pair:
    """A client's connection and ours to the server."""

    client: socket.socket
    server: socket.socket
    sent: int = 0
    """Bytes from the client since the server last said something: of the request under way."""

    def close(self) -> None:
        for side in (self.client, self.server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


@dataclass
class CuttingProxy:
    """Listens on a port of its own for clients of `target`, within its context.

    When `every` further bytes have come from clients, the next connection that is between `window` bytes into a request is
    cut, and with `all_at_once` every other too; `cuts` times in all.
    """

    target: str
    every: int
    window: range
    all_at_once: bool
    cuts: int = 10
    done: int = 0
    """Cuts so far."""
    received: int = 0
    """Bytes from clients, heads of requests too."""
    pairs: set[Pair] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for pair in list(self.pairs):
            pair.close()

    def accept(self) -> None:
        address = urlsplit(self.target)
        # until the listener is closed
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                pair = Pair(client, socket.create_connection((address.hostname or "", address.port or 80)))
                with self.lock:
                    self.pairs.add(pair)
                for pump in (self.to_server, self.to_client):
                    threading.Thread(target=pump, args=[pair], daemon=True).start()

    def to_server(self, pair: Pair) -> None:
        with suppress(OSError):
            while data := pair.client.recv(piece_bytes):
                if self.is_cut(pair, len(data)):
                    return
                pair.server.sendall(data)
        pair.close()

    def to_client(self, pair: Pair) -> None:
        with suppress(OSError):
            while data := pair.server.recv(piece_bytes):
                pair.sent = 0
                pair.client.sendall(data)
        pair.close()

    def is_cut(self, pair: Pair, size: int) -> bool:
        """Counts what has come, and cuts when it is time; it is not passed on then."""
        with self.lock:
            self.received += size
            pair.sent += size
            is_time = self.done < self.cuts and self.received >= (self.done + 1) * self.every
            if not is_time or pair.sent not in self.window:
                return False
            self.done += 1
            doomed = self.pairs if self.all_at_once else {pair}
            self.pairs = self.pairs - doomed
        for each in doomed:
            each.close()
        return True
