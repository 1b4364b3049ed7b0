"""`serve`: the HTTP server. It never imports torch."""

import logging
import socket

import uvicorn

from app.assembly import Services
from app.commands.admin_token import admin_token
from app.commands.database import check_database, find_database
from app.commands.http_protocol import BoundedHead
from app.server import create_app
from app.settings import Settings
from app.web.assets import assets

log = logging.getLogger(__name__)


def run(settings: Settings, listening_at: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT; requests that run then may finish for half of `shutdown_seconds`.

    Args:
        listening_at: a socket that several processes share; None: this one binds its own.

    Raises: CannotStart, NotReady.
    """
    settings = find_database(settings)
    check_database(settings)
    assets.check()
    token, is_new = admin_token(settings)
    if is_new:
        log.info("an admin token was made; it is kept in %s", settings.admin_token_path)
    services = Services.open(settings)
    try:
        services.accounts.bootstrap(token)
        services.probe_store()
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(services),
                host=settings.host,
                port=settings.port,
                http=BoundedHead,
                ws="none",
                timeout_graceful_shutdown=round(settings.shutdown_seconds / 2),
                # the server writes a line per request itself
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )
        server.run(None if listening_at is None else [socket.socket(fileno=listening_at)])
    finally:
        services.close()
    return 0 if server.started else 1
