"""Commits become versions, with the lineage that their cards claim."""

import json

import pytest
from sqlalchemy import event

from tests.api.conftest import Registry, User, digest_of, done, make_adapter
from tests.hub import talking
from tests.hub.talking import create, get, push, pushed


def versions(user: User, repository: str) -> list[str]:
    return [item["version"] for item in done(user.get(f"/repositories/{repository}/versions"))["items"]]


def card(text: str, title: str = "A card") -> bytes:
    return f"---\n{text}\n---\n# {title}\n".encode()


def warnings(response: talking.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return list(response.headers.get_list("X-HF-Warning"))


def test_one_history_of_both_faces(registry: Registry) -> None:
    alice = registry.user("alice")
    files = make_adapter(1).files
    alice.publish("alice/one", files)
    second = pushed(alice, "alice/one", {"README.md": b"# More"})
    third = done(alice.try_publish("alice/one", make_adapter(2).files), 201)
    assert versions(alice, "alice/one") == ["1.1.0", "1.0.1", "1.0.0"]
    history = get(alice, "/api/models/alice/one/commits/main").json()
    assert [entry["id"] for entry in history[:2]] == [third["commit"], second]
    assert [entry["title"] for entry in history] == ["Version 1.1.0", "A commit", "Version 1.0.0", "initial commit"]
    found = done(alice.get(f"/repositories/alice/one/versions/{second}"))
    assert found["version"] == "1.0.1"
    assert {file["path"] for file in found["files"]} == {*files, "README.md"}


def test_weights_that_come_in_parts_make_one_version_when_they_are_whole(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "parts")
    files = make_adapter(1).files
    pushed(alice, name, {"README.md": b"# First"})
    part = push(alice, name, {"adapter_model.safetensors": files["adapter_model.safetensors"]})
    assert warnings(part) == [
        "version; version: none was made yet: adapter_config.json: missing: an adapter needs its configuration"
    ]
    assert versions(alice, name) == []
    pushed(alice, name, {"adapter_config.json": files["adapter_config.json"]})
    assert versions(alice, name) == ["1.0.0"]


def test_invalid_weights_are_refused_with_the_reason_and_leave_nothing(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "broken")
    files = make_adapter(1).files
    pushed(alice, name, files)
    rows, objects = registry.rows("commits"), registry.objects()
    config = files["adapter_config.json"].replace(b'"r": 4', b'"r": 5')
    assert config != files["adapter_config.json"]
    answer = push(alice, name, {"adapter_config.json": config, "notes.txt": b"never seen"})
    assert answer.status_code == 400, answer.text
    assert "rank" in answer.headers["X-Error-Message"]
    assert (registry.rows("commits"), registry.objects()) == (rows, objects)
    assert versions(alice, name) == ["1.0.0"]
    # a draft may be anything
    done(alice.request("POST", f"/api/models/{name}/branch/draft", json={}))
    pushed(alice, name, {"adapter_config.json": config}, branch="draft")
    assert versions(alice, name) == ["1.0.0"]


def test_pickled_weights_are_refused(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "pickled")
    answer = push(alice, name, {"adapter_model.bin": b"\x80\x02}.", "adapter_config.json": b"{}"})
    assert answer.status_code == 400
    assert "pickle" in answer.headers["X-Error-Message"].lower()


def test_numbers_follow_the_card_and_the_content(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "numbers")
    pushed(alice, name, make_adapter(1).files | {"README.md": card("version: 2.5.0")})
    # taken by now: the next one
    pushed(alice, name, {"README.md": card("version: 2.5.0", "Other")})
    pushed(alice, name, make_adapter(2).files)
    assert versions(alice, name) == ["2.6.0", "2.5.1", "2.5.0"]


def test_what_a_card_builds_on_becomes_edges(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/instruct", make_adapter(1))
    alice.publish("alice/other", make_adapter(2))
    name = create(bob, "dialogue")
    said = "builds_on:\n- {version: alice/instruct@1.0.0, weight: 0.5}\n- alice/other"
    pushed(bob, name, make_adapter(3).files | {"README.md": card(said)})
    found = done(bob.get(f"/repositories/{name}/versions/1.0.0"))
    assert [(edge["reference"], edge["weight"]) for edge in found["builds_on"]] == [
        ("alice/instruct@1.0.0", 0.5),
        ("alice/other@1.0.0", 1.0),
    ]
    name = create(bob, "longer")
    said = "base_model: alice/instruct\nbase_model_relation: finetune"
    pushed(bob, name, make_adapter(4).files | {"README.md": card(said)})
    found = done(bob.get(f"/repositories/{name}/versions/1.0.0"))
    assert found["initialized_from"]["reference"] == "alice/instruct@1.0.0"
    # a model to its clients, found by what it stands on
    listed = get(bob, "/api/models?filter=base_model:finetune:alice/instruct").json()
    assert [entry["id"] for entry in listed] == [name]


@pytest.mark.parametrize("said", ["builds_on: carol/secret@1.0.0", "initialized_from: [carol/none]"])
def test_an_unknown_parent_is_a_warning_and_looks_like_a_hidden_one(registry: Registry, said: str) -> None:
    alice, carol = registry.user("alice"), registry.user("carol")
    answers: list[list[str]] = []
    for _ in range(2):
        name = create(alice, f"one-{len(answers)}")
        answers.append(warnings(push(alice, name, make_adapter(1).files | {"README.md": card(said)})))
        assert versions(alice, name) == ["1.0.0"]
        if not answers[1:]:
            carol.repository("secret", visibility="private")
            carol.publish("carol/secret", make_adapter(7))
    assert answers[0] == answers[1]
    assert "is not here, or not for you: no edge was made" in answers[0][0]


def test_parents_stay_when_only_the_readme_changes(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/instruct", make_adapter(1))
    alice.publish("alice/other", make_adapter(2))
    alice.publish("alice/dialogue", make_adapter(3), builds_on=["alice/instruct@1.0.0"])
    pushed(alice, "alice/dialogue", {"README.md": b"# Words"})
    found = done(alice.get("/repositories/alice/dialogue/versions/latest"))
    assert found["version"] == "1.0.1"
    assert [edge["reference"] for edge in found["builds_on"]] == ["alice/instruct@1.0.0"]
    # other weights, and a card that says nothing: told, not guessed
    told = warnings(push(alice, "alice/dialogue", make_adapter(4).files))
    assert ["builds on alice/instruct@1.0.0" in text for text in told] == [True]
    # "none" is said too
    pushed(alice, "alice/dialogue", make_adapter(3).files | {"README.md": card("builds_on: []")})
    assert done(alice.get("/repositories/alice/dialogue/versions/latest"))["builds_on"] == []


@pytest.mark.parametrize(
    "said", ["alice/instruct", "alice/instruct@prod", "{version: alice/instruct@prod, weight: 0.5}"]
)
def test_the_same_weights_stand_where_they_stood_when_what_a_card_means_has_moved(
    registry: Registry, said: str
) -> None:
    alice = registry.user("alice")
    alice.publish("alice/instruct", make_adapter(1))
    done(alice.put("/repositories/alice/instruct/aliases/prod", {"version": "1.0.0"}))
    name = create(alice, "dialogue")
    weight = 0.5 if "weight" in said else 1.0
    head = f"builds_on:\n- {said}"
    pushed(alice, name, make_adapter(3).files | {"README.md": card(head)})
    done(alice.try_publish("alice/instruct", make_adapter(2).files), 201)
    done(alice.put("/repositories/alice/instruct/aliases/prod", {"version": "1.1.0"}))

    def stands_on() -> list[tuple[str, float]]:
        found = done(alice.get(f"/repositories/{name}/versions/latest"))
        return [(edge["reference"], edge["weight"]) for edge in found["builds_on"]]

    pushed(alice, name, {"README.md": card(head, "A typo less")})
    assert stands_on() == [("alice/instruct@1.0.0", weight)]
    # also when it is deleted: the weights were trained on it all the same
    assert alice.delete("/repositories/alice/instruct/versions/1.0.0").status_code == 204
    pushed(alice, name, {"README.md": card(head, "Two typos less")})
    assert stands_on() == [("alice/instruct@1.0.0", weight)]
    # what is said anew counts
    pushed(alice, name, {"README.md": card("builds_on: alice/instruct@1.1.0")})
    assert stands_on() == [("alice/instruct@1.1.0", 1.0)]
    # other weights were trained now
    pushed(alice, name, make_adapter(4).files | {"README.md": card("builds_on: alice/instruct")})
    assert stands_on() == [("alice/instruct@1.1.0", 1.0)]


def test_a_card_that_says_what_it_said_takes_nothing_from_what_was_said_over_rest(registry: Registry) -> None:
    alice = registry.user("alice")
    for name, seed in (("instruct", 1), ("origin", 2), ("other", 3)):
        alice.publish(f"alice/{name}", make_adapter(seed))
    files = make_adapter(4).files | {"README.md": card("builds_on: alice/instruct")}
    said = {"builds_on": [{"version": "alice/instruct@1.0.0", "weight": 0.7}], "initialized_from": "alice/origin@1.0.0"}
    alice.publish("alice/dialogue", files, **said)
    pushed(alice, "alice/dialogue", {"README.md": card("builds_on: alice/instruct", "A typo less")})
    found = done(alice.get("/repositories/alice/dialogue/versions/1.0.1"))
    assert [(edge["reference"], edge["weight"]) for edge in found["builds_on"]] == [("alice/instruct@1.0.0", 0.7)]
    assert found["initialized_from"]["reference"] == "alice/origin@1.0.0"
    pushed(alice, "alice/dialogue", {"README.md": card("builds_on: alice/other\ninitialized_from: []")})
    found = done(alice.get("/repositories/alice/dialogue/versions/latest"))
    assert [edge["reference"] for edge in found["builds_on"]] == ["alice/other@1.0.0"]
    assert found["initialized_from"] is None


def test_a_parent_that_came_later_is_found_by_the_next_commit(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "early")
    assert warnings(push(alice, name, make_adapter(3).files | {"README.md": card("builds_on: alice/late")}))
    alice.publish("alice/late", make_adapter(1))
    assert warnings(push(alice, name, {"README.md": card("builds_on: alice/late", "Again")})) == []
    found = done(alice.get(f"/repositories/{name}/versions/latest"))
    assert [edge["reference"] for edge in found["builds_on"]] == ["alice/late@1.0.0"]


def test_who_may_not_read_a_parent_cannot_take_it_away_by_a_commit(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    members = [{"user": "alice", "role": "owner"}, {"user": "bob", "role": "writer"}]
    done(alice.post("/organizations", {"name": "acme", "members": members}), 201)
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(1))
    for said in ("builds_on: alice/secret", "base_model: alice/secret", "license: mit"):
        name = create(alice, said.partition(":")[0], organization="acme").replace("alice/", "acme/")
        alice.try_publish(name, make_adapter(3).files | {"README.md": card(said)}, builds_on=["alice/secret@1.0.0"])
        answer = push(bob, name, {"README.md": card(said, "A typo less")})
        assert (answer.status_code, versions(alice, name)) == (409, ["1.0.0"]), answer.text
        assert "secret" not in answer.text
        # who may, commits, and it stays
        pushed(alice, name, {"README.md": card(said, "A typo less")})
        found = done(alice.get(f"/repositories/{name}/versions/1.0.1"))
        assert [edge["reference"] for edge in found["builds_on"]] == ["alice/secret@1.0.0"]


def test_a_warning_names_no_parent_that_the_committer_may_not_read(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    members = [{"user": "alice", "role": "owner"}, {"user": "bob", "role": "writer"}]
    done(alice.post("/organizations", {"name": "acme", "members": members}), 201)
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(1))
    alice.publish("alice/open", make_adapter(2))
    for name, parents, said in (
        ("both", ["alice/open@1.0.0", "alice/secret@1.0.0"], "alice/open@1.0.0 and on something that you may not read"),
        ("one", ["alice/secret@1.0.0"], "something that you may not read"),
    ):
        alice.publish(f"acme/{name}", make_adapter(3), builds_on=parents)
        answer = push(bob, f"acme/{name}", make_adapter(4).files)
        (told,) = warnings(answer)
        assert f"acme/{name}@1.0.0 builds on {said}; the card" in told
        assert "secret" not in str(answer.headers) + answer.text


def merge_secretly(registry: Registry) -> None:
    """alice/merged, public, of alice/open and the private alice/secret."""
    alice = registry.user("alice")
    alice.publish("alice/open", make_adapter(1))
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(2))
    alice.repository("merged")
    merge = registry.merge(
        alice,
        {
            "layers": [{"adapter": "alice/open@1.0.0"}, {"adapter": "alice/secret@1.0.0"}],
            "publish": {"repository": "alice/merged"},
        },
    )
    assert merge["state"] == "succeeded", merge


@pytest.mark.parametrize("change", ["configuration", "path", "reverted", "draft", "main"])
def test_what_was_merged_stays_hidden_wherever_its_weights_go(registry: Registry, change: str) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    merge_secretly(registry)
    name, weights, branch, at = "alice/merged", "adapter_model.safetensors", "main", "adapter_model.safetensors"
    merged = done(alice.get(f"/repositories/{name}/versions/1.0.0"))
    copy = talking.line("copyFile", path="copied.safetensors", srcPath=weights, srcRevision="1.0.0")
    if change == "configuration":
        config = json.loads(get(alice, f"/{name}/resolve/main/adapter_config.json").content)
        pushed(alice, name, {"adapter_config.json": json.dumps(config | {"inference_mode": False}).encode()})
    elif change == "path":
        at = "copied.safetensors"
        lines = [talking.header(), copy, *(talking.file_line(*entry) for entry in make_adapter(5).files.items())]
        done(talking.post(alice, name, lines))
    elif change == "reverted":
        pushed(alice, name, make_adapter(5).files)
        assert get(bob, f"/{name}/resolve/main/{at}").status_code == 200
        lines = [talking.header()]
        lines += [talking.lfs_line(file["path"], file["digest"]) for file in merged["files"]]
        done(talking.post(alice, name, lines))
    elif change == "draft":
        branch, at = "draft", "copied.safetensors"
        first = get(alice, f"/api/models/{name}/commits/main").json()[-1]["id"]
        done(alice.request("POST", f"/api/models/{name}/branch/draft", json={"startingPoint": first}))
        done(talking.post(alice, name, talking.header() + copy, branch))
    else:
        pushed(alice, name, make_adapter(5).files)
        at = "copied.safetensors"
        lines = [talking.header(), copy, talking.line("deletedFile", path="adapter_config.json")]
        done(talking.post(alice, name, lines))
    assert get(alice, f"/{name}/resolve/{branch}/{at}").status_code == 200
    if change not in {"draft", "main"}:
        found = done(alice.get(f"/repositories/{name}/versions/latest"))
        assert found["version"] != "1.0.0"
        assert {edge["reference"] for edge in found["merged_from"]} == {"alice/open@1.0.0", "alice/secret@1.0.0"}
    head = get(alice, f"/api/models/{name}/revision/{branch}").json()["sha"]
    answer = get(bob, f"/{name}/resolve/{head}/{at}")
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RevisionNotFound")
    # and at the branch he sees at most what came before
    answer = get(bob, f"/{name}/resolve/{branch}/{at}")
    hidden = next(file["digest"] for file in merged["files"] if file["path"] == weights)
    assert answer.status_code == 404 or digest_of(answer.content) != hidden


def test_what_was_merged_stays_hidden_also_when_its_weights_are_published_over_rest(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    merge_secretly(registry)
    merged = done(alice.get("/repositories/alice/merged/versions/1.0.0"))
    files = {file["path"]: file["digest"] for file in merged["files"]} | {"README.md": alice.upload(b"# Words")}
    again = done(alice.post("/repositories/alice/merged/versions", {"files": files}), 201)
    assert again["version"] == "1.0.1"
    assert {edge["reference"] for edge in again["merged_from"]} == {"alice/open@1.0.0", "alice/secret@1.0.0"}
    assert bob.get("/repositories/alice/merged/versions/1.0.1").status_code == 404
    assert get(bob, "/alice/merged/resolve/1.0.1/adapter_model.safetensors").status_code == 404


def test_who_may_not_read_what_was_merged_reads_no_commit_on_top_of_it(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    merge_secretly(registry)
    # a README, and a draft from it: neither opens what went in
    pushed(alice, "alice/merged", {"README.md": b"# Merged"})
    done(alice.request("POST", "/api/models/alice/merged/branch/draft", json={}))
    draft = pushed(alice, "alice/merged", {"draft.txt": b"x"}, branch="draft")
    newest = done(alice.get("/repositories/alice/merged/versions/latest"))
    assert newest["version"] == "1.0.1"
    assert {edge["reference"] for edge in newest["merged_from"]} == {"alice/open@1.0.0", "alice/secret@1.0.0"}
    for revision in ("draft", draft, newest["commit"], "1.0.0", "1.0.1", "latest"):
        path = f"/alice/merged/resolve/{revision}/adapter_model.safetensors"
        assert get(alice, path).status_code == 200, revision
        answer = get(bob, path)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RevisionNotFound"), revision
    # to him nothing was committed since the beginning
    shown = get(bob, "/api/models/alice/merged/refs").json()
    assert (shown["tags"], [branch["name"] for branch in shown["branches"]]) == ([], ["main"])
    assert get(bob, "/api/models/alice/merged").json()["siblings"] == []
    assert [entry["title"] for entry in get(bob, "/api/models/alice/merged/commits/main").json()] == ["initial commit"]
    digest = next(file["digest"] for file in newest["files"] if file["path"] == "adapter_model.safetensors")
    name = create(bob, "stolen")
    answer = talking.post(bob, name, talking.header() + talking.lfs_line("adapter_model.safetensors", digest))
    assert answer.status_code == 400, answer.text


def test_a_deleted_version_is_no_head(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    first = pushed(alice, name, make_adapter(1).files)
    second = pushed(alice, name, make_adapter(2).files)
    assert alice.delete(f"/repositories/{name}/versions/1.1.0").status_code == 204
    assert get(alice, f"/api/models/{name}").json()["sha"] == first
    assert get(alice, f"/api/models/{name}/revision/{second}").headers["X-Error-Code"] == "RevisionNotFound"
    third = pushed(alice, name, {"README.md": b"# On top of the first"})
    assert [entry["id"] for entry in get(alice, f"/api/models/{name}/commits/main").json()][:2] == [third, first]


def test_a_repository_without_versions_takes_the_kind_of_its_first_weights(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "model")
    weights = make_adapter(1).files["adapter_model.safetensors"]
    pushed(alice, name, {"config.json": b'{"model_type": "llama"}', "model.safetensors": weights})
    found = done(alice.get(f"/repositories/{name}/versions/1.0.0"))
    assert (found["kind"], found["version"]) == ("model", "1.0.0")


def test_a_commit_that_changes_nothing_is_the_head(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    first = pushed(alice, name, make_adapter(1).files)
    assert pushed(alice, name, make_adapter(1).files) == first
    assert pushed(alice, name, {}) == first


def test_a_moved_branch_refuses_a_commit_on_what_it_was(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "one")
    sha = get(alice, f"/api/models/{name}").json()["sha"]
    body = talking.header(parentCommit=sha) + talking.file_line("a.txt", b"a")
    assert talking.post(alice, name, body).status_code == 200
    assert talking.post(alice, name, body.replace(b"a.txt", b"b.txt")).status_code == 412
    assert talking.post(alice, name, body, "absent").headers["X-Error-Code"] == "RevisionNotFound"


def test_copies_from_one_revision_look_it_up_once(registry: Registry) -> None:
    alice = registry.user("alice")
    name = create(alice, "copies")
    pushed(alice, name, {"a.txt": b"a"})
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(registry.services.database.engine, "before_cursor_execute", note)
    counts = []
    for count in (1, 40):
        statements.clear()
        lines = [
            talking.line("copyFile", path=f"{count}/{at}", srcPath="a.txt", srcRevision="main") for at in range(count)
        ]
        done(talking.post(alice, name, [talking.header(), *lines]))
        counts.append(len(statements))
    assert counts[0] == counts[1]
    lines = [talking.line("copyFile", path="b", srcPath="a.txt", srcRevision=f"none-{at}") for at in range(101)]
    answer = talking.post(alice, name, [talking.header(), *lines])
    assert (answer.status_code, "at most 100 revisions" in answer.text) == (400, True)
