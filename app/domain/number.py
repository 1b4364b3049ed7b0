"""Version numbers: exactly X.Y.Z."""

import re
from dataclasses import dataclass
from typing import Self

from app.errors import InvalidVersionNumber

number_pattern = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, order=True)
class VersionNumber:
    """X.Y.Z, ordered by number."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: InvalidVersionNumber."""
        match = number_pattern.fullmatch(text)
        if match is None:
            raise InvalidVersionNumber(text)
        return cls(*(int(part) for part in match.groups()))

    @classmethod
    def looks_like(cls, text: str) -> bool:
        return number_pattern.fullmatch(text) is not None

    def next_patch(self) -> Self:
        return type(self)(self.major, self.minor, self.patch + 1)

    def next_minor(self) -> Self:
        return type(self)(self.major, self.minor + 1, 0)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
