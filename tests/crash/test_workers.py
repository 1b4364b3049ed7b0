"""Workers killed in mid-merge, doubled and paused: one result, the right one, and published once."""

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.assembly import Services
from app.lineage import queue
from app.lineage.queue import TaskName
from app.server import create_app
from app.settings import Settings
from tests.api.conftest import Registry, User, done, make_adapter
from tests.api.conftest import admin_token as api_token
from tests.api.test_story import delta_of
from tests.crash.installation import Installation, wait_until

pytestmark = pytest.mark.slow

seeds = {"one": 1, "two": 2}


@dataclass
class Bench:
    """A registry served by this process, and workers to plant faults in."""

    installation: Installation
    registry: Registry
    alice: User
    workers: list["Popen[bytes]"]

    def work(self, *planted: str) -> "Popen[bytes]":
        """A worker; with a fault if one is named."""
        command = ("-m", "tests.crash.planted_worker", *planted) if planted else ("-m", "app", "work")
        self.workers.append(self.installation.launch(command))
        return self.workers[-1]

    def ask(self) -> str:
        """A published merge of both adapters, queued; returns its id."""
        recipe = {
            "layers": [{"adapter": f"alice/{name}@1.0.0"} for name in seeds],
            "publish": {"repository": "alice/sum"},
        }
        return str(done(self.alice.post("/merges", recipe), 202)["id"])

    def execution(self) -> tuple[Any, ...]:
        """(id, state, attempt) of the one execution."""
        rows = self.installation.query("SELECT id, state, attempt FROM merge_executions")
        assert len(rows) == 1
        return rows[0]

    def wait_for(self, state: str, attempts: int) -> None:
        """After at least so many attempts: on a slow machine a worker may seem dead once more."""

        def is_there() -> bool:
            _, now, attempt = self.execution()
            return bool(now == state and attempt >= attempts)

        wait_until(is_there, f"not {state}", self.installation.log_tail)

    def is_writing(self) -> bool:
        """Whether a worker is in the middle of a file."""
        return any((self.installation.data_dir / "objects" / "tmp").iterdir())

    def wait_until_idle(self) -> None:
        jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'execute_merge' AND status <> 'failed'"
        wait_until(lambda: self.installation.query(jobs) == [(0,)], "a job is left", self.installation.log_tail)

    def check(self, merge: str) -> None:
        """One version with the right sum, one result, and no job that failed."""
        found = done(self.alice.get(f"/merges/{merge}"))
        assert found["state"] == "succeeded", found
        versions = done(self.alice.get("/repositories/alice/sum/versions"))["items"]
        assert [version["reference"] for version in versions] == [found["result"]["reference"]]
        files = [
            self.alice.get(f"/repositories/alice/sum/versions/1.0.0/files/{path}").content
            for path in ("adapter_model.safetensors", "adapter_config.json")
        ]
        for module, delta in make_adapter(seeds["one"]).deltas.items():
            expected = delta + make_adapter(seeds["two"]).deltas[module]
            assert np.abs(delta_of(files[0], files[1], module) - expected).max() <= 1e-6 * np.abs(expected).max()
        assert self.installation.query("SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'") == [(0,)]


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        installation = Installation(Path(folder), database_url)
        settings = Settings(_env_file=None, database_url=SecretStr(database_url), data_dir=Path(folder), device="cpu")
        services = Services.open(settings)
        services.accounts.bootstrap(api_token)
        registry = Registry(TestClient(create_app(services)), services)
        alice = registry.user("alice")
        for name, seed in seeds.items():
            alice.publish(f"alice/{name}", make_adapter(seed))
        alice.repository("sum")
        made = Bench(installation, registry, alice, [])
        yield made
        for worker in made.workers:
            worker.kill()
            worker.wait()
        registry.http.close()
        services.close()


def test_a_merge_whose_worker_was_killed_in_the_middle_of_a_file_is_finished_by_the_next(bench: Bench) -> None:
    merge = bench.ask()
    victim = bench.work("slow/30")
    wait_until(bench.is_writing, "the worker does not begin", bench.installation.log_tail)
    victim.kill()
    assert victim.wait() == -signal.SIGKILL
    assert bench.execution()[1:] == ("running", 1)
    bench.work()
    bench.wait_for("succeeded", 2)
    bench.wait_until_idle()
    bench.check(merge)


@pytest.mark.parametrize(
    ("point", "state", "attempts"), [("before-commit", "running", 2), ("after-commit", "succeeded", 1)]
)
def test_a_worker_that_dies_beside_its_commit(bench: Bench, point: str, state: str, attempts: int) -> None:
    merge = bench.ask()
    victim = bench.work(point)
    assert victim.wait(60) == -signal.SIGKILL
    assert bench.execution()[1:] == (state, 1)
    bench.work()
    bench.wait_for("succeeded", attempts)
    bench.wait_until_idle()
    bench.check(merge)


def test_of_two_workers_on_one_execution_the_later_one_commits(bench: Bench) -> None:
    merge = bench.ask()
    first = bench.work("slow/1.5")
    wait_until(bench.is_writing, "the worker does not begin", bench.installation.log_tail)
    with bench.registry.services.database.begin() as tx:
        queue.defer(tx, TaskName.EXECUTE_MERGE, execution=str(UUID(str(bench.execution()[0]))))
    second = bench.work()
    bench.wait_for("succeeded", 2)
    bench.wait_until_idle()
    assert "somebody else's" in bench.installation.log_tail()
    bench.check(merge)
    assert first.poll() is None
    assert second.poll() is None


def test_a_paused_worker_that_wakes_up_after_another_has_finished_commits_nothing_and_works_on(bench: Bench) -> None:
    merge = bench.ask()
    paused = bench.work("slow/0.5")
    wait_until(bench.is_writing, "the worker does not begin", bench.installation.log_tail)
    os.kill(paused.pid, signal.SIGSTOP)
    other = bench.work()
    bench.wait_for("succeeded", 2)
    bench.check(merge)
    other.terminate()
    assert other.wait(20) == 0
    os.kill(paused.pid, signal.SIGCONT)
    wait_until(lambda: "somebody else's" in bench.installation.log_tail(), "the paused worker does not notice")
    bench.check(merge)
    recipe = {"layers": [{"adapter": "alice/one@1.0.0", "weight": 3}]}
    next_merge = done(bench.alice.post("/merges", recipe), 202)["id"]
    wait_until(
        lambda: done(bench.alice.get(f"/merges/{next_merge}"))["state"] == "succeeded",
        f"the worker that was paused does not work any more: {bench.installation.log_tail()}",
    )
    assert paused.poll() is None
