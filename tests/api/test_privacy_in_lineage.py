"""What is private and stands in a lineage: hidden ancestors, absent descendants, and merges that are as hidden as their inputs."""

from typing import Any

import pytest

from tests.api.conftest import Registry, User, done, make_adapter, refused

Json = dict[str, Any]
hidden = {"id": "hidden-1", "hidden": True}


def lineage(user: User, reference: str, **params: Any) -> Json:
    repository, _, ref = reference.partition("@")
    return done(user.get(f"/repositories/{repository}/versions/{ref}/lineage", params=params))


def references(answer: Json) -> set[str]:
    return {node.get("reference", node.get("id")) for node in answer["nodes"]}


@pytest.fixture
def tree(registry: Registry) -> Registry:
    """bob/root (public) ← alice/secret (private) ← alice/child (public)."""
    alice, bob = registry.user("alice"), registry.user("bob")
    bob.publish("bob/root", make_adapter(1))
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(2), builds_on=["bob/root@1.0.0"])
    child = alice.publish("alice/child", make_adapter(3), builds_on=[{"version": "alice/secret@1.0.0", "weight": 0.5}])
    assert "alice/secret@1.0.0" in child["warnings"][0]
    return registry


def test_a_public_child_of_a_private_parent_shows_a_hidden_parent_and_nothing_behind_it(tree: Registry) -> None:
    for user in (tree.user("bob"), tree.anonymous):
        version = done(user.get("/repositories/alice/child/versions/1.0.0"))
        assert version["builds_on"] == [hidden | {"weight": 0.5}]
        assert version["warnings"] == []
        above = lineage(user, "alice/child@1.0.0", direction="ancestors")
        assert references(above) == {"alice/child@1.0.0", "hidden-1"}
        assert hidden in above["nodes"]
        (edge,) = above["edges"]
        assert (edge["child"], edge["parent"]) == (version["digest"], "hidden-1")
        assert "secret" not in str(above)


def test_a_private_child_of_a_public_parent_is_not_among_its_descendants(tree: Registry) -> None:
    everything = {"bob/root@1.0.0", "alice/secret@1.0.0", "alice/child@1.0.0"}
    assert references(lineage(tree.user("alice"), "bob/root@1.0.0")) == everything
    for user in (tree.user("bob"), tree.anonymous):
        answer = lineage(user, "bob/root@1.0.0")
        assert references(answer) == {"bob/root@1.0.0"}
        assert answer["edges"] == []


def test_a_plan_on_hidden_ancestors_is_refused_with_their_number_and_no_names(tree: Registry) -> None:
    bob = tree.user("bob")
    bob.publish("bob/other", make_adapter(7))
    recipe = {"layers": [{"adapter": "bob/other@1.0.0"}, {"adapter": "alice/child@1.0.0"}]}
    for path in ("/merges/plan", "/merges"):
        body = refused(bob.post(path, recipe), 409, "trunk-not-readable")
        assert body["hidden"] == [{"layer": 1, "count": 1}]
        assert "secret" not in str(body)
    assert done(tree.user("alice").post("/merges/plan", recipe))["exact"]


def test_nobody_continues_what_stands_on_hidden_ancestors_and_learns_their_shapes(tree: Registry) -> None:
    bob = tree.user("bob")
    bob.repository("next")
    files = make_adapter(8, shape=(32, 16)).files
    body = refused(bob.try_publish("bob/next", files, initialized_from="alice/child@1.0.0"), 409, "trunk-not-readable")
    assert "secret" not in str(body)


@pytest.fixture
def merged(registry: Registry) -> Registry:
    """A merge of alice's private adapter with a public one, published where everybody may look."""
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(1))
    bob.publish("bob/plain", make_adapter(2))
    alice.repository("mix")
    recipe = {
        "layers": [{"adapter": "alice/secret@1.0.0"}, {"adapter": "bob/plain@1.0.0"}],
        "publish": {"repository": "alice/mix"},
    }
    merge = registry.merge(alice, recipe)
    assert merge["result"]["reference"] == "alice/mix@1.0.0", merge
    done(alice.put("/repositories/alice/mix/aliases/prod", {"version": "1.0.0"}))
    return registry


def is_visible(user: User, repository: str = "alice/mix") -> bool:
    """Whether the version 1.0.0 is there; by every way of asking alike."""
    root = f"/repositories/{repository}"
    version = user.get(f"{root}/versions/1.0.0")
    ways = [
        user.get(f"{root}/versions/{ref}{rest}").status_code == 200
        for ref in ("1.0.0", "prod", "latest", "main")
        for rest in ("", "/files/adapter_model.safetensors", "/archive.tar", "/tensors", "/lineage")
    ]
    ways.append(bool(done(user.get(f"{root}/versions"))["items"]))
    ways.append(bool(done(user.get(f"{root}/aliases"))["items"]))
    ways.append(user.get(f"{root}/aliases/prod/history").status_code == 200)
    recipe = {"layers": [{"adapter": f"{repository}@1.0.0"}]}
    ways.append(user.token is not None and user.post("/merges/plan", recipe).status_code == 200)
    below = done(user.get("/repositories/bob/plain/versions/1.0.0/lineage"))
    ways.append(f"{repository}@1.0.0" in references(below))
    if user.token is None:
        ways = [way for place, way in enumerate(ways) if place != len(ways) - 2]
    assert len(set(ways)) == 1, ways
    return version.status_code == 200


def test_a_merge_is_as_hidden_as_its_most_hidden_input_wherever_it_is_published(merged: Registry) -> None:
    alice, bob = merged.user("alice"), merged.user("bob")
    weights = next(
        file["digest"]
        for file in done(alice.get("/repositories/alice/mix/versions/1.0.0"))["files"]
        if file["path"] == "adapter_model.safetensors"
    )
    assert is_visible(alice)
    assert not is_visible(bob)
    assert not is_visible(merged.anonymous)
    assert done(alice.get(f"/lookup/{weights}"))["items"]
    assert done(bob.get(f"/lookup/{weights}"))["items"] == []


def test_an_owner_may_open_the_derivatives_of_a_private_adapter(merged: Registry) -> None:
    alice, bob = merged.user("alice"), merged.user("bob")
    done(alice.patch("/repositories/alice/secret", {"derivatives": "open"}))
    assert is_visible(bob)
    assert is_visible(merged.anonymous)
    shown = done(bob.get("/repositories/alice/mix/versions/1.0.0"))["merged_from"]
    assert hidden | {"weight": 1.0, "role": "branch"} in shown
    assert "secret" not in str(shown)
    refused(bob.get("/repositories/alice/secret"), 404, "not-found")
    done(alice.patch("/repositories/alice/secret", {"derivatives": "inherit"}))
    assert not is_visible(bob)


def test_a_result_follows_its_input_at_once_when_it_becomes_private(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/once", make_adapter(1))
    bob.publish("bob/plain", make_adapter(2))
    bob.repository("mix")
    recipe: Json = {"layers": [{"adapter": "alice/once@1.0.0"}, {"adapter": "bob/plain@1.0.0"}]}
    cached = registry.merge(bob, recipe)
    published = registry.merge(bob, {**recipe, "publish": {"repository": "bob/mix"}})
    done(bob.put("/repositories/bob/mix/aliases/prod", {"version": "1.0.0"}))
    assert is_visible(bob, "bob/mix")
    file = f"/merges/{cached['id']}/files/adapter_model.safetensors"
    assert bob.get(file).status_code == 200

    done(alice.patch("/repositories/alice/once", {"visibility": "private"}))
    assert not is_visible(bob, "bob/mix")
    assert not is_visible(registry.anonymous, "bob/mix")
    for id in (cached["id"], published["id"]):
        for path in ("files/adapter_model.safetensors", "archive.tar"):
            refused(bob.get(f"/merges/{id}/{path}"), 404, "not-found")
        shown = done(bob.get(f"/merges/{id}"))
        assert shown["result"] is None
        assert shown["recipe"]["layers"][0]["adapter"] == hidden
        assert "alice/once" not in str(shown)
    assert "alice/once" not in bob.get("/merges").text
    refused(bob.post("/merges", recipe), 404, "not-found")

    done(alice.patch("/repositories/alice/once", {"visibility": "public"}))
    assert bob.get(file).status_code == 200


def test_naming_the_digest_of_somebody_elses_file_gives_nothing(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    adapter = make_adapter(1)
    alice.repository("secret", visibility="private")
    published = alice.publish("alice/secret", adapter)
    bob.repository("copy")
    known = {file["path"]: file["digest"] for file in published["files"]}
    unknown = dict.fromkeys(known, "sha256:" + "0" * 64)
    answers = []
    for files in (known, unknown):
        body = refused(bob.post("/repositories/bob/copy/versions", {"files": files}), 404, "unknown-blob")
        answers.append({key: body[key] for key in ("type", "title", "status", "pointer")})
    assert answers[0] == answers[1]
    # a version that may be read is as good as having the bytes
    done(alice.patch("/repositories/alice/secret", {"visibility": "public"}))
    done(bob.post("/repositories/bob/copy/versions", {"files": known}), 201)


def test_roles_in_an_organisation_say_who_reads_writes_and_owns(registry: Registry) -> None:
    olga, wim, rita, eve = (registry.user(name) for name in ("olga", "wim", "rita", "eve"))
    members = [{"user": "wim", "role": "writer"}, {"user": "rita", "role": "reader"}]
    done(olga.post("/organizations", {"name": "lab", "members": members}), 201)
    olga.repository("lab/secret", visibility="private")
    olga.publish("lab/secret", make_adapter(1))
    root = "/repositories/lab/secret"
    for user, read, write, own in (
        (olga, 200, 200, 200),
        (wim, 200, 200, 403),
        (rita, 200, 403, 403),
        (eve, 404, 404, 404),
    ):
        assert user.get(f"{root}/versions/1.0.0").status_code == read, user.name
        assert user.patch(root, {"description": user.name}).status_code == write, user.name
        assert user.patch(root, {"visibility": "private"}).status_code == own, user.name
        assert bool(done(user.get("/organizations/lab"))["members"]) == (read == 200), user.name
        answer = user.patch("/organizations/lab", {"members": [{"user": "wim", "role": "writer"}]})
        assert answer.status_code == (200 if own == 200 else 403), user.name
        made = user.post("/repositories", {"namespace": "lab", "name": f"of-{user.name}"})
        assert made.status_code == (201 if write == 200 else 403), user.name
    assert wim.delete(f"{root}/versions/1.0.0").status_code == 204
    assert wim.delete(root).status_code == 403
    done(olga.patch("/organizations/lab", {"members": [{"user": "rita", "role": None}]}))
    refused(rita.get(root), 404, "not-found")
    refused(olga.patch("/organizations/lab", {"members": [{"user": "olga", "role": "reader"}]}), 409, "last-owner")
    assert olga.delete(root).status_code == 204
    refused(wim.get(f"{root}/versions/1.0.0"), 410, "deleted")
    refused(eve.get(f"{root}/versions/1.0.0"), 404, "not-found")
