"""A store for each test."""

from pathlib import Path

import pytest

from app.objects.local import LocalStore
from tests.worker.made import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(LocalStore(tmp_path / "store"), tmp_path)
