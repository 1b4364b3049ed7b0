"""Bytes to the registry: small files in one request, large ones in parts that survive an interruption."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glulam.connection import Connection
from glulam.digests import chunks_of, digest_of_file
from glulam.errors import GlulamError, InvalidArgument, Refused, no_problem
from glulam.progress import Meter, Progress
from glulam.records import record_name

small_bytes = 8 << 20
"""Files below this go in one PUT; they are cheaper to send again than to send in parts."""
parallel = 4
slowest_bytes_per_second = 20e6
"""What a registry is given to read, hash and store an upload whose parts are all there."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to push: where it lies, and what it is called in the version."""

    path: str
    source: Path
    digest: str
    size: int
    """Bytes."""


def gather(content: str | Path | Mapping[str, str | Path] | Sequence[str | Path]) -> list[LocalFile]:
    """The files to push: all of a folder (hidden ones, unfinished downloads and `glulam.json` aside), one file, several, or
    path in the version → file.

    Raises: InvalidArgument if there is nothing, or two files of one name.
    """
    if isinstance(content, Mapping):
        named = [(path, Path(source)) for path, source in content.items()]
    elif isinstance(content, str | Path):
        root = Path(content)
        named = list(below(root)) if root.is_dir() else [(root.name, root)]
    else:
        named = [(Path(source).name, Path(source)) for source in content]
    if not named:
        raise InvalidArgument(f"nothing to push in {content}")
    paths = [path for path, _ in named]
    if len(set(paths)) < len(paths):
        raise InvalidArgument("two files have one name; give a mapping of path → file")
    for _, source in named:
        if not source.is_file():
            raise InvalidArgument(f"{source} is no file")
    return [LocalFile(path, source, digest_of_file(source), source.stat().st_size) for path, source in named]


def below(root: Path) -> Iterator[tuple[str, Path]]:
    for source in sorted(root.rglob("*")):
        inside = source.relative_to(root)
        is_ours = inside.as_posix() == record_name or inside.suffix == ".part"
        if source.is_file() and not is_ours and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix(), source


def upload(connection: Connection, files: Sequence[LocalFile], progress: Progress) -> None:
    """Send every file; those that the registry has from an earlier, interrupted push are continued.

    Raises: Refused, Unreachable.
    """
    with ThreadPoolExecutor(parallel) as pool:
        for file in files:
            if file.size >= small_bytes:
                upload_in_parts(connection, file, progress, pool)
        small = [file for file in files if file.size < small_bytes]
        # list() so that the first refusal is raised here
        list(pool.map(lambda file: upload_whole(connection, file, progress), small))


def upload_whole(connection: Connection, file: LocalFile, progress: Progress) -> None:
    meter = Meter(progress, file.path, file.size)
    send(connection, f"/api/v1/blobs/{file.digest}", file, 0, file.size, meter)


def upload_in_parts(connection: Connection, file: LocalFile, progress: Progress, pool: ThreadPoolExecutor) -> None:
    asked = {"digest": file.digest, "size": file.size}
    begun = connection.post("/uploads", asked)
    part_size = begun["part_size"]

    def extent(part: Mapping[str, Any]) -> tuple[int, int]:
        start = (part["number"] - 1) * part_size
        return start, min(part_size, file.size - start)

    done = sum(extent(part)[1] for part in begun["parts"] if part["done"])
    meter = Meter(progress, file.path, file.size, done)

    def send_missing(parts: Sequence[Mapping[str, Any]]) -> None:
        sending = [
            pool.submit(send, connection, part["url"], file, *extent(part), meter) for part in parts if not part["done"]
        ]
        wait(sending)
        for part in sending:
            part.result()

    try:
        send_missing(begun["parts"])
    except Refused as refused:
        # no problem of the registry's: its store takes these addresses no more, and there are fresh ones
        if refused.type != no_problem:
            raise
        begun = connection.post("/uploads", asked)
        send_missing(begun["parts"])
    # the registry hashes all of it before it answers
    connection.post(f"/uploads/{begun['id']}/complete", {}, patience_seconds=file.size / slowest_bytes_per_second)


def send(connection: Connection, url: str, file: LocalFile, start: int, size: int, meter: Meter) -> None:
    """PUT a part of a file; what a broken attempt had counted is taken back."""
    counted = 0

    def body() -> Iterator[bytes]:
        nonlocal counted
        meter.add(-counted)
        counted = 0
        for chunk in chunks_of(file.source, start, size):
            yield chunk
            counted += len(chunk)
            meter.add(len(chunk))

    try:
        connection.send("PUT", url, body, size)
    except GlulamError:
        meter.add(-counted)
        raise
