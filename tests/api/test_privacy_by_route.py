"""Private means invisible in every list: searches hold no word of what is hidden.

That each single route answers for what is private as for what was never there, `tests/matrix` asks; that no sequence of requests
tells a world with private repositories from one without, `tests/two_worlds`.
"""

import base64
from uuid import UUID

import pytest

from tests.api.conftest import AdapterFiles, Registry, User, digest_of, done, make_adapter

readme = b"the hush of alice"
lists = ["/tokens", "/whoami", "/audit", "/repositories", "/base-models", "/merges", f"/lookup/{digest_of(readme)}"]


@pytest.fixture
def hidden(registry: Registry) -> list[str]:
    """Words of alice's private adapter, and of an upload, a token and a merge of hers."""
    alice = registry.user("alice")
    registry.user("bob").publish("bob/own", make_adapter(9))
    alice.repository("hush", visibility="private", tags=["hush-tag"], description="hush", license="hush-1.0")
    alice.publish("alice/hush", AdapterFiles(make_adapter(1).files | {"README.md": readme}))
    token = done(alice.post("/tokens", {"name": "hush"}), 201)["id"]
    merge = registry.merge(alice, {"layers": [{"adapter": "alice/hush@1.0.0", "weight": 0.5}]})
    upload = done(alice.post("/uploads", {"digest": digest_of(b"12345"), "size": 5}), 201)["id"]
    return ["hush", digest_of(readme), merge["id"], upload, token]


def asking(registry: Registry, who: str) -> User:
    return registry.user("bob") if who == "outsider" else registry.anonymous


@pytest.mark.parametrize("who", ["anonymous", "outsider"])
def test_lists_hold_no_word_of_what_is_private(registry: Registry, hidden: list[str], who: str) -> None:
    told = [path for path in lists for word in hidden if word in asking(registry, who).get(path).text]
    assert told == []
    assert any(word in registry.user("alice").get(path).text for path in lists for word in hidden)


@pytest.mark.parametrize("who", ["anonymous", "outsider"])
@pytest.mark.parametrize(
    "filters",
    [
        {"q": "hush"},
        {"tag": "hush-tag"},
        {"license": "hush-1.0"},
        {"namespace": "alice"},
        {"base_model": "acme/tiny", "namespace": "alice"},
        {"kind": "adapter", "namespace": "alice", "sort": "name"},
    ],
)
def test_no_search_finds_what_is_private(
    registry: Registry, hidden: list[str], who: str, filters: dict[str, str]
) -> None:
    assert done(asking(registry, who).get("/repositories", params=filters))["items"] == []
    own = done(registry.user("alice").get("/repositories", params=filters))["items"]
    assert [item["repository"] for item in own] == ["alice/hush"]


@pytest.fixture
def hidden_merge(registry: Registry) -> Registry:
    """A merge of something private is the newest version of a public repository."""
    alice = registry.user("alice")
    alice.publish("alice/open", make_adapter(2))
    alice.repository("hush", visibility="private")
    alice.publish("alice/hush", make_adapter(1))
    return registry


def test_a_hidden_version_moves_neither_latest_nor_main_nor_the_time_of_its_repository(hidden_merge: Registry) -> None:
    alice, bob = hidden_merge.user("alice"), hidden_merge.user("bob")
    before = done(bob.get("/repositories/alice/open"))
    recipe = {"layers": [{"adapter": "alice/hush@1.0.0"}], "publish": {"repository": "alice/open", "version": "2.0.0"}}
    assert hidden_merge.merge(alice, recipe)["state"] == "succeeded"
    done(alice.put("/repositories/alice/open/aliases/latest", {"version": "2.0.0"}))
    assert done(bob.get("/repositories/alice/open")) == before
    for ref in ("latest", "main"):
        path = f"/repositories/alice/open/versions/{ref}"
        assert (done(bob.get(path))["version"], done(alice.get(path))["version"]) == ("1.0.0", "2.0.0")


def test_a_recipe_that_somebody_else_asked_before_is_answered_as_a_new_one(hidden_merge: Registry) -> None:
    alice, bob = hidden_merge.user("alice"), hidden_merge.user("bob")
    recipe = {"layers": [{"adapter": "alice/open@1.0.0", "weight": 0.25}]}
    first = done(alice.post("/merges", recipe), 202)
    assert hidden_merge.work() == 1
    second = done(bob.post("/merges", recipe), 202)
    own = {"id", "created_at"}
    assert {key: second[key] for key in second.keys() - own} == {key: first[key] for key in first.keys() - own}
    assert done(bob.get(f"/merges/{second['id']}"))["state"] == "succeeded"


def test_no_number_tells_how_much_happens_in_the_registry(hidden_merge: Registry) -> None:
    alice = hidden_merge.user("alice")
    for _ in range(3):
        done(alice.put("/repositories/alice/open/aliases/prod", {"version": "1.0.0"}))
        done(alice.put("/repositories/alice/hush/aliases/prod", {"version": "1.0.0"}))
    history, cursors = "/repositories/alice/open/aliases/prod/history?limit=1", []
    page = done(hidden_merge.user("bob").get(history))
    while page["next_cursor"] is not None:
        cursors.append(base64.urlsafe_b64decode(page["next_cursor"]))
        page = done(hidden_merge.user("bob").get(f"{history}&cursor={page['next_cursor']}"))
    assert cursors == [b"3", b"2"]
    assert all(UUID(event["id"]).version == 4 for event in done(alice.get("/audit"))["items"])
