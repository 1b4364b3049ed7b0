"""The connection to Postgres: pooled, with time limits, and plain about the moments when it is not there."""

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from sqlalchemy import Connection as Connection  # part of our own interface: a service hands it from query to query
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import CannotStart, NotReady
from app.lineage.prepared import Prepared

not_answering = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
    # of what is read past SQLAlchemy
    psycopg.OperationalError,
    psycopg.InterfaceError,
)
"""No connection, a lost one, a time limit, a deadlock, a full disk: the same call may succeed later."""

durability = ("fsync", "full_page_writes", "synchronous_commit")
"""Postgres settings of which none may be off; every other value of `synchronous_commit` flushes to the local disk at least."""


def sqlalchemy_url(url: str) -> URL:
    """A `postgresql://` URL with psycopg 3 as its driver.

    Raises: CannotStart for anything that is no Postgres URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise CannotStart(
            "the database URL cannot be read; postgresql://user:password@host/database expected"
        ) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise CannotStart(f"Postgres is the only database that Glulam speaks, not {parsed.get_backend_name()}")
    return parsed.set(drivername="postgresql+psycopg")


def libpq_url(url: str) -> str:
    """The same database for psycopg and Procrastinate themselves.

    Raises: CannotStart for anything that is no Postgres URL.
    """
    return sqlalchemy_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Of a pool: a database that was restarted has closed every connection in it, which can be seen without asking it.

    Raises: DisconnectionError; the pool then opens another.
    """
    if not connection.closed:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        # between two queries it has nothing to say but goodbye
        if not waiting.poll(0):
            return
    raise DisconnectionError


def leave_autocommit(connection: Connection) -> None:
    """Of an engine: a transaction may begin on a connection that `Database.rows` has used."""
    driver: Any = connection.connection.driver_connection
    if driver.autocommit:
        driver.autocommit = False


class Database:
    """One process's pool of connections.

    A context that is left by an exception is rolled back. Whoever meets a database that does not answer gets `NotReady`;
    after one from `begin` it is unknown whether the transaction was committed.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(
        cls,
        url: str,
        pool_size: int = 10,
        *,
        statement_seconds: float = 30,
        lock_seconds: float = 5,
        connect_seconds: int = 5,
    ) -> Self:
        """A pool that connects when it is first used.

        Raises: CannotStart for a URL that is no Postgres URL.
        """
        parsed = sqlalchemy_url(url)
        limits = {
            "statement_timeout": round(statement_seconds * 1000),
            "lock_timeout": round(lock_seconds * 1000),
            "idle_in_transaction_session_timeout": round(statement_seconds * 1000),
            "timezone": "UTC",
        }
        given = parsed.query.get("options", "")
        options = [given if isinstance(given, str) else " ".join(given)]
        options += [f"-c {name}={value}" for name, value in limits.items()]
        engine = create_engine(
            parsed.difference_update_query(["options"]),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=connect_seconds,
            connect_args={
                "connect_timeout": connect_seconds,
                # a peer that vanished without a word is noticed by unanswered packets only
                "tcp_user_timeout": 10_000,
                "application_name": "glulam",
                "options": " ".join(options).strip(),
            },
        )
        event.listen(engine, "checkout", refuse_closed)
        event.listen(engine, "begin", leave_autocommit)
        return cls(engine)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction, committed when the context is left in peace.

        Raises: NotReady.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except not_answering as error:
            raise NotReady("database") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only snapshot: every statement in it sees the same moment.

        Raises: NotReady.
        """
        try:
            with self.engine.connect() as connection:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                with connection.begin():
                    yield connection
        except not_answering as error:
            raise NotReady("database") from error

    def rows(self, statement: Prepared, values: Mapping[str, Any]) -> list[Any]:
        """All rows, by the names of their columns; in one exchange with the database.

        Raises: NotReady.
        """
        try:
            connection = self.engine.raw_connection()
            try:
                driver: Any = connection.driver_connection
                # no transaction is begun or ended around a statement that is its own snapshot
                if not driver.autocommit:
                    driver.autocommit = True
                return statement.execute(driver, values).fetchall()
            except psycopg.OperationalError as error:
                if driver.closed:
                    connection.invalidate(error)
                raise
            finally:
                connection.close()
        except not_answering as error:
            raise NotReady("database") from error

    def ping(self) -> None:
        """Raises: NotReady."""
        with self.begin() as connection:
            connection.execute(text("SELECT 1"))

    def check_durability(self) -> None:
        """Refuse a database that could forget what it has acknowledged.

        Raises: CannotStart, NotReady.
        """
        with self.begin() as connection:
            found = {name: connection.scalar(text(f"SHOW {name}")) for name in durability}
        unsafe = [f"{name} = {value}" for name, value in found.items() if value == "off"]
        if unsafe:
            raise CannotStart(f"the database would lose acknowledged writes in a crash: {', '.join(unsafe)}; set to on")

    def close(self) -> None:
        self.engine.dispose()
