"""A reverse proxy that speaks TLS: bodies pass as they come, and who asked, and how, is told to the server behind it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

hop_by_hop = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"te", b"upgrade", b"proxy-connection"})
"""RFC 9110, 7.6.1."""


@dataclass
class Forwarding:
    """The proxy, as an application for a server with a certificate."""

    target: str = ""
    """Where the server behind it listens."""
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=None, trust_env=False))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def body() -> AsyncIterator[bytes]:
            while True:
                message: Message = await receive()
                if message["type"] != "http.request":
                    raise ConnectionError("the client has gone away")
                yield message.get("body", b"")
                if not message.get("more_body"):
                    return

        headers = [(name, value) for name, value in scope["headers"] if name not in hop_by_hop]
        names = {name for name, _ in scope["headers"]}
        headers += [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", scope["client"][0].encode())]
        # as it came: what stands in it as %2F is no slash
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        request = self.client.build_request(
            scope["method"],
            httpx.URL(self.target).copy_with(raw_path=path),
            headers=headers,
            content=body() if names & {b"content-length", b"transfer-encoding"} else None,
        )
        answer = await self.client.send(request, stream=True)
        try:
            kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in hop_by_hop]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            await answer.aclose()


@dataclass
class Behind:
    """Stands before a server's application, and notes what came to it by another way than the proxy."""

    app: ASGIApp
    strays: list[str] = field(default_factory=list)
    count: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.count += 1
            if (b"x-forwarded-proto", b"https") not in scope["headers"]:
                self.strays.append(scope["path"])
        await self.app(scope, receive, send)
