"""HTTP/1.1 as the server speaks it: uvicorn on the parser of Node, with an end to how long a request's head may be."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

longest_head_bytes = 64 * 1024


class BoundedHead(HttpToolsProtocol):
    """The parser itself gathers a head for as long as bytes come."""

    head_bytes: int | None = None
    """Of the request that is being read; None when its head is complete, and between requests."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_bytes = 0

    def on_headers_complete(self) -> Any:
        self.head_bytes = None
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_bytes is None:
            return
        # what came with it of the request before it is counted too: less than one reading of the socket
        self.head_bytes += len(data)
        if self.head_bytes > longest_head_bytes and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")
