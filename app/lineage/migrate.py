"""The schema's way up and down: Alembic's revisions in `migrations/`, run from code."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from app.errors import NotReady
from app.lineage.engine import Database

configuration_path = Path(__file__).parents[2] / "alembic.ini"

upgrade_lock = 0x676C756C616D
"""Key of the advisory lock that a process holds while it changes the schema: `glulam` in ASCII."""


def is_ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    """Whether a table is one of our metadata's: the queue's tables are Procrastinate's."""
    return not (kind == "table" and name is not None and name.startswith("procrastinate_"))


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database to a revision; harmless when it is there already. Processes that upgrade together take turns.

    Raises: NotReady.
    """
    run(command.upgrade, url, revision)


def downgrade(url: str, revision: str = "base") -> None:
    """Take revisions back, and with them what their tables hold.

    Raises: NotReady.
    """
    run(command.downgrade, url, revision)


def current(database: Database) -> str | None:
    """The revision a database stands at; None before the first.

    Raises: NotReady.
    """
    with database.begin() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The revision that this code was written for."""
    return ScriptDirectory.from_config(Config(configuration_path)).get_current_head()


def run(step: Any, url: str, revision: str) -> None:
    configuration = Config(configuration_path)
    configuration.attributes["url"] = url
    try:
        step(configuration, revision)
    except OperationalError as error:
        raise NotReady("database") from error
