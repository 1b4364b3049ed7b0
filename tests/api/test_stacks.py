"""Stacks over REST: defined, locked, merged, compared, rolled back; what others see of them."""

from typing import Any

import pytest

from tests.api.conftest import Registry, User, done, make_adapter, refused


def put(user: User, name: str, *layers: Any, status: int = 201, **fields: Any) -> dict[str, Any]:
    """Define a stack of references, or layers as they are."""
    body = {"layers": [{"adapter": layer} if isinstance(layer, str) else layer for layer in layers]}
    fields = {"update": "pin", "visibility": "public"} | fields
    return done(user.put(f"/stacks/{name}", body | fields), status)


def locked(user: User, name: str, status: int = 201) -> dict[str, Any]:
    return done(user.post(f"/stacks/{name}/lock"), status)


def versions_of(lock: dict[str, Any]) -> list[str]:
    return [layer["version"]["reference"] for layer in lock["layers"]]


@pytest.fixture
def world(registry: Registry) -> tuple[Registry, User]:
    """dialogue and reasoning, each on instruct@1 and, newer, on instruct@2."""
    alice = registry.user("alice")
    for major in (1, 2):
        alice.publish("alice/instruct", make_adapter(major), version=f"{major}.0.0")
    on = {"builds_on": ["alice/instruct@1.0.0"]}
    alice.publish("alice/dialogue", make_adapter(3), version="1.0.0", **on)
    alice.publish("alice/dialogue", make_adapter(4), version="2.0.0", builds_on=["alice/instruct@2.0.0"])
    alice.publish("alice/reasoning", make_adapter(5), version="1.0.0", **on)
    alice.publish("alice/reasoning", make_adapter(6), version="1.1.0", **on)
    registry.work()
    return registry, alice


def test_a_lock_is_the_newest_that_agrees_and_merges_into_the_version_of_its_number(
    world: tuple[Registry, User],
) -> None:
    registry, alice = world
    made = put(alice, "alice/chat", "alice/dialogue", {"adapter": "alice/reasoning", "range": ">=1,<2", "weight": 0.5})
    assert made["lock"] is None
    lock = locked(alice, "alice/chat")
    assert lock["number"] == 1
    assert versions_of(lock) == ["alice/dialogue@1.0.0", "alice/reasoning@1.1.0"]
    assert [member["reference"] for member in lock["trunk"]] == ["alice/instruct@1.0.0"]
    assert lock["version"] is None
    assert locked(alice, "alice/chat", 200)["number"] == 1

    merge = done(alice.post("/stacks/alice/chat/locks/1/merge"), 202)
    assert registry.work() == 1
    assert done(alice.get(f"/merges/{merge['id']}"))["result"]["reference"] == "alice/chat@1.0.0"
    lock = done(alice.get("/stacks/alice/chat/locks/1"))
    assert (lock["version"], lock["reference"]) == ("1.0.0", "alice/chat@1.0.0")
    main = done(registry.anonymous.get("/repositories/alice/chat/versions/main"))
    assert main["version"] == "1.0.0"
    assert main["kind"] == "stack"
    again = done(alice.post("/stacks/alice/chat/locks/1/merge"), 200)
    assert again["state"] == "succeeded"
    assert registry.rows("merge_executions") == 1


def test_a_merged_lock_is_the_merge_of_its_layers_bit_for_bit(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/chat", "alice/dialogue@1.0.0", {"adapter": "alice/reasoning@1.1.0", "weight": 0.5})
    locked(alice, "alice/chat")
    alice.post("/stacks/alice/chat/locks/1/merge")
    registry.work()
    recipe = {"layers": [{"adapter": "alice/dialogue@1.0.0"}, {"adapter": "alice/reasoning@1.1.0", "weight": 0.5}]}
    by_hand = registry.merge(alice, recipe)
    found = done(alice.get("/repositories/alice/chat/versions/1.0.0"))
    assert {(file["path"], file["digest"]) for file in found["files"]} == {
        (file["path"], file["digest"]) for file in by_hand["result"]["files"]
    }
    assert registry.rows("merge_executions") == 1


def test_an_earlier_lock_that_is_merged_later_does_not_become_main(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/chat", "alice/reasoning")
    locked(alice, "alice/chat")
    alice.publish("alice/reasoning", make_adapter(7), version="1.2.0", builds_on=["alice/instruct@1.0.0"])
    assert locked(alice, "alice/chat")["number"] == 2
    for number in (2, 1):
        done(alice.post(f"/stacks/alice/chat/locks/{number}/merge"), 202)
        registry.work()
        assert done(alice.get("/repositories/alice/chat/versions/main"))["version"] == "2.0.0"
    assert done(alice.get("/repositories/alice/chat/versions/latest"))["version"] == "2.0.0"
    assert [lock["version"] for lock in done(alice.get("/stacks/alice/chat/locks"))["items"]] == ["2.0.0", "1.0.0"]


def test_the_difference_of_two_locks_names_layers_and_trunk(world: tuple[Registry, User]) -> None:
    _, alice = world
    put(alice, "alice/chat", "alice/dialogue@2.0.0")
    locked(alice, "alice/chat")
    put(alice, "alice/chat", "alice/dialogue@1.0.0", "alice/reasoning", status=200, method={"name": "ties"})
    locked(alice, "alice/chat")
    difference = done(alice.get("/stacks/alice/chat/locks/1...2"))
    moved, added = difference["layers"]
    assert (moved["from"]["version"]["reference"], moved["to"]["version"]["reference"]) == (
        "alice/dialogue@2.0.0",
        "alice/dialogue@1.0.0",
    )
    assert added["from"] is None
    assert {(entry["from"] or entry["to"])["reference"] for entry in difference["trunk"]} == {
        "alice/instruct@1.0.0",
        "alice/instruct@2.0.0",
    }
    assert difference["changed"] == ["method"]
    same = done(alice.get("/stacks/alice/chat/locks/2...2"))
    assert (same["layers"], same["trunk"], same["changed"]) == ([], [], [])
    refused(alice.get("/stacks/alice/chat/locks/1...9"), 404, "not-found")


def test_a_rollback_is_a_new_lock_with_an_old_outcome(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/chat", "alice/reasoning", update="auto")
    registry.work()
    alice.publish("alice/reasoning", make_adapter(8), version="1.2.0", builds_on=["alice/instruct@1.0.0"])
    registry.work()
    assert versions_of(done(alice.get("/stacks/alice/chat/locks/2"))) == ["alice/reasoning@1.2.0"]
    back = done(alice.post("/stacks/alice/chat/rollback", {"lock": 1}), 201)
    assert (back["number"], back["because"]) == (3, "rollback")
    first = done(alice.get("/stacks/alice/chat/locks/1"))
    assert back["digest"] == first["digest"]
    registry.work()
    assert done(alice.get("/repositories/alice/chat/versions/main"))["version"] == "3.0.0"
    alice.put("/repositories/alice/reasoning/aliases/any", {"version": "1.2.0"})
    registry.work()
    assert len(done(alice.get("/stacks/alice/chat/locks"))["items"]) == 3
    alice.publish("alice/reasoning", make_adapter(9), version="1.3.0", builds_on=["alice/instruct@1.0.0"])
    registry.work()
    assert versions_of(done(alice.get("/stacks/alice/chat/locks/4"))) == ["alice/reasoning@1.3.0"]
    refused(alice.post("/stacks/alice/chat/rollback", {"lock": 9}), 404, "not-found")


def test_what_cannot_be_resolved_is_explained(world: tuple[Registry, User]) -> None:
    _, alice = world
    put(alice, "alice/chat", "alice/reasoning", "alice/dialogue@>=2")
    problem = refused(alice.post("/stacks/alice/chat/lock"), 409, "unresolvable")
    assert problem["conflict"] == [
        {"layer": 0, "adapter": "alice/reasoning", "range": ""},
        {"layer": 1, "adapter": "alice/dialogue", "range": ">=2"},
    ]
    assert problem["because"]["name"] == "version-conflict"
    assert problem["because"]["paths"] == [
        ["alice/reasoning@1.1.0", "alice/instruct@1.0.0"],
        ["alice/dialogue@2.0.0", "alice/instruct@2.0.0"],
    ]
    put(alice, "alice/chat", "alice/reasoning@>=7", status=200)
    problem = refused(alice.post("/stacks/alice/chat/lock"), 409, "unresolvable")
    assert problem["because"] == {"name": "no-version", "layers": [0]}


def test_bad_definitions_are_refused_with_a_pointer(world: tuple[Registry, User]) -> None:
    registry, alice = world
    registry.user("bob").repository("hush", visibility="private")
    cases = [
        ({"adapter": "alice/dialogue", "range": "newer"}, None, None),
        ({"adapter": "alice/dialogue", "range": ">=x"}, "invalid-range", "/layers/0/range"),
        ({"adapter": "alice/dialogue@>=x"}, "invalid-range", "/layers/0/adapter"),
        ({"adapter": "alice/dialogue@1.0.0", "range": ">=1"}, "malformed-request", "/layers/0/range"),
        ({"adapter": "dialogue"}, "invalid-reference", "/layers/0/adapter"),
        ({"adapter": "alice/none"}, "not-found", "/layers/0/adapter"),
        ({"adapter": "bob/hush"}, "not-found", "/layers/0/adapter"),
    ]
    for layer, name, pointer in cases:
        answer = alice.put("/stacks/alice/chat", {"layers": [layer], "update": "pin"})
        if name is not None:
            assert refused(answer, answer.status_code, name).get("pointer") == pointer, layer
    refused(alice.put("/stacks/alice/chat", {"layers": []}), 422, "malformed-request")
    refused(alice.put("/stacks/alice/dialogue", {"layers": [{"adapter": "alice/reasoning"}]}), 409, "not-stack")
    refused(alice.get("/stacks/alice/dialogue"), 409, "not-stack")
    body = {"layers": [{"adapter": "alice/reasoning"}], "output": {"kind": "model"}}
    assert refused(alice.put("/stacks/alice/chat", body), 422, "malformed-request")["pointer"] == "/output/kind"
    refused(alice.get("/stacks/alice/none"), 404, "not-found")


def test_stacks_that_would_follow_each_other_are_refused(world: tuple[Registry, User]) -> None:
    _, alice = world
    put(alice, "alice/first", "alice/reasoning")
    put(alice, "alice/second", "alice/first")
    for layer in ("alice/first", "alice/second"):
        answer = alice.put("/stacks/alice/first", {"layers": [{"adapter": layer}]})
        assert refused(answer, 422, "malformed-request")["pointer"] == "/layers/0/adapter"


def test_a_stack_of_a_stack_is_locked_and_merged(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/first", "alice/reasoning", update="auto")
    put(alice, "alice/second", "alice/first", update="auto")
    registry.work()
    assert versions_of(done(alice.get("/stacks/alice/second"))["lock"]) == ["alice/first@1.0.0"]
    assert done(alice.get("/repositories/alice/second/versions/main"))["version"] == "1.0.0"


def test_nobody_publishes_into_a_stack_by_hand(world: tuple[Registry, User]) -> None:
    _, alice = world
    put(alice, "alice/chat", "alice/reasoning")
    refused(alice.try_publish("alice/chat", make_adapter(1).files), 409, "not-published-by-hand")
    recipe = {"layers": [{"adapter": "alice/reasoning@1.1.0"}], "publish": {"repository": "alice/chat"}}
    refused(alice.post("/merges", recipe), 409, "not-an-adapter")


def test_readers_merge_a_lock_for_themselves(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/chat", "alice/reasoning")
    locked(alice, "alice/chat")
    bob = registry.user("bob")
    merge = done(bob.post("/stacks/alice/chat/locks/1/merge"), 202)
    registry.work()
    found = done(bob.get(f"/merges/{merge['id']}"))
    assert found["state"] == "succeeded"
    assert found["recipe"]["publish"] is None
    assert done(bob.get("/stacks/alice/chat/locks/1"))["version"] is None
    for path, body in (("lock", None), ("rollback", {"lock": 1})):
        refused(bob.post(f"/stacks/alice/chat/{path}", body), 403, "forbidden")
    refused(bob.put("/stacks/alice/chat", {"layers": [{"adapter": "alice/reasoning"}]}), 403, "forbidden")


def test_of_private_layers_a_reader_sees_only_that_they_are_there(world: tuple[Registry, User]) -> None:
    registry, alice = world
    alice.repository("hush", visibility="private")
    alice.publish("alice/hush", make_adapter(9), version="1.0.0", builds_on=["alice/instruct@1.0.0"])
    put(alice, "alice/chat", "alice/reasoning", {"adapter": "alice/hush", "range": ">=1", "weight": 0.25})
    locked(alice, "alice/chat")
    done(alice.post("/stacks/alice/chat/locks/1/merge"), 202)
    registry.work()
    bob = registry.user("bob")
    for path in ("", "/locks", "/locks/1", "/locks/1...1", "/proposals"):
        assert "hush" not in bob.get(f"/stacks/alice/chat{path}").text
    seen = done(bob.get("/stacks/alice/chat/locks/1"))
    assert seen["layers"][1] == {
        "hidden": True,
        "weight": 0.25,
        "version": {"id": "hidden-1", "hidden": True, "weight": 0.25},
    }
    assert seen["version"] is None, "the merged lock holds what bob may not read"
    refused(bob.get("/repositories/alice/chat/versions/1.0.0"), 404, "not-found")
    answer = bob.post("/stacks/alice/chat/locks/1/merge")
    assert refused(answer, 404, "not-found")["reference"] == "lock 1 of alice/chat"
    assert "hush" not in answer.text
    digest = done(alice.get("/repositories/alice/hush/versions/1.0.0"))["digest"]
    assert digest not in answer.text


def test_a_lock_says_of_its_base_what_its_reader_may_see(world: tuple[Registry, User]) -> None:
    registry, alice = world
    alice.repository("hush", visibility="private")
    pinned = {"name": "acme/tiny", "revision": "abc"}
    alice.publish("alice/hush", make_adapter(9), version="1.0.0", builds_on=[], base_model=pinned)
    put(alice, "alice/chat", "alice/reasoning", "alice/hush", update="propose")
    registry.work()
    done(alice.post("/stacks/alice/chat/proposals/1/accept"), 201)
    bob = registry.user("bob")
    for path in ("locks", "proposals"):
        own, seen = (done(user.get(f"/stacks/alice/chat/{path}"))["items"][0] for user in (alice, bob))
        assert (own["base_model"]["revision"], seen["base_model"]["revision"]) == ("abc", None)
        assert seen["base_model"]["name"] == "acme/tiny"


def test_a_lock_whose_version_was_deleted_is_merged_for_its_caller(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/chat", "alice/reasoning", update="pin")
    locked(alice, "alice/chat")
    done(alice.post("/stacks/alice/chat/locks/1/merge"), 202)
    registry.work()
    done(alice.delete("/repositories/alice/chat/versions/1.0.0"), 204)
    assert done(alice.get("/stacks/alice/chat/locks/1"))["version"] is None
    merge = done(alice.post("/stacks/alice/chat/locks/1/merge"), 200)
    assert (merge["state"], merge["recipe"]["publish"]) == ("succeeded", None)
    assert alice.get(f"/merges/{merge['id']}/files/adapter_config.json").status_code == 200
    assert done(alice.get("/stacks/alice/chat/locks/1"))["version"] is None, "a number is used once"


def test_why_a_merge_was_refused_is_told_to_the_maintainer_alone(world: tuple[Registry, User]) -> None:
    registry, alice = world
    alice.repository("hush", visibility="private")
    alice.publish("alice/hush", make_adapter(9), version="1.0.0")
    put(alice, "alice/chat", "alice/hush", update="propose")
    registry.work()
    done(alice.delete("/repositories/alice/hush/versions/1.0.0"), 204)
    done(alice.post("/stacks/alice/chat/proposals/1/accept"), 201)
    problem = done(alice.get("/stacks/alice/chat"))["problem"]
    assert problem["type"] == "/problems/deleted"
    assert "alice/hush" in problem["detail"]
    answer = registry.user("bob").get("/stacks/alice/chat")
    seen = done(answer)["problem"]
    assert (seen["type"], seen["detail"]) == (problem["type"], problem["title"])
    assert "hush" not in answer.text


def test_a_token_that_may_not_write_merges_a_lock_for_its_user_alone(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/chat", "alice/reasoning")
    locked(alice, "alice/chat")
    body = {"name": "merging", "scopes": ["read", "merge"]}
    merging = registry.with_token("alice", done(alice.post("/tokens", body), 201)["token"])
    merge = done(merging.post("/stacks/alice/chat/locks/1/merge"), 202)
    registry.work()
    found = done(merging.get(f"/merges/{merge['id']}"))
    assert (found["state"], found["recipe"]["publish"]) == ("succeeded", None)
    assert done(alice.get("/stacks/alice/chat/locks/1"))["version"] is None


def test_a_private_stack_is_not_there_for_others(world: tuple[Registry, User]) -> None:
    registry, alice = world
    put(alice, "alice/secret", "alice/reasoning", visibility="private")
    locked(alice, "alice/secret")
    bob = registry.user("bob")
    for name in ("secret", "absent"):
        assert bob.get(f"/stacks/alice/{name}").status_code == 404
    for path in ("", "/locks", "/locks/1", "/locks/1...1", "/proposals"):
        hidden = refused(bob.get(f"/stacks/alice/secret{path}"), 404, "not-found")
        absent = refused(bob.get(f"/stacks/alice/absent{path}"), 404, "not-found")
        assert hidden["detail"].replace("secret", "absent") == absent["detail"]
