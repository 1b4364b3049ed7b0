"""Requests that are wrong whatever is stored: each has its own problem, none is a fault, and nothing comes of it."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from app.settings import Settings
from tests.api.conftest import Registry, User, digest_of, done, make_adapter, refused
from tests.api.test_bad_content import nothing_stored

nul, surrogate = '"\\u0000"', '"\\ud800"'


@pytest.fixture
def alice(registry: Registry) -> User:
    user = registry.user("alice")
    user.publish("alice/one", make_adapter(1))
    return user


def send(user: User, path: str, body: str, **headers: str) -> Any:
    headers = {"Content-Type": "application/json"} | headers
    return user.request("POST", f"/api/v1{path}", content=body.encode("utf-8"), headers=headers)


versions = "/repositories/alice/one/versions"


bodies_with_text = [
    ("/tokens", '{"name": %s}'),
    ("/repositories", '{"namespace": "alice", "name": %s}'),
    ("/repositories", '{"namespace": "alice", "name": "x", "description": %s}'),
    ("/repositories", '{"namespace": "alice", "name": "x", "license": %s}'),
    ("/repositories", '{"namespace": "alice", "name": "x", "tags": [%s]}'),
    ("/repositories", '{"namespace": "alice", "name": "x", "base_model": %s}'),
    ("/organizations", '{"name": "lab", "members": [{"user": %s, "role": "owner"}]}'),
    (versions, '{"files": {%s: "sha256:"}}'),
    (versions, '{"files": {"a": "b"}, "metrics": {"loss": %s}}'),
    (versions, '{"files": {"a": "b"}, "metrics": {%s: 1}}'),
    (versions, '{"files": {"a": "b"}, "datasets": [{"name": %s}]}'),
    (versions, '{"files": {"a": "b"}, "builds_on": [%s]}'),
    ("/merges", '{"layers": [{"adapter": %s}]}'),
    ("/merges", '{"layers": [{"adapter": "alice/one@1.0.0"}], "method": {"name": %s}}'),
    ("/merges", '{"layers": [{"adapter": "alice/one@1.0.0"}], "conflicts": {%s: "1.0.0"}}'),
    ("/merges", '{"layers": [{"adapter": "alice/one@1.0.0"}], %s: 1}'),
    ("/uploads", '{"digest": %s, "size": 1}'),
]


def test_no_string_holds_what_no_database_can(registry: Registry, alice: User) -> None:
    with nothing_stored(registry):
        for path, body in bodies_with_text:
            for text in (nul, surrogate):
                refused(send(alice, path, body.replace("%s", text)), 422, "malformed-request")


no_recipes = [
    "",
    "{",
    "[]",
    "null",
    '"text"',
    '{"layers": []}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": NaN}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": Infinity}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": 1e999}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": 1' + "0" * 400 + "}]}",
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": 1' + "0" * 5000 + "}]}",
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": "1"}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": true}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": null}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0", "weight": 1, "weight": 2}]}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": 0}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": 1.5}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": 1' + "0" * 30 + "}}",
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": {"energy": 0}}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": {"default": 4}}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": {"default": 4, "modules": {}}}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": {"default": 4, "modules": {"q": 0}}}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": {"modules": {"q": 2}}}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"rank": {"energy": 1.5}}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "output": {"kind": "model", "trunk": "referenced"}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "method": {"name": "linear", "density": 0.5}}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "overlaps": "ignore"}',
    '{"layers": [{"adapter": "alice/one@1.0.0"}], "unknown": 1}',
    '{"layers": ' + "[" * 100 + "]" * 100 + "}",
    "[" * 100_000,
    '{"layers": [' + ",".join(['{"adapter": "alice/one@1.0.0"}'] * 65) + "]}",
]


def test_a_recipe_that_is_no_recipe_is_malformed(registry: Registry, alice: User) -> None:
    with nothing_stored(registry):
        for body in no_recipes:
            for path in ("/merges", "/merges/plan"):
                refused(send(alice, path, body), 422, "malformed-request")


def test_a_body_is_bounded(registry: Registry, alice: User) -> None:
    with nothing_stored(registry):
        body = refused(send(alice, "/tokens", '{"name": "' + "x" * 1_100_000 + '"}'), 413, "upload-too-large")
    assert body["limit_bytes"] == 1024**2
    refused(send(alice, "/tokens", '{"name": "x"}', **{"Content-Type": "text/plain"}), 422, "malformed-request")


urls_with_nul = [
    "/repositories/a%00b/one",
    "/repositories/alice/o%00ne/versions/1.0.0",
    "/repositories/alice/one/versions/1.0.0%00",
    "/repositories/alice/one/versions/1.0.0/files/README%00.md",
    "/repositories/alice/one/aliases/a%00/history",
    "/organizations/a%00",
    "/repositories?q=%00",
    "/repositories?tag=a%00b",
    "/repositories?base_model=%00",
    "/audit?subject=%00",
]


def test_no_url_holds_what_no_database_can(alice: User) -> None:
    for path in urls_with_nul:
        refused(alice.get(path), 422, "malformed-request")


wrong_questions = [
    ("/repositories?limit=0", 422, "malformed-request"),
    ("/repositories?limit=201", 422, "malformed-request"),
    ("/repositories?limit=ten", 422, "malformed-request"),
    ("/repositories?sort=size", 422, "malformed-request"),
    ("/repositories/alice/one/versions/1.0.0/lineage?depth=-1", 422, "malformed-request"),
    ("/repositories/alice/one/versions/1.0.0/lineage?depth=99999999999999999999", 422, "malformed-request"),
    ("/repositories/alice/one/versions/1.0", 422, "invalid-reference"),
    ("/repositories/alice/one/versions/sha256:12", 422, "invalid-reference"),
    ("/repositories/alice/one/versions/nightly", 404, "not-found"),
    ("/repositories/alice/one/versions/999999999.0.0", 404, "not-found"),
    ("/repositories/alice/one/versions/9999999999.0.0", 422, "invalid-reference"),
    ("/repositories/alice/one/versions/" + "0" * 40, 404, "not-found"),
    ("/repositories/alice/one/versions/1.0.0/files/../../etc/passwd", 404, "not-found"),
    ("/repositories/alice/one/versions/1.0.0/files/%2e%2e%2fconfig", 404, "not-found"),
    ("/repositories/alice%2f..%2fadmin/one", 404, "not-found"),
    ("/merges/1", 422, "malformed-request"),
    ("/merges/" + "f" * 32 + "g", 422, "malformed-request"),
    ("/uploads/none", 422, "malformed-request"),
    ("/lookup/xyz", 422, "invalid-digest"),
    ("/lookup/sha256:" + "A" * 64, 422, "invalid-digest"),
    ("/nothing/here", 404, "not-found"),
]


def test_what_is_asked_for_wrongly_is_told(alice: User) -> None:
    for path, status, problem in wrong_questions:
        refused(alice.get(path), status, problem)


cursor_lists = [
    "/repositories", "/repositories?sort=name", "/tokens", "/audit", "/merges",
    "/repositories/alice/one/versions", "/repositories/alice/one/aliases", "/repositories/alice/one/aliases/prod/history",
]  # fmt: skip


def test_a_cursor_that_no_list_gave_out_is_refused(alice: User) -> None:
    done(alice.put("/repositories/alice/one/aliases/prod", {"version": "1.0.0"}))
    values: list[Any] = [
        [], {}, None, True, 1.5, -1, 10**30, [1], [None, None], ["a", "b"], [1, 2], {"0": 1, "1": 2}, ["\0", str(uuid4())],
        ["2026-01-01T00:00:00+00:00", 7], ["2026-13-01", str(uuid4())], "1.0", "\0", "1.0.0\0",
    ]  # fmt: skip
    cursors = [base64.urlsafe_b64encode(json.dumps(value).encode()).decode() for value in values]
    cursors += ["", "!", "AAAA", "é", base64.urlsafe_b64encode(b"[" * 1400).decode(), "A" * 2000]
    wrong = set()
    for path in cursor_lists:
        for cursor in cursors:
            url = f"{path}{'&' if '?' in path else '?'}cursor={quote(cursor)}"
            answer = alice.get(url)
            # some lists go by texts or numbers alone, so that some of these could be theirs
            if answer.status_code not in {200, 422}:
                wrong.add((path, cursor, answer.status_code, answer.text))
    assert not wrong
    refused(alice.get("/repositories?cursor=AAAA"), 422, "invalid-cursor")


def test_pages_follow_one_another_without_a_gap(alice: User) -> None:
    for number in range(5):
        alice.repository(f"r{number}", tags=["paged"])
    for sort in ("name", "created", "updated"):
        seen, cursor = [], None
        while True:
            params = {"limit": 2, "sort": sort, "tag": "paged"} | ({"cursor": cursor} if cursor else {})
            page = done(alice.get("/repositories", params=params))
            seen += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == [f"r{number}" for number in range(5)], sort
        assert seen == sorted(seen, reverse=sort != "name")


bad_names = [
    "",
    ".",
    "..",
    "a/b",
    "../x",
    "a--b",
    "a..b",
    "-a",
    "a.",
    "x.git",
    "x.ipynb",
    "a b",
    "é",
    "x" * 97,
    "%2e%2e",
    "a\\b",
]


def test_names_that_are_none_are_refused(registry: Registry, alice: User) -> None:
    for name in bad_names:
        with nothing_stored(registry):
            answer = alice.post("/repositories", {"namespace": "alice", "name": name})
            assert answer.status_code == 422, name
            answer = alice.patch("/repositories/alice/one", {"name": name})
            assert answer.status_code == 422, name
            answer = registry.admin.post("/users", {"name": name})
            assert answer.status_code == 422, name
    for name in ("api", "Models", "healthz", "whoami"):
        refused(alice.post("/organizations", {"name": name}), 422, "invalid-name")
    for alias in ("1.0", "v2", "main", "abcdef1", "refs", "a b"):
        answer = alice.put(f"/repositories/alice/one/aliases/{quote(alias)}", {"version": "1.0.0"})
        refused(answer, 422, "invalid-name")


bad_paths = [
    "../x",
    "a/../b",
    "/etc/passwd",
    "a//b",
    "./a",
    "a/.",
    "a\\b",
    "",
    "a\nb",
    "e\u0301",
    "x\u200b",
    "x" * 256,
    "\u202e",
]


def test_paths_that_leave_the_version_are_refused_by_json_and_by_form(registry: Registry, alice: User) -> None:
    good = make_adapter(2).files
    digests = {path: alice.upload(data) for path, data in good.items()} | {}
    extra = alice.upload(b"attachment")
    for path in bad_paths:
        with nothing_stored(registry):
            answer = alice.post("/repositories/alice/one/versions", {"files": digests | {path: extra}})
            refused(answer, 422, "invalid-path")
    for path in ("../x", "a/../b", "/etc/passwd", "./a", "a//b", "e\u0301"):
        with nothing_stored(registry):
            files = [("files", (name, data)) for name, data in [*good.items(), (path, b"x")]]
            refused(alice.post("/repositories/alice/one/versions/form", files=files), 422, "invalid-path")
    for pair in (("README.md", "readme.MD"), ("x", "x")):
        with nothing_stored(registry):
            files = [("files", (name, b"x")) for name in pair] + [("files", entry) for entry in good.items()]
            refused(alice.post("/repositories/alice/one/versions/form", files=files), 422, "malformed-request")


def test_uploads_that_are_not_what_they_say_leave_nothing(registry: Registry, alice: User) -> None:
    data = b"some bytes"
    with nothing_stored(registry):
        body = refused(alice.put(f"/blobs/{digest_of(b'others')}", data), 409, "digest-mismatch")
        assert (body["expected"], body["found"]) == (digest_of(b"others"), digest_of(data))
        refused(alice.put("/blobs/sha256:12", data), 422, "invalid-digest")
        refused(alice.put(f"/blobs/md5:{'0' * 32}", data), 422, "invalid-digest")
        headers = {"Content-Encoding": "gzip"}
        refused(alice.put(f"/blobs/{digest_of(data)}", data, headers=headers), 422, "malformed-request")


def test_what_is_too_large_is_refused_when_declared_and_when_it_comes(
    registry: Registry, open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry.user("alice").repository("small")
    limits = {"max_upload_bytes": 1000, "max_form_bytes": 3000, "max_files": 2}
    small = open_registry(settings.model_copy(update=limits))
    alice = small.with_token("alice", registry.user("alice").token or "")
    data = b"x" * 1001
    with nothing_stored(small):
        refused(alice.put(f"/blobs/{digest_of(data)}", data), 413, "upload-too-large")
        chunks = {"content": (data[at : at + 100] for at in range(0, len(data), 100))}
        answer = alice.request("PUT", f"/api/v1/blobs/{digest_of(data)}", **chunks)
        refused(answer, 413, "upload-too-large")
        refused(alice.post("/uploads", {"digest": digest_of(data), "size": 1001}), 413, "upload-too-large")
        refused(alice.post("/uploads", {"digest": digest_of(data), "size": -1}), 422, "malformed-request")
        refused(alice.post("/uploads", {"digest": digest_of(data), "size": 10**30}), 422, "malformed-request")
        form = "/repositories/alice/small/versions/form"
        refused(alice.post(form, files=[("files", ("a", b"x" * 3001))]), 413, "upload-too-large")
        refused(alice.post(form, files=[("files", (name, b"x")) for name in "abc"]), 413, "too-many-files")
        files = dict.fromkeys("abc", digest_of(data))
        refused(alice.post("/repositories/alice/small/versions", {"files": files}), 413, "too-many-files")


def test_a_form_is_read_strictly(registry: Registry, alice: User) -> None:
    form = "/repositories/alice/one/versions/form"
    files = [("files", entry) for entry in make_adapter(2).files.items()]
    cases: list[dict[str, Any]] = [
        {"data": {"version": "1.1.0"}},
        {"files": [*files, ("other", ("a", b"x"))]},
        {"files": [*files, ("versoin", (None, "1.1.0"))]},
        {"files": [*files, ("files", (None, "a text"))]},
        {"files": [*files, ("version", (None, "1.1.0")), ("version", (None, "1.2.0"))]},
        {"files": [*files, ("notes", (None, "a\0b"))]},
        {"files": [*files, ("notes", (None, "x" * 10_001))]},
        {"files": [*files, ("version", ("version.txt", b"1.1.0"))]},
        {"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    ]
    for case in cases:
        with nothing_stored(registry):
            answer = alice.request("POST", f"/api/v1{form}", **case)
            assert answer.status_code == 422, (case, answer.text)
    with nothing_stored(registry):
        answer = alice.post(form, files=[*files, ("version", (None, "1.1"))])
        refused(answer, 422, "invalid-version-number")


def test_a_fault_of_our_own_is_named_by_the_request_and_tells_nothing(registry: Registry) -> None:
    @registry.app.get("/api/v1/fault")
    def fault() -> None:
        raise ZeroDivisionError("glu_secret")

    body = refused(registry.anonymous.get("/fault"), 500, "internal-error")
    assert "secret" not in str(body)
    refused(registry.anonymous.post("/healthz"), 404, "not-found")
    answer = registry.anonymous.request("DELETE", "/healthz")
    refused(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET"


def test_a_path_tells_every_method_that_it_knows(registry: Registry) -> None:
    for path, methods in (
        ("/repositories", "GET, POST"),
        ("/repositories/alice/one", "DELETE, GET, PATCH"),
        ("/repositories/alice/one/versions/1.0.0", "DELETE, GET"),
        ("/repositories/alice/one/versions/1.0.0/archive.tar", "GET, HEAD"),
    ):
        answer = registry.anonymous.put(path)
        refused(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == methods
