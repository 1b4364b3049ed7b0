"""The names of namespaces, repositories and aliases. The rules are the Hub's, so that its clients can speak them."""

import re
from dataclasses import dataclass
from typing import Self

from app.errors import InvalidName

longest_name = 96
longest_branch = 200
allowed_name = re.compile(r"[A-Za-z0-9._-]+")
hex_id = re.compile(r"[0-9a-fA-F]{7,}")
version_like = re.compile(r"v?\d+(\.\d+)*", re.IGNORECASE)

server_paths = """
about admin aliases api assets audit blobs collections datasets docs favicon.ico graph healthz help join login logout lookup
members merge merges metrics models new notifications oauth organizations plan pricing problems readyz recalls repositories
robots.txt search settings signup spaces stacks static tokens upload uploads user users versions web whoami xet
"""
reserved_namespaces = frozenset(server_paths.split())
"""Every first path segment that the server uses or may come to use; compared without case."""


def check_name(name: str) -> str:
    """The name of a namespace or repository, unchanged.

    Raises: InvalidName.
    """
    if not name or len(name) > longest_name:
        raise InvalidName(name, f"1 to {longest_name} characters")
    if not allowed_name.fullmatch(name):
        raise InvalidName(name, "letters, digits, '-', '_' and '.' only")
    if "--" in name or ".." in name:
        raise InvalidName(name, "no '--' or '..'")
    if name[0] in "-." or name[-1] in "-.":
        raise InvalidName(name, "no leading or trailing '-' or '.'")
    if name.lower().endswith((".git", ".ipynb")):
        raise InvalidName(name, "may not end in .git or .ipynb")
    return name


def check_namespace(name: str) -> str:
    """Raises: InvalidName, also for the path segments that the server itself uses."""
    check_name(name)
    if name.lower() in reserved_namespaces:
        raise InvalidName(name, "reserved for the server")
    return name


def check_alias(alias: str) -> str:
    """An alias: a name that looks like no version, no commit and no ref.

    Raises: InvalidName.
    """
    check_name(alias)
    if version_like.fullmatch(alias):
        raise InvalidName(alias, "looks like a version")
    if hex_id.fullmatch(alias):
        raise InvalidName(alias, "looks like a commit id")
    if alias.lower() in {"main", "refs"}:
        raise InvalidName(alias, "is a ref of every repository")
    return alias


def check_branch(branch: str) -> str:
    """The name of a branch: parts that are names, and that look like no version and no commit.

    Raises: InvalidName.
    """
    for part in branch.split("/"):
        check_name(part)
    if version_like.fullmatch(branch):
        raise InvalidName(branch, "looks like a version")
    if hex_id.fullmatch(branch):
        raise InvalidName(branch, "looks like a commit id")
    if branch.lower().startswith("refs/") or len(branch) > longest_branch:
        raise InvalidName(branch, f"at most {longest_branch} characters, and not below refs/")
    return branch


def key_of(name: str) -> str:
    """What uniqueness compares: names keep their case, and are unique without it."""
    return name.lower()


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """`namespace/name`."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: InvalidName."""
        namespace, slash, name = text.partition("/")
        if not slash:
            raise InvalidName(text, "namespace/name expected")
        return cls(check_name(namespace), check_name(name))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
