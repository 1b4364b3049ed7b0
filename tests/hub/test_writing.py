"""Repositories by the Hub's face: which one a client means, and what is said before anything is sent."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.conftest import Registry, done, make_adapter, refused
from tests.hub.talking import create, get, pushed


def test_a_whole_name_is_not_taken_for_one_in_the_callers_namespace(registry: Registry) -> None:
    alice = registry.user("alice")
    members = [{"user": "alice", "role": "owner"}]
    done(registry.admin.post("/organizations", {"name": "org", "members": members}), 201)
    create(alice, "one")
    create(alice, "org/one")
    done(alice.request("DELETE", "/api/repos/delete", json={"name": "org/one"}))
    assert get(alice, "/api/models/org/one").status_code == 404
    assert get(alice, "/api/models/alice/one").status_code == 200
    create(alice, "two", organization="org")
    done(alice.request("DELETE", "/api/repos/delete", json={"name": "two", "organization": "org"}))
    assert get(alice, "/api/models/org/two").status_code == 404


def test_a_deleted_repository_is_opened_again_as_what_it_was(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "base")
    pushed(alice, name, {"config.json": b'{"model_type": "llama"}', **model_weights()})
    done(alice.request("DELETE", "/api/repos/delete", json={"name": "base"}))
    # this protocol says nothing of kinds
    create(alice, "base")
    assert done(alice.get(f"/repositories/{name}"))["kind"] == "model"
    assert get(alice, f"/{name}/resolve/1.0.0/config.json").status_code == 200


def model_weights() -> dict[str, bytes]:
    return {"model.safetensors": make_adapter(1).files["adapter_model.safetensors"]}


def test_of_equal_tags_one_is_made(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    pushed(alice, name, make_adapter(1).files)
    pushed(alice, name, make_adapter(2).files)

    def tag(number: int) -> int:
        revision = "1.0.0" if number % 2 else "1.1.0"
        return alice.request("POST", f"/api/models/{name}/tag/{revision}", json={"tag": "prod"}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(tag, range(8)))
    assert sorted(statuses) == [200, *[409] * 7]
    assert len(done(alice.get(f"/repositories/{name}/aliases/prod/history"))["items"]) == 1


def test_no_alias_has_the_name_of_a_branch_and_no_branch_that_of_an_alias(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    pushed(alice, name, make_adapter(1).files)
    done(alice.put(f"/repositories/{name}/aliases/prod", {"version": "1.0.0"}))
    assert alice.request("POST", f"/api/models/{name}/branch/PROD", json={}).status_code == 409
    done(alice.request("POST", f"/api/models/{name}/branch/draft", json={}))
    refused(alice.put(f"/repositories/{name}/aliases/draft", {"version": "1.0.0"}), 409, "name-exists")
    assert alice.request("POST", f"/api/models/{name}/tag/1.0.0", json={"tag": "draft"}).status_code == 409


def many_names() -> dict[str, object]:
    return {
        "gitIgnore": "\n".join(f"*.{n}" for n in range(900)),
        "files": [{"path": f"{n}/a", "size": 1} for n in range(900)],
    }


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        (many_names(), 413, "rules"),
        ({"gitIgnore": "\n".join(f"*.{n}" for n in range(1_001)), "files": []}, 413, "rules"),
        ({"gitIgnore": "#" * 70_000, "files": []}, 413, "65536"),
        ({"files": [{"path": "a/../b", "size": 1}]}, 400, "'..'"),
        ({"files": [{"path": "a/" * 600, "size": 1}]}, 400, "longer than"),
    ],
    ids=["names", "rules", "text", "dots", "long"],
)
def test_what_could_not_be_committed_is_refused_before_it_is_sent(
    registry: Registry, asked: dict[str, object], status: int, words: str
) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    answer = alice.request("POST", f"/api/models/{name}/preupload/main", json=asked)
    assert (answer.status_code, words in answer.headers["X-Error-Message"]) == (status, True), answer.text


def test_a_file_that_is_left_out_may_have_any_name(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    files = [{"path": "build/a\\b", "size": 1}, *({"path": f"build/{n}/x", "size": 1} for n in range(900))]
    asked = {"gitIgnore": "build/\n*.log", "files": files}
    answer = done(alice.request("POST", f"/api/models/{name}/preupload/main", json=asked))
    assert all(file["shouldIgnore"] for file in answer["files"])
