"""Private means invisible, by every route: what a stranger may not read answers exactly as what was never there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response

from tests.api.conftest import AdapterFiles, Registry, User, digest_of, done, make_adapter

repository = "/repositories/{namespace}/{name}"
version = repository + "/versions/{ref}"

about_a_subject: dict[str, Any] = {
    "DELETE /tokens/{id}": None,
    "POST /repositories": {"namespace": "NAMESPACE", "name": "NAME"},
    f"GET {repository}": None,
    f"PATCH {repository}": {"visibility": "public"},
    f"DELETE {repository}": None,
    "PUT /blobs/{digest}": b"DATA",
    "GET /uploads/{id}": None,
    "PUT /uploads/{id}/parts/{number}": b"DATA",
    "POST /uploads/{id}/complete": None,
    f"POST {repository}/versions": {"files": {"adapter_model.safetensors": "DIGEST"}},
    f"POST {repository}/versions/form": {"version": (None, "9.0.0"), "files": ("README.md", b"mine")},
    f"GET {repository}/versions": None,
    f"GET {version}": None,
    f"DELETE {version}": None,
    f"GET {version}/files/{{path}}": None,
    f"HEAD {version}/files/{{path}}": None,
    f"GET {version}/archive.tar": None,
    f"HEAD {version}/archive.tar": None,
    f"GET {version}/tensors": None,
    f"GET {version}/lineage": None,
    f"GET {repository}/aliases": None,
    f"PUT {repository}/aliases/{{alias}}": {"version": "REF"},
    f"DELETE {repository}/aliases/{{alias}}": None,
    f"GET {repository}/aliases/{{alias}}/history": None,
    "GET /lookup/{hash}": None,
    "POST /merges": {"layers": [{"adapter": "REPOSITORY@REF"}]},
    "POST /merges/plan": {"layers": [{"adapter": "bob/own@1.0.0"}], "conflicts": {"REPOSITORY": "REF"}},
    "GET /merges/{id}": None,
    "DELETE /merges/{id}": None,
    "GET /merges/{id}/events": None,
    "GET /merges/{id}/files/{path}": None,
    "HEAD /merges/{id}/files/{path}": None,
    "GET /merges/{id}/archive.tar": None,
    "HEAD /merges/{id}/archive.tar": None,
}
"""Route → what is sent to it: words in capitals stand for the subject's own."""

about_nobody_else: dict[str, Any] = {
    "POST /users": {"name": "eve"},
    "POST /organizations": {"name": "eves"},
    "POST /tokens": {"name": "mine"},
    "GET /tokens": None,
    "GET /whoami": None,
    "GET /audit": None,
    "GET /repositories": None,
    "GET /base-models": None,
    "PUT /base-models": {"name": "a", "canonical": "b"},
    "DELETE /base-models": None,
    "POST /uploads": {"digest": "DIGEST", "size": 5},
    "GET /merges": None,
}
"""Routes that name nothing of anybody: their answers hold no word of what is hidden."""


about_public_names = {f"{method} /organizations/{{name}}" for method in ("GET", "PATCH", "DELETE")}
"""Routes of organisations, whose names are no secret; that their members are, is shown in test_rights.py."""


@dataclass
class Subject:
    """Something to ask for, hidden or never there."""

    repository: str
    ref: str
    data: bytes
    merge: str
    upload: str
    token: str

    @property
    def words(self) -> dict[str, str]:
        namespace, _, name = self.repository.partition("/")
        digest = digest_of(self.data)
        return {
            "REPOSITORY": self.repository,
            "NAMESPACE": namespace,
            "DIGEST": digest,
            "HEX": digest.removeprefix("sha256:"),
            "DATA": self.data.decode(),
            "REF": self.ref,
            "NAME": name,
        }

    def send(self, user: User, route: str, body: Any) -> Response:
        method, path = route.split(" ")
        ids = {"merges": self.merge, "uploads": self.upload, "tokens": self.token}
        words = self.words
        filled = path.format(
            namespace=words["NAMESPACE"],
            name=words["NAME"],
            ref=self.ref,
            alias="prod",
            path="adapter_config.json",
            number=1,
            digest=words["DIGEST"],
            hash=words["HEX"],
            id=ids.get(path.split("/")[1]),
        )
        sent: dict[str, Any] = {}
        if isinstance(body, bytes):
            sent["content"] = self.data
        elif path.endswith("/form"):
            sent["files"] = body
        elif body is not None:
            sent["json"] = self.fill(body)
        return user.request(method, f"/api/v1{filled}", **sent)

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            for word, own in self.words.items():
                value = value.replace(word, own)
            return value
        if isinstance(value, list):
            return [self.fill(entry) for entry in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(entry) for key, entry in value.items()}
        return value

    def shown(self, response: Response) -> tuple[int, dict[str, str], str]:
        """The answer, with everything that the asker said replaced by its word."""
        text = re.sub(r'"request_id": ?"[^"]+"', "", response.text)
        own = [("ID", self.merge), ("ID", self.upload), ("ID", self.token)]
        for word, said in [*own, *self.words.items()]:
            text = text.replace(said, word)
        headers = {
            key: value for key, value in response.headers.items() if key not in {"x-request-id", "content-length"}
        }
        return response.status_code, headers, text


def routes_of(registry: Registry) -> Iterator[str]:
    document = done(registry.anonymous.request("GET", "/api/openapi.json"))
    for path, operations in document["paths"].items():
        for method in operations:
            if path.startswith("/api/v1"):
                yield f"{method.upper()} {path.removeprefix('/api/v1')}"


def an_upload(user: User, data: bytes) -> str:
    return str(done(user.post("/uploads", {"digest": digest_of(data), "size": len(data)}), 201)["id"])


@pytest.fixture
def hidden(registry: Registry) -> Subject:
    """Alice's private adapter, beside an upload, a token and a merge of hers."""
    alice, bob = registry.user("alice"), registry.user("bob")
    bob.publish("bob/own", make_adapter(9))
    alice.repository("hush", visibility="private", tags=["hush-tag"], description="hush", license="hush-1.0")
    made = make_adapter(1)
    readme = b"the hush of alice"
    alice.publish("alice/hush", AdapterFiles(made.files | {"README.md": readme}))
    done(alice.put("/repositories/alice/hush/aliases/prod", {"version": "1.0.0"}))
    token = done(alice.post("/tokens", {"name": "hush"}), 201)["id"]
    merge = registry.merge(alice, {"layers": [{"adapter": "alice/hush@1.0.0", "weight": 0.5}]})
    assert merge["state"] == "succeeded", merge
    upload = an_upload(alice, b"12345")
    return Subject("alice/hush", "1.0.0", readme, merge["id"], upload, token)


@pytest.fixture
def absent() -> Subject:
    nobody = str(uuid4())
    return Subject("alice/nothing", "1.0.0", b"never there, by anybody", nobody, nobody, nobody)


def test_every_route_is_asked_for_something_private(registry: Registry) -> None:
    assert set(routes_of(registry)) == about_a_subject.keys() | about_nobody_else.keys() | about_public_names


@pytest.mark.parametrize("who", ["outsider", "anonymous"])
def test_what_is_private_answers_by_every_route_as_what_was_never_there(
    registry: Registry, hidden: Subject, absent: Subject, who: str
) -> None:
    user = registry.user("bob") if who == "outsider" else registry.anonymous
    for route, body in about_a_subject.items():
        expected = absent.send(user, route, body)
        found = hidden.send(user, route, body)
        assert hidden.shown(found) == absent.shown(expected), route
        assert expected.status_code < 500, (route, expected.text)
        if route.startswith("GET") and "lookup" not in route:
            assert found.status_code in {401, 404}, (route, found.text)


@pytest.mark.parametrize("who", ["outsider", "anonymous"])
def test_lists_hold_no_word_of_what_is_private(registry: Registry, hidden: Subject, who: str) -> None:
    user = registry.user("bob") if who == "outsider" else registry.anonymous
    words = ["hush", digest_of(hidden.data), hidden.merge, hidden.upload, hidden.token]
    for route, body in about_nobody_else.items():
        if route == "POST /uploads":
            # begins an upload of bob's own, although alice has these very bytes
            text = hidden.send(user, route, body).text.replace(digest_of(hidden.data), "")
        else:
            text = hidden.send(user, route, body).text
        for word in words:
            assert word not in text, (route, word, text)


@pytest.mark.parametrize("who", ["outsider", "anonymous"])
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
    registry: Registry, hidden: Subject, who: str, filters: dict[str, str]
) -> None:
    user = registry.user("bob") if who == "outsider" else registry.anonymous
    assert done(user.get("/repositories", params=filters))["items"] == []
    own = done(registry.user("alice").get("/repositories", params=filters))["items"]
    assert [item["repository"] for item in own] == ["alice/hush"]


def test_its_owner_reads_by_every_route_what_strangers_do_not(registry: Registry, hidden: Subject) -> None:
    alice = registry.user("alice")
    for route in about_a_subject:
        if route.startswith(("GET", "HEAD")) and "/uploads" not in route:
            assert hidden.send(alice, route, None).status_code == 200, route
