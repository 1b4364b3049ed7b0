"""Child processes: kept running, stopped together, and never left behind."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

longest_pause_seconds = 30.0
healthy_seconds = 60.0
"""After so long without a failure a process is taken for well, and the next failure for a new one."""

forced_exit_seconds = 5.0
"""What a child gets beyond its own deadline, before it is killed."""


class Backoff:
    """When to try again: at once after the first failure, then 0.5 s, 1 s, … apart."""

    def __init__(self) -> None:
        self.failures = 0
        self.not_before = 0.0

    def failed(self, lived_seconds: float) -> None:
        self.failures = 1 if lived_seconds > healthy_seconds else self.failures + 1
        pause = 0.0 if self.failures == 1 else min(longest_pause_seconds, 0.25 * 2 ** (self.failures - 1))
        self.not_before = time.monotonic() + pause

    def is_due(self) -> bool:
        return time.monotonic() >= self.not_before


class Child:
    """`python -m app …` as a process of its own, which stops when our end of its standard input closes."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: dict[str, str], descriptors: Sequence[int] = ()
    ) -> None:
        """`descriptors`: open files of ours that it is handed under the same numbers."""
        self.name = name
        self.command = [sys.executable, "-m", "app", *arguments, stop_with_parent]
        self.environment = environment
        self.descriptors = tuple(descriptors)
        self.backoff = Backoff()
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.PIPE,
            pass_fds=self.descriptors,
            # Ctrl-C in the terminal is for the parent, which stops its children in order
            start_new_session=True,
        )

    def keep_running(self) -> None:
        """Start it again if it has died, not too often."""
        if self.process is None:
            if self.backoff.is_due():
                self.start()
        elif (status := self.process.poll()) is not None:
            self.backoff.failed(time.monotonic() - self.started)
            log.error("%s ended with status %d; it is started again", self.name, status)
            self.close()

    def has_failed(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def terminate(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Until it is gone; killed with everything it started at the deadline (`time.monotonic`)."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("%s does not stop and is killed", self.name)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.close()

    def close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


def stop_all(children: Sequence[Child], seconds: float, is_urgent: Callable[[], bool]) -> None:
    """Ask all of them at once, wait for all, kill what remains after `seconds` or when it becomes urgent."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds + forced_exit_seconds
    while time.monotonic() < deadline and not is_urgent():
        if all(child.process is None or child.has_failed() for child in children):
            break
        time.sleep(0.05)
    for child in children:
        child.wait(time.monotonic())


listening_at = "--listening-at"
"""Option of `serve`: the number of an inherited socket, bound already."""
stop_with_parent = "--stop-with-parent"
"""Option of `serve` and `work`: standard input is a pipe that nobody writes to, and its end is the parent's."""


def watch_parent() -> None:
    """From now on, stop this process as SIGTERM does when its parent is gone, by whatever way it went."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch the parent", daemon=True).start()
