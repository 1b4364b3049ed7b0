"""What every test may ask for: a real Postgres, and a migrated database of its own."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from app.lineage import migrate
from app.lineage.embedded import EmbeddedPostgres
from app.lineage.engine import Database, sqlalchemy_url
from tests.s3server.fixtures import own_s3_server as own_s3_server
from tests.s3server.fixtures import s3_server as s3_server

numbers = itertools.count(1)


class PostgresServer:
    """One server for all tests of a process; hands out databases."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.template: str | None = None

    def create(self, template: str = "template0") -> str:
        """A new database's URL."""
        name = f"test_{next(numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)

    def create_migrated(self) -> str:
        """A new database with the whole schema: a copy of one that was migrated, which takes a tenth of the time."""
        if self.template is None:
            self.template = "migrated"
            self._execute(f"CREATE DATABASE {self.template} TEMPLATE template0")
            migrate.upgrade(self.url_of(self.template))
        return self.create(self.template)

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def url_of(self, name: str) -> str:
        url: URL = self.url.set(database=name)
        return url.render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        engine = create_engine(sqlalchemy_url(str(self.url.render_as_string(hide_password=False))))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The embedded Postgres in a temporary folder; each pytest worker has its own."""
    # not tmp_path: its folders are too deep for a socket, and kept afterwards
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        embedded = EmbeddedPostgres(Path(folder) / "postgres")
        embedded.start()
        try:
            yield PostgresServer(embedded.url)
        finally:
            embedded.stop()


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh database with the schema of the newest revision."""
    url = postgres.create_migrated()
    yield url
    postgres.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database, open."""
    opened = Database.open(database_url, pool_size=20)
    yield opened
    opened.close()
