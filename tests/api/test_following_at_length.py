"""Many stacks and what happens upstream of them: at every moment the locks that are computed from scratch, one for each change
of outcome, and one execution for each recipe; also when jobs come twice and when workers die over them."""

import os
import random
from itertools import pairwise

import pytest
from sqlalchemy import text

from tests.api.conftest import Registry
from tests.api.upstreams import Delivery, Upstreams, do_jobs, histories, outcome_from_scratch

events = int(os.environ.get("STACK_EVENTS", "20"))
"""Of each way of delivery; `make soak` takes 1,000."""
followers = 50 if events >= 1_000 else 20


@pytest.mark.slow
@pytest.mark.parametrize("delivery", sorted(Delivery))
def test_locks_are_those_computed_from_scratch_after_random_events(registry: Registry, delivery: Delivery) -> None:
    dice = random.Random(f"{events} {delivery}")
    upstreams = Upstreams(registry, dice)
    stacks = upstreams.follow(followers)
    known: dict[str, list[str]] = {stack: [] for stack in stacks}
    changes = 0
    for step in range(events + 1):
        what = upstreams.happen() if step else "defined"
        do_jobs(registry, delivery, dice)
        found = histories(registry)
        moved = {stack for stack in stacks if found.get(stack, []) != known[stack]}
        # all of them now and then, and otherwise enough that nothing escapes for long
        is_whole = step % 10 == 0 or step == events
        for stack in sorted(stacks) if is_whole else sorted(moved | set(dice.sample(sorted(stacks), 5))):
            before, now, scratch = known[stack], found.get(stack, []), outcome_from_scratch(registry, stack)
            added = now[len(before) :]
            assert now[: len(before)] == before
            assert scratch is None or now[-1] == scratch, (step, what)
            assert all(one != other for one, other in pairwise([*before[-1:], *added])), (step, what)
            # what another stack's merge made of the same event comes later
            assert len(added) <= 1 or stacks[stack], (step, what)
            changes += len(added)
            known[stack] = now
    assert changes > followers // 2
    check_merges(registry)


def check_merges(registry: Registry) -> None:
    with registry.services.database.read() as tx:
        living = "SELECT recipe_digest FROM merge_executions WHERE state <> 'cancelled'"
        digests = list(tx.execute(text(living)).scalars())
        states = set(tx.execute(text("SELECT state FROM merge_executions")).scalars())
        unmerged = tx.execute(
            text(
                """
                SELECT last.stack_id FROM (SELECT stack_id, max(number) AS number FROM locks GROUP BY stack_id) AS last
                JOIN stacks ON stacks.repository_id = last.stack_id AND stacks.problem IS NULL
                WHERE NOT EXISTS (
                    SELECT FROM versions
                    WHERE repository_id = last.stack_id AND (major, minor, patch) = (last.number, 0, 0)
                )
                """
            )
        ).all()
    assert len(set(digests)) == len(digests), "two executions of one recipe"
    assert states <= {"succeeded", "cancelled"}
    assert unmerged == []
