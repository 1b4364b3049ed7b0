"""Stacks kept current: events against what is computed from scratch; policies; exactly one lock per change of outcome."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.errors import MergeFailed
from app.lineage import repositories, stacks
from app.services.executing import most_attempts
from tests.api.conftest import Registry, User, done, make_adapter, refused
from tests.api.test_stacks import put, versions_of


def jobs(registry: Registry, *, twice: bool) -> None:
    """Do the chores that wait, and leave the merges; twice: as if each had been delivered two times."""
    services = registry.services
    while True:
        with services.database.begin() as tx:
            waiting = tx.execute(
                text(
                    "DELETE FROM procrastinate_jobs WHERE task_name IN ('tell', 'update_stack') RETURNING task_name, args"
                )
            ).all()
        if not waiting:
            return
        for job in [*waiting, *(waiting if twice else ())]:
            if job.task_name == "tell":
                services.following.tell()
            else:
                services.following.update(UUID(job.args["stack"]))


def proposals(user: User, stack: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = done(user.get(f"/stacks/{stack}/proposals"))["items"]
    return items


def test_a_proposal_is_accepted_rejected_or_withdrawn(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    put(bob, "bob/chat", "alice/x", update="propose")
    registry.work()
    (first,) = proposals(bob, "bob/chat")
    assert (first["number"], first["state"], first["because"]) == (1, "open", "update")
    assert versions_of(first) == ["alice/x@1.0.0"]
    refused(alice.post("/stacks/bob/chat/proposals/1/accept"), 403, "forbidden")
    lock = done(bob.post("/stacks/bob/chat/proposals/1/accept"), 201)
    assert (lock["number"], lock["because"]) == (1, "proposal")
    assert registry.work() == 1
    assert done(bob.get("/stacks/bob/chat"))["lock"]["version"] == "1.0.0"
    assert refused(bob.post("/stacks/bob/chat/proposals/1/reject"), 409, "already-decided")["state"] == "accepted"

    alice.publish("alice/x", make_adapter(2), version="1.1.0")
    registry.work()
    done(bob.post("/stacks/bob/chat/proposals/2/reject"), 204)
    done(alice.put("/repositories/alice/x/aliases/prod", {"version": "1.1.0"}))
    registry.work()
    assert [it["state"] for it in proposals(bob, "bob/chat")] == ["rejected", "accepted"], "it is not proposed again"

    for number in (2, 3):
        alice.publish("alice/x", make_adapter(1 + number), version=f"1.{number}.0")
        registry.work()
    assert [it["state"] for it in proposals(bob, "bob/chat")][:2] == ["open", "withdrawn"]
    done(alice.delete("/repositories/alice/x/versions/1.3.0"), 204)
    done(alice.delete("/repositories/alice/x/versions/1.2.0"), 204)
    done(alice.delete("/repositories/alice/x/versions/1.1.0"), 204)
    registry.work()
    assert "open" not in [it["state"] for it in proposals(bob, "bob/chat")], "the lock that stands is right again"
    assert [it["number"] for it in done(bob.get("/stacks/bob/chat/locks"))["items"]] == [1]
    refused(bob.post("/stacks/bob/chat/proposals/9/accept"), 404, "not-found")


def test_a_refusal_that_passes_leaves_proposals_as_they_were(registry: Registry) -> None:
    alice = registry.user("alice")
    for seed, name in enumerate(("x", "y")):
        alice.publish(f"alice/{name}", make_adapter(seed), version="1.0.0")
    put(alice, "alice/chat", "alice/x", "alice/y", update="propose")
    registry.work()

    def recalled_and_restored() -> None:
        made = done(alice.post("/recalls", {"version": "alice/y@1.0.0", "reason": "bad"}), 201)
        registry.work()
        assert done(alice.get("/stacks/alice/chat"))["problem"]["type"] == "/problems/unresolvable"
        done(alice.delete(f"/recalls/{made['id']}"), 204)
        registry.work()
        assert done(alice.get("/stacks/alice/chat"))["problem"] is None

    recalled_and_restored()
    assert [it["state"] for it in proposals(alice, "alice/chat")] == ["open", "withdrawn"]
    done(alice.post("/stacks/alice/chat/proposals/2/reject"), 204)
    recalled_and_restored()
    assert [it["state"] for it in proposals(alice, "alice/chat")] == ["rejected", "withdrawn"]


def test_a_version_that_can_be_read_once_its_contents_can_is_followed(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("hush", visibility="private")
    alice.publish("alice/hush", make_adapter(1), version="1.0.0")
    alice.publish("alice/mix", make_adapter(2), version="1.0.0")
    publish = {"repository": "alice/mix", "version": "1.1.0"}
    registry.merge(alice, {"layers": [{"adapter": "alice/hush@1.0.0"}], "publish": publish})
    put(bob, "bob/chat", "alice/mix", update="auto")
    registry.work()
    assert versions_of(done(bob.get("/stacks/bob/chat"))["lock"]) == ["alice/mix@1.0.0"]
    done(alice.patch("/repositories/alice/hush", {"visibility": "public"}))
    registry.work()
    assert versions_of(done(bob.get("/stacks/bob/chat"))["lock"]) == ["alice/mix@1.1.0"]


def test_a_lock_whose_merge_was_refused_is_merged_when_nothing_is_in_the_way(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    planning = registry.services.merging.planning
    limits = planning.limits
    planning.limits = replace(limits, members=0)
    put(alice, "alice/chat", "alice/x", update="auto")
    for alias in ("one", "two"):
        done(alice.put(f"/repositories/alice/x/aliases/{alias}", {"version": "1.0.0"}))
        registry.work()
        found = done(alice.get("/stacks/alice/chat"))
        assert (found["problem"]["type"], found["lock"]["version"]) == ("/problems/plan-too-large", None)
    planning.limits = limits
    done(alice.put("/repositories/alice/x/aliases/three", {"version": "1.0.0"}))
    registry.work()
    found = done(alice.get("/stacks/alice/chat"))
    assert (found["problem"], found["lock"]["number"], found["lock"]["version"]) == (None, 1, "1.0.0")


def test_a_lock_whose_merge_failed_says_so_and_is_merged_again(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    put(alice, "alice/chat", "alice/x", update="auto")
    jobs(registry, twice=False)
    with registry.services.database.begin() as tx:
        execution = tx.execute(text("SELECT id FROM merge_executions")).scalar_one()
        tx.execute(text("DELETE FROM procrastinate_jobs"))
    registry.services.executing.fail(execution, None, MergeFailed("it was too much"))
    assert done(alice.get("/stacks/alice/chat"))["problem"]["type"] == "/problems/merge-failed"
    done(alice.put("/repositories/alice/x/aliases/prod", {"version": "1.0.0"}))
    jobs(registry, twice=True)
    assert registry.rows("merge_executions") == 2
    assert registry.work() == 1
    found = done(alice.get("/stacks/alice/chat"))
    assert (found["problem"], found["lock"]["number"], found["lock"]["version"]) == (None, 1, "1.0.0")


def test_a_merge_that_killed_its_workers_too_often_ends_and_waits_for_nobody_with_what_they_need(
    registry: Registry,
) -> None:
    alice = registry.user("alice")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    stack = UUID(put(alice, "alice/chat", "alice/x", update="auto")["uuid"])
    jobs(registry, twice=False)
    database = registry.services.database
    with database.begin() as tx:
        worn = text("UPDATE merge_executions SET attempt = :attempts RETURNING id")
        execution = tx.execute(worn, {"attempts": most_attempts}).scalar_one()
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as tx:
            # as whoever resolves the stack, who asks for the merge only now
            repositories.lock(tx, stack)
            stacks.note_problem(tx, stack, None)
            claim = pool.submit(registry.services.executing.claim, execution)
            until_somebody_waits(registry)
            assert tx.execute(text("SELECT id FROM merge_executions FOR UPDATE NOWAIT")).all()
        assert claim.result() is None
    assert done(alice.get("/stacks/alice/chat"))["problem"]["type"] == "/problems/merge-failed"


def until_somebody_waits(registry: Registry) -> None:
    """For a lock that somebody else holds."""
    for _ in range(2_000):
        with registry.services.database.read() as tx:
            if tx.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
                return
        time.sleep(0.002)
    pytest.fail("nobody waits")


def test_a_recall_proposes_a_lock_without_it_even_where_versions_are_pinned(registry: Registry) -> None:
    alice = registry.user("alice")
    for number in range(2):
        alice.publish("alice/x", make_adapter(number), version=f"1.{number}.0")
    put(alice, "alice/chat", "alice/x", update="pin")
    assert versions_of(done(alice.post("/stacks/alice/chat/lock"), 201)) == ["alice/x@1.1.0"]
    alice.publish("alice/x", make_adapter(3), version="1.2.0")
    registry.work()
    assert proposals(alice, "alice/chat") == []
    made = [done(alice.post("/recalls", {"version": f"alice/x@1.{n}.0", "reason": "bad"}), 201) for n in (2, 1)]
    registry.work()
    (found,) = proposals(alice, "alice/chat")
    assert (found["because"], found["state"]) == ("recall", "open")
    assert versions_of(found) == ["alice/x@1.0.0"]
    done(alice.delete(f"/recalls/{made[1]['id']}"), 204)
    registry.work()
    assert [it["state"] for it in proposals(alice, "alice/chat")] == ["withdrawn"]


@pytest.mark.parametrize("update", ["auto", "propose"])
def test_a_lock_that_somebody_went_back_to_is_left_when_it_is_recalled(registry: Registry, update: str) -> None:
    alice = registry.user("alice")
    for number in range(2):
        alice.publish("alice/x", make_adapter(number), version=f"1.{number}.0")
    put(alice, "alice/chat", "alice/x@<1.1", update=update)
    done(alice.post("/stacks/alice/chat/lock"), 201)
    put(alice, "alice/chat", "alice/x", update=update, status=200)
    done(alice.post("/stacks/alice/chat/lock"), 201)
    done(alice.post("/stacks/alice/chat/rollback", {"lock": 1}), 201)
    registry.work()
    assert done(alice.get("/stacks/alice/chat"))["lock"]["number"] == 3
    done(alice.post("/recalls", {"version": "alice/x@1.0.0", "reason": "bad"}), 201)
    registry.work()
    lock = done(alice.get("/stacks/alice/chat"))["lock"]
    if update == "auto":
        assert (lock["number"], lock["because"], versions_of(lock)) == (4, "recall", ["alice/x@1.1.0"])
        return
    (found,) = proposals(alice, "alice/chat")
    assert (lock["number"], found["because"], versions_of(found)) == (3, "recall", ["alice/x@1.1.0"])
    done(alice.post("/stacks/alice/chat/proposals/1/reject"), 204)
    done(alice.put("/repositories/alice/x/aliases/prod", {"version": "1.1.0"}))
    registry.work()
    assert [it["state"] for it in proposals(alice, "alice/chat")] == ["rejected"], "it is not proposed again"


def test_a_stack_that_follows_is_merged_again_without_what_was_recalled(registry: Registry) -> None:
    alice = registry.user("alice")
    for number in range(2):
        alice.publish("alice/x", make_adapter(number), version=f"1.{number}.0")
    put(alice, "alice/chat", "alice/x", update="auto")
    registry.work()
    before = done(alice.get("/repositories/alice/chat/versions/main"))
    assert before["merged_from"][0]["reference"] == "alice/x@1.1.0"
    done(alice.post("/recalls", {"version": "alice/x@1.1.0", "reason": "bad"}), 201)
    assert done(alice.get("/repositories/alice/chat/versions/1.0.0"))["state"] == "recalled"
    registry.work()
    after = done(alice.get("/repositories/alice/chat/versions/main"))
    assert (after["version"], after["state"]) == ("2.0.0", "published")
    assert after["merged_from"][0]["reference"] == "alice/x@1.0.0"


def test_a_stack_without_an_outcome_says_why_to_its_maintainer(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    put(alice, "alice/chat", "alice/x", update="auto")
    registry.work()
    done(alice.delete("/repositories/alice/x/versions/1.0.0"), 204)
    registry.work()
    problem = done(alice.get("/stacks/alice/chat"))["problem"]
    assert problem["type"] == "/problems/unresolvable"
    assert problem["because"]["name"] == "no-version"
    assert "because" not in done(bob.get("/stacks/alice/chat"))["problem"]
    assert done(alice.get("/stacks/alice/chat"))["lock"]["number"] == 1
    alice.publish("alice/x", make_adapter(2), version="1.1.0")
    registry.work()
    assert done(alice.get("/stacks/alice/chat"))["problem"] is None
    assert done(alice.get("/stacks/alice/chat"))["lock"]["number"] == 2


def test_a_stack_stands_still_when_its_maintainer_may_not_write_it_any_more(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    done(alice.post("/organizations", {"name": "lab", "members": [{"user": "bob", "role": "writer"}]}), 201)
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    put(bob, "lab/chat", "alice/x", update="auto")
    registry.work()
    done(alice.patch("/organizations/lab", {"members": [{"user": "bob", "role": None}]}))
    alice.publish("alice/x", make_adapter(2), version="1.1.0")
    registry.work()
    found = done(bob.get("/stacks/lab/chat"))
    assert found["problem"]["type"] == "/problems/forbidden"
    assert found["lock"]["number"] == 1
    put(alice, "lab/chat", "alice/x", update="auto", status=200)
    registry.work()
    found = done(alice.get("/stacks/lab/chat"))
    assert (found["problem"], found["lock"]["version"]) == (None, "2.0.0")


def test_stacks_are_resolved_anew_when_two_names_of_a_base_become_one(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/x", make_adapter(1, base="org/base"), version="1.0.0")
    alice.publish("alice/y", make_adapter(2, base="mirror/base"), version="1.0.0")
    put(alice, "alice/chat", "alice/x", "alice/y", update="propose")
    registry.work()
    assert done(alice.get("/stacks/alice/chat"))["problem"]["because"]["name"] == "base-model-mismatch"
    assert registry.admin.put("/base-models", {"name": "mirror/base", "canonical": "org/base"}).status_code == 204
    registry.work()
    assert done(alice.get("/stacks/alice/chat"))["problem"] is None
    assert [it["state"] for it in proposals(alice, "alice/chat")] == ["open"]
