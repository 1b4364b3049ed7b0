"""`serve`: the HTTP server. It never imports torch."""

import logging

import uvicorn

from app.assembly import Services
from app.commands.admin_token import admin_token
from app.commands.database import check_database, find_database
from app.commands.http_protocol import BoundedHead
from app.server import create_app
from app.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; requests that run then may finish for half of `shutdown_seconds`.

    Raises: CannotStart, NotReady.
    """
    settings = find_database(settings)
    check_database(settings)
    token, is_new = admin_token(settings)
    if is_new:
        log.info("an admin token was made; it is kept in %s", settings.admin_token_path)
    services = Services.open(settings)
    try:
        services.accounts.bootstrap(token)
        services.probe_store()
        uvicorn.run(
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
    finally:
        services.close()
    return 0
