"""Limiting: how often one caller may ask, counted in this process."""

import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

window_seconds = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller has left."""

    limit: int
    """Requests in a window."""
    remaining: int
    reset_seconds: int
    """Until the window ends, rounded up."""
    is_spent: bool
    """Whether this very request is one too many."""


@dataclass(slots=True)
class Window:
    began: float
    count: int


class Limiting:
    """Counts requests in windows of a minute; each caller's begins with their first request after the last one ended."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            per_minute: None is no limit.
            clock: in seconds, never backwards.
        """
        self.per_minute = per_minute
        self.clock = clock
        self.lock = threading.Lock()
        self.windows: dict[Hashable, Window] = {}
        self.swept = clock()

    def take(self, caller: Hashable) -> Allowance | None:
        """Count one request, unless the allowance is spent; None where there is no limit."""
        if self.per_minute is None:
            return None
        now = self.clock()
        with self.lock:
            self._sweep(now)
            window = self.windows.get(caller)
            if window is None or now >= window.began + window_seconds:
                window = self.windows[caller] = Window(now, 0)
            reset_seconds = max(1, math.ceil(window.began + window_seconds - now))
            is_spent = window.count >= self.per_minute
            if not is_spent:
                window.count += 1
            return Allowance(self.per_minute, self.per_minute - window.count, reset_seconds, is_spent)

    def _sweep(self, now: float) -> None:
        """Once a window, forget those that ended: memory holds the callers of two minutes at most."""
        if now >= self.swept + window_seconds:
            self.swept = now
            self.windows = {
                caller: window for caller, window in self.windows.items() if now < window.began + window_seconds
            }
