"""The schema goes up, down and up again, and is what the tables say."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import procrastinate.schema
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from app.lineage import migrate
from app.lineage.engine import Database
from app.lineage.tables import Base
from tests.conftest import PostgresServer

everything = text(
    "SELECT 'relation', relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'c'"
    " UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    " UNION ALL SELECT 'type', typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typelem = 0"
    " ORDER BY 1, 2"
)


@pytest.fixture
def empty_url(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


def contents(url: str) -> list[tuple[str, str]]:
    database = Database.open(url, pool_size=1)
    with database.read() as connection:
        found = [
            (kind, name) for kind, name in connection.execute(everything) if not name.startswith("alembic_version")
        ]
    database.close()
    return found


def test_up_down_and_up_again_is_the_same(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    first = contents(empty_url)
    migrate.downgrade(empty_url)
    assert contents(empty_url) == []
    migrate.upgrade(empty_url)
    assert contents(empty_url) == first


def test_the_schema_is_what_the_tables_say(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": migrate.is_ours, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_a_migrated_database_stands_at_the_newest_revision(database: Database) -> None:
    assert migrate.current(database) == migrate.newest()


def test_servers_that_start_together_migrate_once(empty_url: str) -> None:
    # Alembic keeps its context in module globals, so that each needs a process of its own
    code = f"from app.lineage import migrate; migrate.upgrade({empty_url!r})"
    with ThreadPoolExecutor(3) as pool:
        results = list(
            pool.map(lambda _: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True), range(3))
        )
    assert [result.returncode for result in results] == [0, 0, 0], results


def test_the_queue_schema_is_that_of_the_installed_procrastinate() -> None:
    ours = Path(migrate.configuration_path).parent / "migrations" / "sql" / "procrastinate_3_10.sql"
    assert ours.read_text() == procrastinate.schema.SchemaManager.get_schema()
