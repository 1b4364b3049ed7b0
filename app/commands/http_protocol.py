"""HTTP/1.1 as the server speaks it: uvicorn on the parser of Node, with an end to how long a request's head may be and take."""

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

longest_head_bytes = 64 * 1024
"""Also of what else surrounds a body: the lengths of its chunks, and trailers."""
longest_head_seconds = 30.0
"""From the connection on, or from the first byte of a further request; bodies have limits of their own."""


class BoundedHead(HttpToolsProtocol):
    """The parser itself gathers a head, and trailers, for as long as bytes come."""

    head_bytes: int | None = None
    """Of the request that is being read, of its head or since there last was something of its body; None between requests."""
    is_head_complete = False
    has_body = False
    """Whether the bytes that are being parsed hold something of a body."""

    head_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_waiting()
        super().connection_lost(exc)

    def await_head(self) -> None:
        self.stop_waiting()
        self.head_timer = self.loop.call_later(longest_head_seconds, self.give_up)

    def stop_waiting(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def give_up(self) -> None:
        if self.flow.read_paused:
            # it is this server that does not read: a request before this one is still being answered
            self.await_head()
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.await_head()
        self.head_bytes = 0
        self.is_head_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # trailers are handed over like headers; they come unasked, after the request was judged by its head
        if not self.is_head_complete:
            super().on_header(name, value)

    def on_headers_complete(self) -> Any:
        self.stop_waiting()
        self.head_bytes = 0
        self.is_head_complete = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.head_bytes = 0
        self.has_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.head_bytes = None
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self.has_body = False
        super().data_received(data)
        is_idle = self.head_bytes is None and (self.cycle is None or self.cycle.response_complete)
        if is_idle and self.head_timer is None:
            # empty lines, which end the waiting for a further request and begin none
            self.await_head()
        if self.head_bytes is None or self.has_body:
            return
        # what came with it of the request before it is counted too: less than one reading of the socket
        self.head_bytes += len(data)
        if self.head_bytes > longest_head_bytes and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")
