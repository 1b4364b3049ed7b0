"""A merge that was asked for: its state, its progress, its result."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from glulam.connection import Connection
from glulam.downloads import download
from glulam.errors import (
    InvalidArgument,
    MergeCancelled,
    MergeFailed,
    MergeTimeout,
    Problem,
    ResultNotThere,
    UnexpectedAnswer,
    Unreachable,
)
from glulam.progress import Progress, silent
from glulam.recipes import quoted
from glulam.records import write_record
from glulam.values import File, Json, Plan

finished_states = frozenset({"succeeded", "failed", "cancelled"})
events_silence_seconds = 30.0
"""After this long without an event the state is asked for: a proxy may have swallowed the stream."""
poll_seconds = 1.0


class Merge:
    """A merge in the registry. Its properties show it as it last answered; `refresh` and `wait` ask again."""

    def __init__(self, connection: Connection, record: Json) -> None:
        self._connection = connection
        self.record = record

    def __repr__(self) -> str:
        return f"<Merge {self.id} {self.state}>"

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def state(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return str(self.record["state"])

    @property
    def is_finished(self) -> bool:
        return self.state in finished_states

    @property
    def is_cached(self) -> bool:
        """The answer came from an execution that had finished before."""
        return bool(self.record.get("cached"))

    @property
    def plan(self) -> Plan:
        return Plan.from_json(self.record["plan"])

    @property
    def report(self) -> Json:
        """What the finished merge tells of itself: for a truncated result, the energy kept."""
        return self.record.get("report") or {}

    @property
    def reference(self) -> str | None:
        """The published version, if it was published."""
        result = self.record.get("result") or {}
        return result.get("reference")

    @property
    def files(self) -> tuple[File, ...]:
        """Of the result; nothing before it has succeeded."""
        result = self.record.get("result") or {}
        return tuple(File.from_json(entry) for entry in result.get("files", ()))

    @property
    def error(self) -> Problem | None:
        """Why it failed."""
        body = self.record.get("error")
        return Problem.from_json(body) if body else None

    def refresh(self) -> Self:
        self.record = self._connection.get(f"/merges/{self.id}")
        return self

    def cancel(self) -> Self:
        """Withdraw this request; the execution goes on while others wait for it."""
        self._connection.delete(f"/merges/{self.id}")
        return self.refresh()

    def wait(self, timeout: float | None = None, progress: Progress | None = None) -> Self:
        """Wait until it has succeeded; `timeout` in seconds, None for as long as it takes.

        Raises: MergeFailed, MergeCancelled, MergeTimeout, Unreachable.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        tell = progress or silent
        while not self.is_finished:
            self._follow(tell, deadline)
            self.refresh()
            self._tell(tell, self.record.get("progress"))
            if not self.is_finished and deadline is not None and time.monotonic() >= deadline:
                raise MergeTimeout(f"merge {self.id} is {self.state} after {timeout:g} s")
        return self._succeeded()

    def download(self, folder: str | Path, progress: Progress | None = None) -> Path:
        """Bring the result's files into a folder, with a `glulam.json` that says what they were made of. Returns: the folder.

        Raises: MergeFailed, MergeCancelled, InvalidArgument if it is not finished, ResultNotThere, DigestMismatch.
        """
        if not self.is_finished:
            raise InvalidArgument(f"the merge is {self.state}; wait for it")
        self._succeeded()
        if not self.files:
            raise ResultNotThere(f"merge {self.id} has no files any more; ask for it again")
        target = Path(folder)
        download(
            self._connection,
            self.files,
            lambda path: f"/merges/{self.id}/files/{quoted(path)}",
            target,
            progress or silent,
        )
        write_record(target, self._connection.url, "merge", self.record)
        return target

    def _succeeded(self) -> Self:
        if self.state == "failed":
            raise MergeFailed(self.id, self.error or Problem.from_json({"title": "no reason was given"}))
        if self.state == "cancelled":
            raise MergeCancelled(f"merge {self.id} was cancelled")
        return self

    def _follow(self, tell: Progress, deadline: float | None) -> None:
        """Follow the events until one says that the merge has finished, the stream ends, or it is time to ask again."""
        left = events_silence_seconds if deadline is None else min(events_silence_seconds, deadline - time.monotonic())
        timeout = httpx.Timeout(30.0, read=max(left, 0.1))
        headers = {"Accept": "text/event-stream"}
        try:
            with self._connection.stream(f"/merges/{self.id}/events", headers, timeout) as response:
                if not response.is_success or "text/event-stream" not in response.headers.get("Content-Type", ""):
                    raise UnexpectedAnswer("no events")
                for event in events(response.iter_lines()):
                    self._tell(tell, event.get("progress", event))
                    if event.get("state") in finished_states or (deadline is not None and time.monotonic() >= deadline):
                        return
        except (Unreachable, UnexpectedAnswer):
            # asking for the state, which the caller does next, says whether the registry is still there
            time.sleep(poll_seconds if deadline is None else max(0.0, min(poll_seconds, deadline - time.monotonic())))

    def _tell(self, tell: Progress, progress: Any) -> None:
        if isinstance(progress, Mapping) and progress.get("total"):
            tell("merge", progress["done"], progress["total"], progress.get("unit") or "")


def events(lines: Iterator[str]) -> Iterator[Json]:
    """The data of server-sent events, each a JSON object. Source: HTML Standard, section 9.2.6."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            body = json.loads("\n".join(data))
            data = []
            if isinstance(body, Mapping):
                yield body
