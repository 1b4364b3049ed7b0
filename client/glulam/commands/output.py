"""What a command writes: tables and bars for people, JSON for scripts. Bars and refusals go to stderr."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from glulam.errors import MergeFailed, PlanRefused, Problem, Recalled, Refused
from glulam.progress import Progress as Told
from glulam.progress import silent


class Output:
    """Where a command's answer goes."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False)
        self._err = Console(stderr=True, highlight=False)

    def answer(self, value: Any, shown: RenderableType) -> None:
        """Write a result: `value` as JSON for scripts, `shown` for people."""
        if self.as_json:
            print(json.dumps(value, indent=2, ensure_ascii=False))
        else:
            self._out.print(shown)

    def say(self, line: str) -> None:
        """A word to whoever watches; never part of the answer."""
        self._err.print(escape(line))

    def fail(self, error: Exception) -> None:
        """What went wrong, and what to do about it."""
        problem = error.problem if isinstance(error, Refused | MergeFailed) else None
        if self.as_json:
            print(
                json.dumps({"error": problem_json(problem) if problem else {"detail": str(error)}}, ensure_ascii=False)
            )
            return
        if not isinstance(error, Refused):
            self._err.print(f"[bold red]✗[/] {escape(str(error))}")
            return
        self._err.print(f"[bold red]✗ {escape(error.type)}[/]  {escape(error.detail)}")
        for path in error.paths if isinstance(error, PlanRefused) else ():
            self._err.print(f"    {escape(' → '.join(path))}")
        for recall in error.facts.get("recalls", ()) if isinstance(error, Recalled) else ():
            self._err.print(
                f"    {escape(recall['version'])} ({escape(recall['severity'])}): {escape(recall['reason'])}"
            )
        if error.advice:
            self._err.print(f"  [bold]→[/] {escape(error.advice)}")
        if error.request_id:
            self._err.print(f"  [dim]request {escape(error.request_id)}[/]")

    @contextmanager
    def transfers(self) -> Iterator[Told]:
        """Bars for files in bytes, with speed and time left."""
        with self._bars(DownloadColumn(), TransferSpeedColumn()) as told:
            yield told

    @contextmanager
    def steps(self) -> Iterator[Told]:
        """A bar for a merge, with the time left."""
        with self._bars(MofNCompleteColumn(), TextColumn("{task.fields[unit]}")) as told:
            yield told

    @contextmanager
    def _bars(self, *columns: ProgressColumn) -> Iterator[Told]:
        if self.as_json or not self._err.is_terminal:
            yield silent
            return
        bars = Progress(
            TextColumn("{task.description}"), BarColumn(), *columns, TimeRemainingColumn(), console=self._err
        )
        tasks: dict[str, TaskID] = {}

        def tell(name: str, done: int, total: int, unit: str) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(escape(name), total=total, unit=unit)
            bars.update(tasks[name], completed=done, total=total)

        with bars:
            yield tell


def problem_json(problem: Problem) -> dict[str, Any]:
    return {
        **problem.facts,
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": problem.request_id,
    }


def size(amount: float) -> str:
    """Bytes as people write them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
