"""Recalls over REST: what they reach, what they stop, what they move; and that they are undone exactly."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from app.lineage.recalls import freeze_lineage
from tests.api.conftest import Registry, User, done, make_adapter, refused


def recall(user: User, version: str, **fields: Any) -> dict[str, Any]:
    return done(user.post("/recalls", {"version": version, "reason": "poisoned", **fields}), 201)


def states(registry: Registry) -> dict[str, str]:
    statement = text(
        "SELECT n.name || '/' || r.name || '@' || v.major || '.' || v.minor || '.' || v.patch, v.state FROM versions v"
        " JOIN repositories r ON r.id = v.repository_id JOIN namespaces n ON n.id = r.namespace_id"
    )
    with registry.services.database.read() as tx:
        return dict(tx.execute(statement).all())


def recalled(registry: Registry) -> set[str]:
    return {reference for reference, state in states(registry).items() if state == "recalled"}


def everything(registry: Registry) -> dict[str, Any]:
    """Every state and every alias."""
    with registry.services.database.read() as tx:
        aliases = tx.execute(text("SELECT repository_id, key, version_id FROM aliases ORDER BY 1, 2")).all()
    return {"states": states(registry), "aliases": aliases}


def test_a_recall_reaches_foundations_continuations_and_contents_and_is_undone_exactly(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/instruct", make_adapter(1), version="1.0.0")
    alice.publish("alice/apart", make_adapter(2), version="1.0.0")
    bob.publish("bob/dialogue", make_adapter(3), version="1.0.0", builds_on=["alice/instruct@1.0.0"])
    bob.publish("bob/dialogue", make_adapter(4), version="1.1.0", initialized_from="bob/dialogue@1.0.0", builds_on=[])
    merged = registry.merge(bob, {"layers": [{"adapter": "bob/dialogue@1.1.0"}, {"adapter": "alice/apart@1.0.0"}]})
    bob.repository("chat")
    recipe = {"layers": merged["recipe"]["layers"], "publish": {"repository": "bob/chat"}}
    done(bob.post("/merges", recipe), 200)
    before = everything(registry)

    made = recall(alice, "alice/instruct@1.0.0", severity="critical")
    assert (made["version"], made["severity"], made["undone_at"]) == ("alice/instruct@1.0.0", "critical", None)
    below = {"alice/instruct@1.0.0", "bob/dialogue@1.0.0", "bob/dialogue@1.1.0", "bob/chat@1.0.0"}
    assert recalled(registry) == below
    assert done(bob.get("/repositories/bob/chat/versions/1.0.0"))["state"] == "recalled"
    refused(alice.post("/recalls", {"version": "alice/instruct@1.0.0", "reason": "twice"}), 409, "already-recalled")

    problem = refused(bob.get("/repositories/bob/chat/versions/1.0.0/files/adapter_config.json"), 451, "recalled")
    assert problem["chains"] == [["bob/chat@1.0.0", "bob/dialogue@1.1.0", "bob/dialogue@1.0.0", "alice/instruct@1.0.0"]]
    assert [(entry["id"], entry["reason"]) for entry in problem["recalls"]] == [(made["id"], "poisoned")]
    by_the_hub = (
        f"/bob/chat/resolve/{done(bob.get('/repositories/bob/chat/versions/1.0.0'))['commit']}/adapter_config.json"
    )
    assert registry.anonymous.request("GET", by_the_hub).status_code == 451
    for path in ("versions/1.0.0/archive.tar", "versions/main/files/adapter_model.safetensors"):
        refused(bob.get(f"/repositories/bob/chat/{path}"), 451, "recalled")
    refused(bob.get(f"/merges/{merged['id']}/files/adapter_config.json"), 451, "recalled")
    assert refused(bob.post("/merges", recipe), 409, "recalled-in-plan")["paths"]
    accepted = "/repositories/bob/chat/versions/1.0.0/files/adapter_config.json?accept_recalled=true"
    assert bob.get(accepted).status_code == 200
    refused(alice.get(accepted), 451, "recalled")
    held = done(bob.get(f"/lookup/{done(bob.get('/repositories/bob/chat/versions/1.0.0'))['files'][0]['digest']}"))
    assert {entry["state"] for entry in held["items"]} == {"recalled"}

    done(alice.delete(f"/recalls/{made['id']}"), 204)
    assert everything(registry) == before
    assert bob.get("/repositories/bob/chat/versions/1.0.0/files/adapter_config.json").status_code == 200
    done(alice.delete(f"/recalls/{made['id']}"), 204)
    assert recall(alice, "alice/instruct@1.0.0")["id"] != made["id"]


def test_recalls_that_overlap_are_undone_one_by_one(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    alice.publish("alice/b", make_adapter(2), version="1.0.0", builds_on=["alice/a@1.0.0"])
    alice.publish("alice/c", make_adapter(3), version="1.0.0", builds_on=["alice/b@1.0.0"])
    first, second = recall(alice, "alice/a@1.0.0"), recall(alice, "alice/b@1.0.0")
    done(alice.delete(f"/recalls/{first['id']}"), 204)
    assert recalled(registry) == {"alice/b@1.0.0", "alice/c@1.0.0"}
    done(alice.delete("/repositories/alice/c/versions/1.0.0"), 204)
    done(alice.delete(f"/recalls/{second['id']}"), 204)
    assert recalled(registry) == set()
    assert states(registry)["alice/c@1.0.0"] == "deleted"


def test_what_is_published_on_a_recalled_version_is_recalled_from_the_start(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    made = recall(alice, "alice/a@1.0.0")
    late = alice.publish("alice/b", make_adapter(2), version="1.0.0", builds_on=["alice/a@1.0.0"])
    assert late["state"] == "recalled"
    done(alice.delete(f"/recalls/{made['id']}"), 204)
    assert recalled(registry) == set()


def test_a_deleted_version_may_still_be_recalled(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    alice.publish("alice/b", make_adapter(2), version="1.0.0", builds_on=["alice/a@1.0.0"])
    done(alice.delete("/repositories/alice/a/versions/1.0.0"), 204)
    recall(alice, "alice/a@1.0.0")
    assert recalled(registry) == {"alice/b@1.0.0"}


def test_running_merges_of_a_recalled_version_are_cancelled_and_others_go_on(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    alice.publish("alice/a", make_adapter(1, readme="twin"), version="1.0.1")
    alice.publish("alice/b", make_adapter(2), version="1.0.0")
    alone = done(alice.post("/merges", {"layers": [{"adapter": "alice/a@1.0.0"}]}), 202)
    twin = done(bob.post("/merges", {"layers": [{"adapter": "alice/a@1.0.1"}]}), 202)
    both = {"layers": [{"adapter": "alice/a@1.0.0"}, {"adapter": "alice/b@1.0.0"}]}
    other = done(bob.post("/merges", both), 202)
    recall(alice, "alice/a@1.0.0")
    assert done(alice.get(f"/merges/{alone['id']}"))["state"] == "cancelled"
    assert done(bob.get(f"/merges/{other['id']}"))["state"] == "cancelled"
    registry.work()
    assert done(bob.get(f"/merges/{twin['id']}"))["state"] == "succeeded", (
        "the same delta, of a version that was not recalled"
    )


def test_aliases_move_back_and_forth_as_the_repository_says(registry: Registry) -> None:
    alice = registry.user("alice")
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        alice.publish("alice/a", make_adapter(int(number[2])), version=number)
        done(alice.put("/repositories/alice/a/aliases/prod", {"version": number}))
    alice.publish("alice/kept", make_adapter(7), version="1.0.0", builds_on=["alice/a@1.2.0"])
    done(alice.put("/repositories/alice/a/aliases/only", {"version": "1.2.0"}))

    def prod() -> Any:
        listed = done(alice.get("/repositories/alice/a/aliases"))["items"]
        return {entry["alias"]: entry["version"] for entry in listed}["prod"]

    newest = recall(alice, "alice/a@1.2.0")
    assert prod() == "1.1.0"
    middle = recall(alice, "alice/a@1.1.0")
    assert prod() == "1.0.0"
    done(alice.delete(f"/recalls/{newest['id']}"), 204)
    assert prod() == "1.2.0", "the recall of 1.1.0 has nothing to do with it"
    done(alice.delete(f"/recalls/{middle['id']}"), 204)
    assert prod() == "1.2.0"
    listed = done(alice.get("/repositories/alice/a/aliases"))["items"]
    assert {entry["alias"]: entry["version"] for entry in listed}["only"] == "1.2.0", "it never named anything else"

    done(alice.patch("/repositories/alice/a", {"on_recall": "keep"}))
    recall(alice, "alice/a@1.2.0")
    assert prod() == "1.2.0"


def test_owners_of_private_descendants_are_told_and_the_recaller_is_not(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    bob.repository("hush", visibility="private")
    bob.publish("bob/hush", make_adapter(2), version="1.0.0", builds_on=["alice/a@1.0.0"])
    bob.publish("bob/open", make_adapter(3), version="1.0.0", builds_on=["bob/hush@1.0.0"])
    made = recall(alice, "alice/a@1.0.0")
    assert recalled(registry) == {"alice/a@1.0.0", "bob/hush@1.0.0", "bob/open@1.0.0"}
    told = done(bob.get("/audit?action=version.recalled"))["items"]
    assert {event["subject"] for event in told} == {"bob/hush@1.0.0", "bob/open@1.0.0"}
    assert told[0]["details"]["recall"] == made["id"]
    for path in ("/audit", "/recalls", f"/recalls/{made['id']}", "/repositories/alice/a/versions/1.0.0/impact"):
        assert "hush" not in alice.get(path).text
    problem = refused(alice.get("/repositories/bob/open/versions/1.0.0/files/adapter_config.json"), 451, "recalled")
    assert problem["chains"] == [["bob/open@1.0.0", {"id": "hidden-1", "hidden": True}]]
    assert problem["recalls"] == [], "what stands behind a hidden version is not told"


def test_who_may_recall_and_who_sees_it(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("hush", visibility="private")
    alice.publish("alice/hush", make_adapter(1), version="1.0.0")
    alice.publish("alice/a", make_adapter(2), version="1.0.0")
    refused(bob.post("/recalls", {"version": "alice/a@1.0.0", "reason": "no"}), 403, "forbidden")
    refused(bob.post("/recalls", {"version": "alice/hush@1.0.0", "reason": "no"}), 404, "not-found")
    refused(alice.post("/recalls", {"version": "alice/a", "reason": "no"}), 422, "invalid-reference")
    hidden, shown = recall(alice, "alice/hush@1.0.0"), recall(alice, "alice/a@1.0.0")
    assert [entry["id"] for entry in done(registry.anonymous.get("/recalls"))["items"]] == [shown["id"]]
    assert [entry["id"] for entry in done(alice.get("/recalls"))["items"]] == [shown["id"], hidden["id"]]
    assert done(registry.anonymous.get("/recalls?active=false"))["items"] == []
    first = done(alice.get("/recalls?limit=1"))
    second = done(alice.get(f"/recalls?limit=1&cursor={first['next_cursor']}"))
    assert [entry["id"] for entry in first["items"] + second["items"]] == [shown["id"], hidden["id"]]
    refused(bob.get(f"/recalls/{hidden['id']}"), 404, "not-found")
    refused(bob.delete(f"/recalls/{hidden['id']}"), 404, "not-found")
    refused(bob.delete(f"/recalls/{shown['id']}"), 403, "forbidden")


def test_a_merge_without_the_recalled_layer_is_the_merge_that_never_had_it(registry: Registry) -> None:
    alice = registry.user("alice")
    for number, name in enumerate(("x", "y", "z")):
        alice.publish(f"alice/{name}", make_adapter(number), version="1.0.0")
    layers = [{"adapter": f"alice/{name}@1.0.0", "weight": 0.5} for name in ("x", "y", "z")]
    never = registry.merge(
        alice, {"layers": layers[:2], "method": {"name": "ties", "density": 0.5}, "output": {"rank": 4}}
    )
    registry.merge(alice, {"layers": layers})
    recall(alice, "alice/z@1.0.0")
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE merge_executions SET evicted_at = now()"))
    without = registry.merge(
        alice, {"layers": layers[:2], "method": {"name": "ties", "density": 0.5}, "output": {"rank": 4}}
    )
    assert registry.rows("merge_executions") == 3
    assert without["result"] == never["result"]


def test_the_impact_of_a_version_is_what_the_caller_may_read(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    for number in range(3):
        bob.publish("bob/b", make_adapter(2 + number), version=f"1.{number}.0", builds_on=["alice/a@1.0.0"])
    bob.repository("hush", visibility="private")
    bob.publish("bob/hush", make_adapter(7), version="1.0.0", builds_on=["alice/a@1.0.0"])
    done(bob.put("/repositories/bob/b/aliases/prod", {"version": "1.1.0"}))
    for name, visibility in (("open", "public"), ("shut", "private")):
        body = {"layers": [{"adapter": "bob/b"}], "update": "pin", "visibility": visibility}
        done(bob.put(f"/stacks/bob/{name}", body), 201)
        done(bob.post(f"/stacks/bob/{name}/lock"), 201)
    registry.merge(bob, {"layers": [{"adapter": "bob/b@1.0.0"}]})

    def impact(user: User, of: str, query: str = "") -> dict[str, Any]:
        return done(user.get(f"/repositories/alice/a/versions/1.0.0/impact?of={of}{query}"))

    seen = impact(alice, "descendants", "&limit=2")
    assert {kind: it["count"] for kind, it in seen["counts"].items()} == {
        "descendants": 3,
        "stacks": 1,
        "locks": 1,
        "merges": 0,
        "aliases": 1,
    }
    assert not any(it["capped"] for it in seen["counts"].values())
    rest = impact(alice, "descendants", f"&limit=2&cursor={seen['next_cursor']}")
    assert [entry["reference"] for entry in seen["items"] + rest["items"]] == [f"bob/b@1.{n}.0" for n in range(3)]
    assert rest["next_cursor"] is None
    assert impact(alice, "stacks")["items"] == [{"stack": "bob/open", "lock": 1}]
    assert impact(alice, "aliases")["items"] == [{"alias": "bob/b@prod", "version": "1.1.0"}]
    own = impact(bob, "locks")
    assert {kind: it["count"] for kind, it in own["counts"].items()} == {
        "descendants": 4,
        "stacks": 2,
        "locks": 2,
        "merges": 1,
        "aliases": 1,
    }
    assert {entry["stack"] for entry in own["items"]} == {"bob/open", "bob/shut"}
    assert len(impact(bob, "merges")["items"]) == 1
    for of in ("stacks", "locks", "aliases", "merges"):
        assert impact(bob, of, "&limit=1")["items"]
    refused(alice.get("/repositories/alice/a/versions/9.9.9/impact"), 404, "not-found")


def test_what_is_published_and_merged_while_a_recall_comes_is_recalled_all_the_same(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/a", make_adapter(1), version="1.0.0")
    adapters = [make_adapter(10 + number).files for number in range(3)]
    digests = [{path: bob.upload(data) for path, data in files.items()} for files in adapters]
    for number in range(3):
        bob.repository(f"child{number}")
    over = threading.Event()

    def publish(number: int) -> int:
        made = 0
        on = "alice/a@1.0.0"
        while not over.is_set():
            answer = bob.post(
                f"/repositories/bob/child{number}/versions", {"files": digests[number], "builds_on": [on]}
            )
            assert answer.status_code == 201, answer.text
            made += 1
        return made

    def merge() -> int:
        asked = 0
        while not over.is_set():
            weight = 1.0 + asked
            recipe = {"layers": [{"adapter": "alice/a@1.0.0", "weight": weight}]}
            answer = bob.post("/merges", recipe)
            assert answer.status_code in (202, 409), answer.text
            asked += 1
        return asked

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(publish, number) for number in range(3)] + [pool.submit(merge)]
        for _ in range(4):
            made = recall(alice, "alice/a@1.0.0")
            assert set(states(registry).values()) == {"recalled"}
            queued = "SELECT count(*) FROM merge_executions WHERE state = 'queued'"
            with registry.services.database.read() as tx:
                assert tx.execute(text(queued)).scalar() == 0
            done(alice.delete(f"/recalls/{made['id']}"), 204)
        recall(alice, "alice/a@1.0.0")
        over.set()
        assert all(work.result() > 0 for work in running)
    assert set(states(registry).values()) == {"recalled"}


def until_frozen_out(registry: Registry) -> None:
    """Wait until somebody waits for a recall to end."""
    for _ in range(2_000):
        with registry.services.database.read() as tx:
            if tx.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")).scalar():
                return
        time.sleep(0.002)
    pytest.fail("nobody waits")


def test_whoever_waits_for_a_recall_holds_nothing_that_it_needs(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    alice.publish("alice/y", make_adapter(2), version="1.0.0")
    alice.repository("made")
    recipe = {"layers": [{"adapter": "alice/x@1.0.0"}], "publish": {"repository": "alice/made"}}
    done(alice.post("/merges", recipe), 202)
    waiting: list[tuple[Callable[[], object], str]] = [
        (registry.work, "SELECT id FROM merge_executions FOR UPDATE NOWAIT"),
        (
            lambda: done(alice.delete("/repositories/alice/y/versions/1.0.0"), 204),
            "SELECT versions.id FROM versions, repositories FOR UPDATE NOWAIT",
        ),
    ]
    for job, needed in waiting:
        with ThreadPoolExecutor(1) as pool:
            with registry.services.database.begin() as tx:
                freeze_lineage(tx)
                running = pool.submit(job)
                until_frozen_out(registry)
                assert tx.execute(text(needed)).all()
            running.result()
    assert done(alice.get("/repositories/alice/made/versions/main"))["version"] == "1.0.0"


def test_what_a_recall_moved_comes_back_though_aliases_are_kept_by_then(registry: Registry) -> None:
    alice = registry.user("alice")
    for number in range(2):
        alice.publish("alice/x", make_adapter(number), version=f"1.{number}.0")
        done(alice.put("/repositories/alice/x/aliases/prod", {"version": f"1.{number}.0"}))

    def prod() -> str:
        version: str = done(alice.get("/repositories/alice/x/versions/prod"))["version"]
        return version

    made = recall(alice, "alice/x@1.1.0")
    assert prod() == "1.0.0"
    done(alice.patch("/repositories/alice/x", {"on_recall": "keep"}))
    done(alice.delete(f"/recalls/{made['id']}"), 204)
    assert prod() == "1.1.0"
    recall(alice, "alice/x@1.1.0")
    assert prod() == "1.1.0"
