"""The database as the services meet it."""

import threading

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.errors import CannotStart, NotReady
from app.lineage.engine import Database


def test_a_transaction_is_committed_or_leaves_nothing(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE seen (number int)"))
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        connection.execute(text("INSERT INTO seen VALUES (1)"))
        raise ZeroDivisionError
    with database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM seen")) == 0


def test_a_read_sees_one_moment_and_writes_nothing(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE seen (number int)"))
    with database.read() as reader:
        assert reader.scalar(text("SELECT count(*) FROM seen")) == 0
        with database.begin() as writer:
            writer.execute(text("INSERT INTO seen VALUES (1)"))
        assert reader.scalar(text("SELECT count(*) FROM seen")) == 0
        with pytest.raises(DBAPIError, match="read-only"):
            reader.execute(text("INSERT INTO seen VALUES (2)"))


def test_a_connection_that_read_may_write_afterwards(database_url: str) -> None:
    database = Database.open(database_url, pool_size=1)
    with database.read() as connection:
        connection.execute(text("SELECT 1"))
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE seen (number int)"))
    database.close()


def test_a_database_that_is_not_there_is_not_ready() -> None:
    database = Database.open("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(NotReady):
        database.ping()


def test_connections_that_the_database_closed_are_replaced(database: Database, database_url: str) -> None:
    database.ping()
    with psycopg.connect(database_url, autocommit=True) as other:
        # waits until they are gone
        other.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    database.ping()


def test_a_connection_lost_in_a_transaction_is_not_ready(database: Database, database_url: str) -> None:
    with pytest.raises(NotReady), database.begin() as connection:
        process = connection.scalar(text("SELECT pg_backend_pid()"))
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [process])
        connection.execute(text("SELECT 1"))


def test_a_lock_is_not_waited_for_beyond_its_limit(database_url: str) -> None:
    database = Database.open(database_url, lock_seconds=0.1)
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE seen (number int)"))
    with database.begin() as holder:
        holder.execute(text("LOCK seen"))
        with pytest.raises(NotReady), database.begin() as waiter:
            waiter.execute(text("LOCK seen"))
    database.close()


def test_more_callers_than_connections_wait_their_turn(database_url: str) -> None:
    database = Database.open(database_url, pool_size=2)
    threads = [threading.Thread(target=database.ping) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pool class that is the default
    database.close()


def test_a_durable_database_is_accepted(database: Database) -> None:
    database.check_durability()


def test_a_forgetful_database_is_refused(database_url: str) -> None:
    database = Database.open(f"{database_url}&options=-c%20synchronous_commit%3Doff")
    with pytest.raises(CannotStart, match="synchronous_commit"):
        database.check_durability()
    database.close()


@pytest.mark.parametrize("url", ["sqlite:///x.db", "not a url", "mysql://u@h/d"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(CannotStart):
        Database.open(url)


def test_an_unreadable_url_is_not_repeated() -> None:
    with pytest.raises(CannotStart) as refusal:
        Database.open("postgres secret")
    assert "secret" not in str(refusal.value)
