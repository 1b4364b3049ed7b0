"""Commands as an operator types them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.lineage.embedded import EmbeddedPostgres


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        yield Path(folder)
        EmbeddedPostgres(Path(folder) / "postgres").stop()


def glulam(*arguments: str, data_dir: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "GLULAM_DATA_DIR": str(data_dir), **settings}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_migrate_starts_the_embedded_database_and_leaves_nothing_running(data_dir: Path) -> None:
    assert glulam("doctor", data_dir=data_dir).stdout.count("run `python -m app migrate`") == 1
    migrated = glulam("migrate", data_dir=data_dir)
    assert migrated.returncode == 0, migrated.stderr
    healthy = glulam("doctor", data_dir=data_dir)
    assert healthy.returncode == 0, healthy.stdout
    assert EmbeddedPostgres(data_dir / "postgres").find() is None
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(data_dir) in (process.info["cmdline"] or [])
    ]


def test_migrate_leaves_a_database_running_that_ran_before(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir / "postgres")
    postgres.start()
    assert glulam("migrate", data_dir=data_dir).returncode == 0
    assert postgres.is_running()


def test_doctor_names_what_is_wrong(data_dir: Path) -> None:
    sick = glulam(
        "doctor",
        data_dir=data_dir,
        GLULAM_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing",
        GLULAM_OBJECT_STORE="ftp://somewhere",
        GLULAM_DEVICE="cuda:99",
        GLULAM_PROT="8001",
    )
    assert sick.returncode == 1
    for sentence in ("GLULAM_PROT is no setting", "the database does not answer", "ftp://somewhere", "cuda:99"):
        assert sentence in sick.stdout


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("serve",), {"GLULAM_PORT": "none"}, "GLULAM_PORT"),
        (("serve",), {}, "set GLULAM_DATABASE_URL"),
        (("serve",), {"GLULAM_DATABASE_URL": "mysql://u:secret@h/d"}, "only database"),
        (("work",), {"GLULAM_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}, "does not answer"),
    ],
)
def test_what_cannot_start_says_why_without_a_traceback(
    arguments: tuple[str, ...], settings: dict[str, str], message: str, data_dir: Path
) -> None:
    refused = glulam(*arguments, data_dir=data_dir, **settings)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "secret" not in refused.stderr


def test_a_queue_that_does_not_exist_is_a_usage_error(data_dir: Path) -> None:
    assert glulam("work", "--queues", "merges", data_dir=data_dir).returncode == 2
