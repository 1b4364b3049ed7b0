"""Statements of the hottest reads: compiled once, prepared by Postgres, and read past SQLAlchemy's own execution."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select
from sqlalchemy.dialects.postgresql import psycopg


class Prepared:
    """A SELECT whose values are all `bindparam`s that its caller gives, or constants. It is a snapshot by itself."""

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement
        dialect: Any = psycopg.dialect
        compiled = statement.compile(dialect=dialect(paramstyle="numeric_dollar"))
        self.sql = str(compiled)
        self.names = tuple(compiled.positiontup or ())
        """Of the values, in the order of $1, $2, …"""
        self.constants: Mapping[str, Any] = compiled.params

    def positional(self, values: Mapping[str, Any]) -> list[Any]:
        given = {**self.constants, **values}
        return [given[name] for name in self.names]

    def first(self, tx: Connection, values: Mapping[str, Any]) -> Row[Any] | None:
        """The same within a transaction."""
        return tx.execute(self.statement, values).first()
