"""A model card: the YAML between two lines of dashes at the head of a README.md, as plain JSON data.

Nothing in it is executed or imported; what YAML has beyond JSON (tags, anchors, dates, several documents) is refused or text.
"""

import json
import math
import re
from typing import Any

import yaml

from app.errors import InvalidConfig

card_file = "README.md"
largest_head_bytes = 64 * 1024
deepest = 16
most_values = 5_000
head_pattern = re.compile(rb"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
yaml_errors = (yaml.YAMLError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What the library raises of texts that it cannot make values of: numbers to base 60 overflow, large ones are not printed."""


class PlainLoader(yaml.SafeLoader):
    """Scalars become null, booleans, numbers or text; a date stays the text that was written."""


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_card(readme: bytes) -> dict[str, Any]:
    """The data of a README; empty when it has no head. Raises: InvalidConfig."""
    match = head_pattern.match(readme.removeprefix(b"\xef\xbb\xbf"))
    return {} if match is None else parse_head(match.group(1))


def parse_head(head: bytes) -> dict[str, Any]:
    """Raises: InvalidConfig."""
    if len(head) > largest_head_bytes:
        raise InvalidConfig(card_file, f"its head has {len(head)} bytes, at most {largest_head_bytes}")
    try:
        text = head.decode()
        check_events(text)
        value = plain(yaml.load(text, PlainLoader))  # noqa: S506 - a SafeLoader
    except yaml_errors as error:
        raise InvalidConfig(card_file, f"its head is no YAML: {first_line(error)}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidConfig(card_file, "its head is no mapping")
    return value


def check_events(text: str) -> None:
    """Before anything is built. Raises: InvalidConfig, yaml.YAMLError."""
    depth = 0
    for values, event in enumerate(yaml.parse(text, PlainLoader)):
        if isinstance(event, yaml.AliasEvent):
            # an alias may unfold to any size
            raise InvalidConfig(card_file, "its head uses YAML aliases")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise InvalidConfig(card_file, "its head uses YAML tags")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > deepest or values > most_values:
            raise InvalidConfig(card_file, f"its head is nested deeper than {deepest}, or has too many values")


def plain(value: Any) -> Any:
    """The same as JSON can carry it. Raises: InvalidConfig."""
    if isinstance(value, dict):
        return {plain_text(str(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    if isinstance(value, str):
        return plain_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return json.dumps(value, default=str)


def plain_text(text: str) -> str:
    """The text, unchanged. Raises: InvalidConfig for what no database and no answer can carry."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidConfig(card_file, "its head holds a character that is no text") from error
    if "\0" in text:
        raise InvalidConfig(card_file, "its head holds a character that is no text")
    return text


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def texts(value: Any) -> list[str]:
    """What a card says by one text or a list of them; anything else says nothing."""
    values = value if isinstance(value, list) else [value]
    return [entry.strip() for entry in values if isinstance(entry, str) and entry.strip()]
