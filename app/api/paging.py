"""Lists: a page, and a cursor that leads to the next one."""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from app.api.auth import ServicesDep
from app.errors import InvalidCursor, InvalidVersionNumber, MalformedRequest
from app.formats.json_text import parse_json

Row = TypeVar("Row")
Item = TypeVar("Item")
Key = TypeVar("Key")


class Page(BaseModel):
    """How many, and from where."""

    limit: int
    cursor: str | None

    def after(self, parse: Callable[[Any], Key]) -> Key | None:
        """The key behind which the page begins. Raises: InvalidCursor."""
        if self.cursor is None:
            return None
        try:
            return parse(parse_json(base64.urlsafe_b64decode(self.cursor.encode()), depth=1))
        except (ValueError, TypeError, LookupError, AttributeError, InvalidVersionNumber) as error:
            raise InvalidCursor from error

    def cut(self, rows: Sequence[Row], key: Callable[[Row], Any]) -> tuple[Sequence[Row], str | None]:
        """The page's rows, given one more than it holds if there is one, and the cursor of the next page."""
        if len(rows) <= self.limit:
            return rows, None
        rows = rows[: self.limit]
        text = json.dumps(key(rows[-1]), default=str)
        return rows, base64.urlsafe_b64encode(text.encode()).decode()

    @property
    def wanted(self) -> int:
        """One row more than the page holds tells whether there is a next one."""
        return self.limit + 1


def page(
    request: Request,
    services: ServicesDep,
    limit: Annotated[int | None, Query(ge=1, le=200, description="Entries per page")] = None,
    cursor: Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before")] = None,
) -> Page:
    largest = services.http.largest_page
    if limit is not None and limit > largest:
        raise MalformedRequest(f"limit is at most {largest}", pointer="?limit")
    return Page(limit=limit or services.http.default_page, cursor=cursor)


PageDep = Annotated[Page, Depends(page)]


def row_number(value: Any) -> int:
    """The id of a numbered row. Raises: ValueError."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("not a row's number")
    return value


def plain_text(value: Any) -> str:
    """A text that the database can compare with. Raises: ValueError."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def time_and_id(value: Any) -> tuple[datetime, UUID]:
    return datetime.fromisoformat(value[0]), UUID(value[1])
