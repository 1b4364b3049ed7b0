"""Whether what lies on a disk was recalled since it was brought there."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glulam.connection import Connection
from glulam.digests import digest_of_file
from glulam.errors import Gone, NotFound, Recalled
from glulam.recipes import quoted, repository_path
from glulam.records import record_name
from glulam.values import Json


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one thing that lies in a folder."""

    name: str
    """A version's reference, or a file's path."""
    state: str
    """`published`, `recalled` or `deleted`; `unknown` where the registry does not know it, or does not tell."""
    recalls: tuple[Json, ...] = ()
    """Why, as far as the registry tells."""


def check(connection: Connection, folder: Path) -> list[Finding]:
    """The version that a folder was pulled from, or everything that went into the merge; else each weights file, by its hash.

    Raises: Refused, Unreachable, OSError.
    """
    try:
        body: Json = json.loads((folder / record_name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        body = {}
    if body.get("registry") == connection.url and (version := body.get("version")):
        return [state_of(connection, version["repository"], version["digest"], version["reference"])]
    if body.get("registry") == connection.url and (merge := body.get("merge")):
        members = [
            member for member in (*merge["plan"]["branches"], *merge["plan"]["trunk"]) if not member.get("hidden")
        ]
        return [
            state_of(connection, member["reference"].partition("@")[0], member["digest"], member["reference"])
            for member in members
        ]
    return list(by_hash(connection, folder))


def state_of(connection: Connection, repository: str, digest: str, name: str) -> Finding:
    path = f"{repository_path(repository)}/versions/{quoted(digest)}"
    try:
        found = connection.get(path)
    except NotFound:
        return Finding(name, "unknown")
    except Gone:
        return Finding(name, "deleted")
    return Finding(name, found["state"], reasons(connection, path, found) if found["state"] == "recalled" else ())


def reasons(connection: Connection, path: str, version: Json) -> tuple[Json, ...]:
    """What the refusal of a download says."""
    smallest = min(version["files"], key=lambda file: file["size"])
    try:
        connection.request("GET", f"{path}/files/{quoted(smallest['path'])}")
    except Recalled as refused:
        return tuple(refused.facts.get("recalls") or ())
    return ()


def by_hash(connection: Connection, folder: Path) -> Iterator[Finding]:
    for file in sorted(folder.rglob("*.safetensors")):
        holders = connection.get(f"/lookup/{digest_of_file(file)}")["items"]
        name = str(file.relative_to(folder))
        pulled_out = [holder for holder in holders if holder["state"] == "recalled"]
        if pulled_out:
            holder = pulled_out[0]
            yield state_of(connection, holder["repository"], holder["digest"], f"{name} ({holder['reference']})")
        else:
            yield Finding(name, "published" if holders else "unknown")
