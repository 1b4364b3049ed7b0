"""HTTP/1.1 as the server speaks it: uvicorn on the parser of Node, with an end to how long a request's head may be."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

longest_head_bytes = 64 * 1024
"""Also of what else surrounds a body: the lengths of its chunks, and trailers."""


class BoundedHead(HttpToolsProtocol):
    """The parser itself gathers a head, and trailers, for as long as bytes come."""

    head_bytes: int | None = None
    """Of the request that is being read, of its head or since there last was something of its body; None between requests."""
    is_head_complete = False
    has_body = False
    """Whether the bytes that are being parsed hold something of a body."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_bytes = 0
        self.is_head_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # trailers are handed over like headers; they come unasked, after the request was judged by its head
        if not self.is_head_complete:
            super().on_header(name, value)

    def on_headers_complete(self) -> Any:
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
        if self.head_bytes is None or self.has_body:
            return
        # what came with it of the request before it is counted too: less than one reading of the socket
        self.head_bytes += len(data)
        if self.head_bytes > longest_head_bytes and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")
