"""Statements of what is asked most: compiled once, prepared by Postgres, and run past SQLAlchemy's own execution, which
costs several times what Postgres needs for them."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, Executable, bindparam
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.dialects.postgresql import psycopg as postgres
from sqlalchemy.orm import InstrumentedAttribute

postgres_dialect: Any = postgres.dialect
dialect = postgres_dialect(paramstyle="numeric_dollar")


def inserting(*columns: InstrumentedAttribute[Any]) -> Insert:
    """An INSERT of one row into the table of these columns, each given by its own name."""
    return insert(columns[0].class_).values({column.key: bindparam(column.key) for column in columns})


class Prepared:
    """A statement whose values are all `bindparam`s that its caller gives, or constants."""

    def __init__(self, statement: Executable) -> None:
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # every clause that can be executed has it
        self.sql = str(compiled)
        self.names = tuple(compiled.positiontup or ())
        """Of the values, in the order of $1, $2, …"""
        self.constants: Mapping[str, Any] = compiled.params
        processors = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
        }
        self.processors = tuple(processors[name] for name in self.names)

    def positional(self, values: Mapping[str, Any]) -> list[Any]:
        given = {**self.constants, **values}
        return [
            given[name] if processor is None else processor(given[name])
            for name, processor in zip(self.names, self.processors, strict=True)
        ]

    def execute(self, driver: Any, values: Mapping[str, Any]) -> psycopg.RawCursor[Any]:
        """On a connection of the driver; rows are named tuples."""
        cursor = psycopg.RawCursor(driver, row_factory=namedtuple_row)
        return cursor.execute(self.sql, self.positional(values), prepare=True)

    def run(self, tx: Connection, values: Mapping[str, Any] = {}) -> None:
        self.execute(tx.connection.driver_connection, values)

    def first(self, tx: Connection, values: Mapping[str, Any] = {}) -> Any:
        """The first row, or None."""
        return self.execute(tx.connection.driver_connection, values).fetchone()

    def all(self, tx: Connection, values: Mapping[str, Any] = {}) -> list[Any]:
        return self.execute(tx.connection.driver_connection, values).fetchall()
