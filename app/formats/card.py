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
        value = yaml.load(text, PlainLoader)  # noqa: S506 - a SafeLoader
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InvalidConfig(card_file, f"its head is no YAML: {first_line(error)}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidConfig(card_file, "its head is no mapping")
    return {str(key): plain(entry) for key, entry in value.items()}


def check_events(text: str) -> None:
    """Before anything is built. Raises: InvalidConfig, yaml.YAMLError."""
    depth = 0
    for values, event in enumerate(yaml.parse(text, PlainLoader)):
        if isinstance(event, yaml.AliasEvent):
            # an alias may unfold to any size
            raise InvalidConfig(card_file, "its head uses YAML aliases")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > deepest or values > most_values:
            raise InvalidConfig(card_file, f"its head is nested deeper than {deepest}, or has too many values")


def plain(value: Any) -> Any:
    """The same as JSON can carry it. Raises: InvalidConfig."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    if isinstance(value, str) and ("\0" in value or not encodable(value)):
        raise InvalidConfig(card_file, "its head holds a character that is no text")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, default=str)


def encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def texts(value: Any) -> list[str]:
    """What a card says by one text or a list of them; anything else says nothing."""
    values = value if isinstance(value, list) else [value]
    return [entry.strip() for entry in values if isinstance(entry, str) and entry.strip()]
