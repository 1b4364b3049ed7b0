"""References: `ns/name@1.2.0`, `ns/name@prod`, `ns/name@sha256:…`, `ns/name@<commit>`."""

import re
from dataclasses import dataclass
from typing import Self

from app.domain.names import RepositoryName, check_alias
from app.domain.number import VersionNumber
from app.errors import InvalidName, InvalidReference

digest_prefix = re.compile(r"sha256:[0-9a-f]{12,64}")
commit_id = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Selector:
    """What stands after the `@`: exactly one of its fields is set."""

    number: VersionNumber | None = None
    alias: str | None = None
    commit: str | None = None
    digest: str | None = None
    """`sha256:` and at least 12 hex digits."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: InvalidReference."""
        if VersionNumber.looks_like(text):
            return cls(number=VersionNumber.parse(text))
        if text.startswith("sha256:"):
            if not digest_prefix.fullmatch(text):
                raise InvalidReference(text, "sha256: and 12 to 64 lower-case hex digits")
            return cls(digest=text)
        if commit_id.fullmatch(text):
            return cls(commit=text)
        if text == "main":
            return cls(alias=text)
        try:
            return cls(alias=check_alias(text))
        except InvalidName as error:
            raise InvalidReference(text, "neither version, alias, commit nor digest") from error


@dataclass(frozen=True, slots=True)
class Reference:
    repository: RepositoryName
    selector: Selector

    @classmethod
    def parse(cls, text: str, pointer: str | None = None) -> Self:
        """Raises: InvalidReference, with the JSON pointer to where the text stood."""
        name, at, selector = text.partition("@")
        if not at:
            raise InvalidReference(text, "add @ and a version, an alias or a digest", pointer)
        try:
            return cls(RepositoryName.parse(name), Selector.parse(selector))
        except (InvalidName, InvalidReference) as error:
            raise InvalidReference(text, error.facts["reason"], pointer) from error
