"""Which database a command works on: the one that is set, else the embedded one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from app.errors import CannotStart
from app.lineage import migrate
from app.lineage.engine import Database
from app.settings import Settings

if TYPE_CHECKING:
    from app.lineage.embedded import EmbeddedPostgres


def url_of(settings: Settings) -> str:
    """The database URL of settings that have one.

    Raises: CannotStart.
    """
    if settings.database_url is None:
        raise CannotStart("no database is set")
    return settings.database_url.get_secret_value()


def with_url(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(url)})


def find_database(settings: Settings) -> Settings:
    """The settings, with the URL of the embedded Postgres where none is set.

    Raises: CannotStart if that is not running.
    """
    if settings.database_url is not None:
        return settings
    postgres = embedded_postgres(settings)
    if postgres.find() is None:
        raise CannotStart("no database: set GLULAM_DATABASE_URL, or let `python -m app up` start the embedded one")
    return with_url(settings, postgres.url)


def embedded_postgres(settings: Settings) -> "EmbeddedPostgres":
    """The Postgres of the data folder, running or not.

    Raises: CannotStart where its binaries are not installed.
    """
    try:
        # a server with a database of its own needs neither the wheel nor psutil
        from app.lineage.embedded import EmbeddedPostgres
    except ImportError as error:
        raise CannotStart(
            f"no database: set GLULAM_DATABASE_URL, or install glulam-server[embedded] ({error.name} is missing)"
        ) from error
    return EmbeddedPostgres(settings.postgres_dir)


@contextmanager
def running_database(settings: Settings) -> Iterator[Settings]:
    """As `find_database`, for a command that may start the embedded Postgres for as long as it lasts.

    Raises: CannotStart.
    """
    if settings.database_url is not None:
        yield settings
        return
    postgres = embedded_postgres(settings)
    was_running = postgres.find() is not None
    postgres.start()
    try:
        yield with_url(settings, postgres.url)
    finally:
        if not was_running:
            postgres.stop()


def check_database(settings: Settings) -> None:
    """Refuse a database that is not fit to work on: one that forgets, or that stands at another revision than this code.

    Raises: CannotStart, NotReady.
    """
    database = Database.open(url_of(settings), pool_size=1)
    try:
        database.check_durability()
        found, expected = migrate.current(database), migrate.newest()
    finally:
        database.close()
    if found != expected:
        raise CannotStart(
            f"the database stands at revision {found}, this code needs {expected}: run `python -m app migrate`"
        )
