"""Stacks are kept current by workers that are killed at random moments: one lock per change of outcome, each merged once."""

import logging
import os
import random
import time

import pytest

from tests.api.conftest import done, make_adapter
from tests.api.test_stacks import put
from tests.crash.installation import wait_until
from tests.crash.test_workers import Bench
from tests.crash.test_workers import bench as bench

pytestmark = pytest.mark.slow

log = logging.getLogger(__name__)

stack_names = ("first", "second", "third")
kills = 6


def test_workers_that_are_killed_leave_one_lock_per_change_of_outcome(bench: Bench) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(1_000_000))
    log.warning("CRASH_SEED=%d", seed)
    chance = random.Random(seed)
    alice = bench.alice
    for name in ("x", "y"):
        alice.publish(f"alice/{name}", make_adapter(1, rank=1), version="1.0.0")
    for name, layers in zip(stack_names, (["alice/x"], ["alice/y", "alice/x"], ["alice/first"]), strict=True):
        put(alice, f"alice/{name}", *layers, update="auto")
    for number in range(1, kills + 1):
        victim = bench.work()
        name = chance.choice(["x", "y"])
        alice.publish(f"alice/{name}", make_adapter(number + 10, rank=1), version=f"1.{number}.0")
        done(alice.put(f"/repositories/alice/{name}/aliases/prod", {"version": f"1.{number}.0"}))
        time.sleep(chance.uniform(0.5, 4))
        victim.kill()
        victim.wait()
    bench.work()
    left = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
    wait_until(lambda: bench.installation.query(left) == [(0,)], "jobs are left", bench.installation.log_tail, 300)
    assert bench.installation.query("SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'") == [(0,)]
    assert bench.installation.query("SELECT count(*) FROM events") == [(0,)]
    for name in stack_names:
        assert alice.post(f"/stacks/alice/{name}/lock").status_code == 200, "the last lock is not what is right now"
        locks = done(alice.get(f"/stacks/alice/{name}/locks?limit=200"))["items"]
        digests = [lock["digest"] for lock in locks]
        assert len(set(digests)) == len(digests), "an outcome that was left never came back here"
        assert all(lock["version"] == f"{lock['number']}.0.0" for lock in locks)
        main = done(alice.get(f"/repositories/alice/{name}/versions/main"))
        assert main["version"] == f"{locks[0]['number']}.0.0"
    executions = [row[0] for row in bench.installation.query("SELECT recipe_digest FROM merge_executions")]
    assert len(set(executions)) == len(executions)
