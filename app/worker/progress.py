"""How far a merge is."""

import time
from typing import Protocol


class Progress(Protocol):
    """Told how far the work is; what it raises stops the work, and nothing of the unfinished file stays."""

    def __call__(self, done: int, total: int, unit: str) -> None: ...


class Meter:
    """Counts what is done, and tells."""

    def __init__(self, progress: Progress, total: int, unit: str, interval_seconds: float = 1.0) -> None:
        self.progress = progress
        self.done = 0
        self.total = total
        self.unit = unit
        self.interval_seconds = interval_seconds
        self.tell()

    def advance(self, amount: int) -> None:
        """Count, and tell if the last time was an interval ago."""
        self.done += amount
        if time.monotonic() - self.told_at >= self.interval_seconds:
            self.tell()

    def tell(self) -> None:
        self.told_at = time.monotonic()
        self.progress(self.done, self.total, self.unit)
