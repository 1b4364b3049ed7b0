"""JSON from strangers: one meaning for every reader, or a refusal."""

import json
from enum import StrEnum
from math import isfinite
from typing import Any, NoReturn

from app.errors import InvalidConfig

deepest_config = 16


class JsonFault(StrEnum):
    """What is wrong with a text that should be JSON."""

    NOT_JSON = "not-json"
    DUPLICATE_KEY = "duplicate-key"
    NOT_A_NUMBER = "not-a-number"
    """NaN, an infinity, or a number too large for float64 (or of more than 4,300 digits)."""
    LONE_SURROGATE = "lone-surrogate"
    TOO_DEEP = "too-deep"


class JsonRefused(ValueError):
    """A text is not JSON as RFC 8259 and RFC 7493 (I-JSON) want it."""

    def __init__(self, fault: JsonFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonRefused(JsonFault.DUPLICATE_KEY, f"the key {key!r} stands twice in one object")
            seen.add(key)
    return result


def refuse_constant(text: str) -> NoReturn:
    raise JsonRefused(JsonFault.NOT_A_NUMBER, f"{text} is no JSON number")


def finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise JsonRefused(JsonFault.NOT_A_NUMBER, f"{text[:40]} is too large for a number")
    return number


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise JsonRefused(JsonFault.NOT_A_NUMBER, f"an integer of {len(text)} digits") from error


decoder = json.JSONDecoder(
    object_pairs_hook=unique, parse_constant=refuse_constant, parse_float=finite, parse_int=whole
)


def parse_json(data: bytes, depth: int) -> Any:
    """The value of a UTF-8 text without byte order mark, nested at most `depth` deep (a bare number is 0 deep).

    Duplicate keys at any level, NaN, infinities and lone surrogates are refused. Time is linear in the text.
    Raises: JsonRefused.
    """
    try:
        value = decoder.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise JsonRefused(JsonFault.NOT_JSON, f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise JsonRefused(JsonFault.NOT_JSON, f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise JsonRefused(JsonFault.TOO_DEEP, f"nested more than {depth} deep") from error
    check_values(value, depth)
    return value


def read_object(data: bytes, path: str, limit_bytes: int) -> dict[str, Any]:
    """The JSON object that a configuration file is; `path` is for the message.

    Raises: InvalidConfig.
    """
    if len(data) > limit_bytes:
        raise InvalidConfig(path, f"{len(data)} bytes, at most {limit_bytes}")
    try:
        value = parse_json(data, deepest_config)
    except JsonRefused as error:
        raise InvalidConfig(path, error.detail) from error
    if not isinstance(value, dict):
        raise InvalidConfig(path, "not a JSON object")
    if holds_nul(value):
        raise InvalidConfig(path, "a string holds the character U+0000")
    return value


def holds_nul(value: Any) -> bool:
    """Whether a string in the value, or a key, holds U+0000: no Postgres text can, and C's end there.

    The value is not nested deeper than `parse_json` lets pass.
    """
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(holds_nul(key) or holds_nul(entry) for key, entry in value.items())
    return isinstance(value, list) and any(holds_nul(entry) for entry in value)


def check_values(value: Any, depth: int) -> None:
    """Level by level, so that no nesting is too deep to be measured."""
    level = [value]
    for remaining in range(depth, -2, -1):
        below: list[Any] = []
        for entry in level:
            if isinstance(entry, str):
                check_text(entry)
            elif isinstance(entry, dict):
                for key in entry:
                    check_text(key)
                below.extend(entry.values())
            elif isinstance(entry, list):
                below.extend(entry)
        if not below:
            return
        if remaining == 0:
            raise JsonRefused(JsonFault.TOO_DEEP, f"nested more than {depth} deep")
        level = below


def check_text(text: str) -> None:
    """A lone surrogate has no UTF-8: readers disagree on what it is."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise JsonRefused(JsonFault.LONE_SURROGATE, "a string holds half of a surrogate pair") from error
