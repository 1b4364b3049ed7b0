"""Which modules a configuration means: PEFT's matching of names, in linear time.

PEFT matches these texts with Python's `re`, whose time can be exponential. Here they are matched with RE2 or not at all: a
pattern that RE2 does not compile, or could read otherwise than Python, is refused.
Source: PEFT 0.21.2, `tuners_utils.check_target_module_exists` and `utils.other.get_pattern_key`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import re2

from app.errors import UnsafePattern

largest_pattern_bytes = 1024
most_patterns = 64
"""Patterns in one place of a configuration that are more than names."""

most_lists = 8
"""Patterns in `layers_pattern`: a model has one list of layers, or an encoder's and a decoder's."""

plain = re.compile(r"[A-Za-z0-9_.\-]+")
"""A name, or the end of one. A dot in it stands for any character where PEFT reads a pattern."""

read_differently = re.compile(r"\\(?![-.\[\](){}*+?^$|/\\dDwWsSbB])|\(\?(?!:|P<[A-Za-z_])|\[\[|\[:|\{,|[$^][*+?{]")
"""Escapes, groups, classes and repetitions that RE2 and Python's `re` do not both know, or know as two things."""

most_work = 10_000_000
"""Comparisons of a module's name with a plain text, about 0.1 µs each, that one adapter may cost."""
work_of_pattern = 50
"""What one match of a pattern costs, in such comparisons."""

quiet = re2.Options()
quiet.log_errors = False


class Pattern:
    """A regular expression that RE2 and Python read alike."""

    def __init__(self, path: str, key: str, text: str, before: str = "", after: str = "") -> None:
        """`path` and `key` say where it stands, for messages; `before` and `after` are ours, around it.

        Raises: UnsafePattern.
        """
        self.path, self.key = path, key
        if len(text.encode()) > largest_pattern_bytes:
            raise UnsafePattern(path, key, f"longer than {largest_pattern_bytes} bytes")
        foreign = read_differently.search(text)
        if foreign is not None:
            raise UnsafePattern(path, key, f"{foreign.group()!r} has no one meaning")
        try:
            # alone first: what is unbalanced must not find its bracket in ours
            re2.compile(text, quiet)
            self.compiled = re2.compile(f"{before}(?:{text}){after}", quiet)
        except re2.error as error:
            raise UnsafePattern(path, key, f"no pattern that takes linear time: {said(error)}") from error

    def match(self, name: str) -> Any:
        """RE2's match of the whole name, or None. Raises: UnsafePattern for a name beyond ASCII."""
        if not name.isascii():
            # \w, \d and the case of letters mean other things to RE2 there
            raise UnsafePattern(self.path, self.key, "it would be matched against a name that is not ASCII")
        return self.compiled.fullmatch(name)


def said(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def suffixes(name: str) -> Iterator[str]:
    """The name, and what remains of it after each dot."""
    yield name
    start = name.find(".")
    while start >= 0:
        yield name[start + 1 :]
        start = name.find(".", start + 1)


def ends_with_one_of(name: str, literals: frozenset[str]) -> bool:
    """PEFT's matching of a list: a module's whole name, or its end after a dot."""
    return any(suffix in literals for suffix in suffixes(name))


class PatternTable:
    """`rank_pattern` or `alpha_pattern`: a number by pattern, the first that matches in the order of the file."""

    def __init__(self, path: str, key: str, entries: Iterable[tuple[str, float]]) -> None:
        """Raises: UnsafePattern."""
        self.rows: list[tuple[str, Pattern | None, float]] = []
        for text, value in entries:
            is_plain = plain.fullmatch(text) is not None
            self.rows.append((text, None if is_plain else Pattern(path, key, text, r"(?:.*\.)?", ""), value))
        patterns = sum(pattern is not None for _, pattern, _ in self.rows)
        if patterns > most_patterns:
            raise UnsafePattern(path, key, f"more than {most_patterns} patterns that are not names")
        self.path, self.key = path, key
        self.work = len(self.rows) + patterns * work_of_pattern

    def check_work(self, names: int) -> None:
        """Raises: UnsafePattern when looking up this many names would take seconds."""
        if names * self.work > most_work:
            raise UnsafePattern(self.path, self.key, f"{len(self.rows)} patterns are too many for {names} modules")

    def number_for(self, name: str) -> float | None:
        """The number of the first pattern that matches the name or its end after a dot; None when none does."""
        for text, pattern, value in self.rows:
            if is_end_of(text, name) if pattern is None else pattern.match(name):
                return value
        return None


def is_end_of(text: str, name: str) -> bool:
    """Whether plain `text`, its dots standing for any character, is the name or its end after a dot."""
    border = len(name) - len(text)
    if border < 0 or (border > 0 and name[border - 1] != "."):
        return False
    return name.endswith(text) or all(left in (".", right) for left, right in zip(text, name[border:], strict=True))


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """`layers_to_transform`: only modules in these layers."""

    indices: frozenset[int]
    patterns: tuple[Pattern, ...]

    def takes(self, name: str) -> bool:
        """By the number behind the first list of layers in the name."""
        for pattern in self.patterns:
            match = pattern.match(name)
            if match is not None:
                index = match.group("idx")
                return index is not None and int(index) in self.indices
        return False


def choice_of_layers(path: str, indices: frozenset[int], lists: tuple[str, ...]) -> LayerChoice:
    """`lists` are `layers_pattern`: names of the module lists; empty for any. Raises: UnsafePattern."""
    if len(lists) > most_lists:
        raise UnsafePattern(path, "layers_pattern", f"more than {most_lists} patterns")
    number = r"\.(?P<idx>\d{1,9})\..*"
    if not lists:
        return LayerChoice(indices, (Pattern(path, "layers_pattern", r"[^.]*", r".*?\.", number),))
    return LayerChoice(indices, tuple(Pattern(path, "layers_pattern", text, r"(?:.*?\.)?", number) for text in lists))


@dataclass(frozen=True, slots=True)
class Targets:
    """Which modules the configuration adapts."""

    literals: frozenset[str]
    """Names, or their ends after a dot; unused when there is a pattern."""
    pattern: Pattern | None
    is_all_linear: bool
    """`all-linear`: which modules that are only the model's classes tell, so that every name is taken."""
    excluded_literals: frozenset[str]
    excluded_pattern: Pattern | None
    layers: LayerChoice | None

    def takes(self, name: str) -> bool:
        """Whether the module of this name (without PEFT's prefix) is a target. Raises: UnsafePattern."""
        if self.excluded_pattern is not None and self.excluded_pattern.match(name):
            return False
        if ends_with_one_of(name, self.excluded_literals):
            return False
        if self.is_all_linear:
            return True
        if self.pattern is not None:
            return self.pattern.match(name) is not None
        if name in self.literals:
            return True
        return ends_with_one_of(name, self.literals) and (self.layers is None or self.layers.takes(name))
