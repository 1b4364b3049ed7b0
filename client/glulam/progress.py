"""Progress of transfers and merges, told to whoever wants to show it."""

import threading
from typing import Protocol


class Progress(Protocol):
    """Told how far something is. Called from several threads; it should return at once."""

    def __call__(self, name: str, done: int, total: int, unit: str, /) -> None:
        """`name` is a file's path or `merge`; `done` may fall when a part is sent again."""


def silent(name: str, done: int, total: int, unit: str) -> None:
    """Tells nobody."""


class Meter:
    """Adds up what several threads have done for one name."""

    def __init__(self, progress: Progress, name: str, total: int, done: int = 0, unit: str = "bytes") -> None:
        self._progress = progress
        self._name = name
        self._total = total
        self._done = done
        self._unit = unit
        self._lock = threading.Lock()
        progress(name, done, total, unit)

    def add(self, amount: int) -> None:
        """Count `amount` more; less than 0 takes back what has to be done again."""
        with self._lock:
            self._done += amount
            self._progress(self._name, self._done, self._total, self._unit)
