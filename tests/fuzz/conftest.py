"""A registry to attack; how long and with which seed is the caller's affair: `make fuzz` is ten times as long, with a fresh one."""

import os

import pytest

from tests.api.conftest import Registry
from tests.api.conftest import open_registry as open_registry
from tests.api.conftest import registry as registry
from tests.api.conftest import settings as settings
from tests.fuzz.world import World

seed = int(os.environ.get("FUZZ_SEED", "20261121"))
scale = int(os.environ.get("FUZZ_SCALE", "1"))


@pytest.fixture
def world(registry: Registry) -> World:
    return World.build(registry)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which seed it was, and what each campaign saw."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else ():
                terminalreporter.write_line(f"{name}: {value} (FUZZ_SEED={seed})")
