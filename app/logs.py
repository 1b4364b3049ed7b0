"""One line per event on standard error, as JSON or for people; what libraries log comes out the same way."""

import logging
import re
import sys
from contextlib import suppress
from typing import TextIO

import structlog
from structlog.typing import Processor

token = re.compile(r"glu_[A-Za-z0-9_-]{8,}")
"""Every token of ours, wherever it stands."""


class WithoutTokens(logging.StreamHandler[TextIO]):
    """Writes lines in which every token has been blotted out, also those that stand in a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return token.sub("glu_…", super().format(record))


class Lines:
    """Writes lines that are finished, past the standard library's logging: a line for every request has to be cheap."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        # a full disk or a dead pipe is no reason to leave a request without its answer
        with suppress(OSError, ValueError):
            # the stream of this moment: a test may have put another in its place
            sys.stderr.write(token.sub("glu_…", line) + "\n")

    debug = info = warning = error = critical = msg


def configure(log_format: str, level: str) -> None:
    """Set up logging for this process, once; `log_format` is "json" or "console"."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor]
    if log_format == "json":
        rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        # not the default, which prints every local variable: slow enough to stop a server, and full of secrets
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler = WithoutTokens(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    for talkative in ("procrastinate", "alembic", "psycopg.pool"):
        logging.getLogger(talkative).setLevel(max(logging.WARNING, logging.getLogger().level))
