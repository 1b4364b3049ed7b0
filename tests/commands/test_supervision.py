"""Child processes: kept running, stopped together, never left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from app.commands.supervision import Backoff, Child, forced_exit_seconds, stop_all

patient = (
    "import signal, sys; from app.commands import supervision; supervision.watch_parent(); print('ready', flush=True)"
)
ends_well = f"{patient}; signal.pause()"
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def child(code: str) -> Child:
    made = Child("toy", [], dict(os.environ))
    made.command = [sys.executable, "-c", code]
    return made


def wait_until(is_true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_dead_child_is_started_again() -> None:
    toy = child(ends_well)
    toy.start()
    assert toy.process is not None
    first = toy.process
    first.kill()
    first.wait()

    def is_back() -> bool:
        toy.keep_running()
        return toy.process is not None and toy.process.pid != first.pid

    wait_until(is_back)
    stop_all([toy], 5, lambda: False)
    assert not psutil.pid_exists(first.pid)


def test_a_child_that_keeps_dying_is_started_less_and_less_often() -> None:
    backoff = Backoff()
    pauses = []
    for _ in range(10):
        backoff.failed(lived_seconds=0)
        # to a tenth: the clock runs on between the two readings
        pauses.append(round(backoff.not_before - time.monotonic(), 1))
    assert pauses[0] <= 0
    assert pauses == sorted(pauses)
    assert 29 < pauses[-1] <= 30
    backoff.failed(lived_seconds=3600)
    assert backoff.is_due()


def test_all_children_are_asked_at_once() -> None:
    slow = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(3), exit())); print(1); time.sleep(600)"
    toys = [child(slow) for _ in range(4)]
    for toy in toys:
        toy.start()
    time.sleep(1)
    started = time.monotonic()
    stop_all(toys, 10, lambda: False)
    assert time.monotonic() - started < 9


def test_a_child_that_does_not_stop_is_killed_with_what_it_started() -> None:
    family = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}]); {deaf}"
    toy = child(family)
    toy.start()
    assert toy.process is not None
    parent = psutil.Process(toy.process.pid)
    wait_until(lambda: len(parent.children()) == 1)
    time.sleep(0.5)
    grandchild = parent.children()[0]
    started = time.monotonic()
    stop_all([toy], 0.5, lambda: False)
    assert time.monotonic() - started < 0.5 + forced_exit_seconds + 2
    wait_until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_a_second_signal_does_not_wait() -> None:
    toy = child(deaf)
    toy.start()
    time.sleep(0.5)
    started = time.monotonic()
    stop_all([toy], 60, lambda: True)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("way", ["kill", "terminate"])
def test_a_child_stops_when_its_parent_is_gone(way: str) -> None:
    parent_code = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {ends_well!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE);"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    orphan = psutil.Process(int(parent.stdout.readline()))
    getattr(parent, way)()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
