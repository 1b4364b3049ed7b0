"""A registry of a test on a real socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from app.commands.http_protocol import BoundedHead
from app.server import create_app
from tests.api.conftest import Registry, admin_token

as_admin = {"Authorization": f"Bearer {admin_token}"}


@contextmanager
def served(registry: Registry) -> Iterator[httpx.Client]:
    """The registry as `serve` serves it; a client of the administrator's."""
    config = uvicorn.Config(create_app(registry.services), port=0, log_config=None, http=BoundedHead, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=as_admin, timeout=30) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join()
