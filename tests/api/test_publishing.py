"""Versions: how they are numbered, found, deleted and followed when their repository moves."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from httpx2 import Response

from tests.api.conftest import Registry, User, digest_of, done, make_adapter, refused

root = "/repositories/alice/one"


def test_numbers_follow_the_content_and_are_never_used_twice(registry: Registry) -> None:
    alice = registry.user("alice")
    first, second = make_adapter(1).files, make_adapter(2).files

    def publish(files: dict[str, bytes], **fields: Any) -> str:
        return str(alice.publish("alice/one", files, **fields)["version"])

    assert publish(first) == "1.0.0"
    assert publish(first | {"README.md": b"explained"}) == "1.0.1"
    assert publish(second) == "1.1.0"
    assert publish(second, version="3.0.0") == "3.0.0"
    assert publish(first) == "3.1.0"
    assert publish(second, version="2.5.0") == "2.5.0"
    for number in ("1.0.0", "2.5.0"):
        refused(alice.try_publish("alice/one", second, version=number), 409, "version-exists")
    assert alice.delete(f"{root}/versions/3.1.0").status_code == 204
    refused(alice.try_publish("alice/one", first, version="3.1.0"), 409, "version-exists")
    assert publish(second) == "3.2.0"
    for number in ("1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0.0", "latest"):
        refused(alice.try_publish("alice/one", first, version=number), 422, "invalid-version-number")
    listed = [item["version"] for item in done(alice.get(f"{root}/versions"))["items"]]
    assert listed == ["3.2.0", "3.0.0", "2.5.0", "1.1.0", "1.0.1", "1.0.0"]


def test_a_repository_comes_with_its_first_version_or_not_at_all(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    files, root = make_adapter(1).files, "/repositories/alice/new"
    create = {"visibility": "public", "license": "mit", "tags": ["chat"], "description": "The first"}

    def publish(user: User, create: dict[str, Any], key: str | None = None, **fields: Any) -> Response:
        body = {"files": {path: user.upload(data) for path, data in files.items()}, "create": create, **fields}
        return user.post(f"{root}/versions", body, headers={} if key is None else {"Idempotency-Key": key})

    refused(publish(alice, create, builds_on=["alice/absent@1.0.0"]), 404, "parent-not-found")
    refused(publish(alice, create, version="one"), 422, "invalid-version-number")
    refused(publish(alice, {"kind": "stack"}), 409, "not-published-by-hand")
    refused(publish(bob, create), 403, "forbidden")
    assert refused(publish(alice, {"visiblity": "public"}), 422, "malformed-request")["pointer"] == "/create/visiblity"
    refused(alice.get(root), 404, "not-found")
    assert registry.rows("repositories") == 0
    made = done(publish(alice, create, key="the-first-version"), 201)
    assert (made["reference"], made["license"]) == ("alice/new@1.0.0", "mit")
    assert {key: done(bob.get(root))[key] for key in create} == create
    assert done(publish(alice, create, key="the-first-version"), 201) == made
    refused(publish(alice, create), 409, "name-exists")
    assert alice.delete(root).status_code == 204
    assert done(publish(alice, create), 201)["version"] == "1.0.1"


def test_of_sixteen_that_publish_one_number_one_does(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.repository("one")
    bodies = [
        {"version": "1.0.0", "files": {path: alice.upload(data) for path, data in make_adapter(seed).files.items()}}
        for seed in range(16)
    ]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda body: alice.post(f"{root}/versions", body), bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "version-exists")
    assert registry.rows("versions") == 1


def test_a_continued_run_takes_over_what_its_origin_builds_on_unless_it_says_otherwise(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/root", make_adapter(1))
    alice.publish("alice/one", make_adapter(2), builds_on=[{"version": "alice/root@1.0.0", "weight": 0.25}])
    inherited = alice.publish("alice/next", make_adapter(3), initialized_from="alice/one@1.0.0")
    assert [(p["reference"], p["weight"]) for p in inherited["builds_on"]] == [("alice/root@1.0.0", 0.25)]
    assert inherited["initialized_from"]["reference"] == "alice/one@1.0.0"
    bare = alice.publish("alice/bare", make_adapter(3), initialized_from="alice/one@1.0.0", builds_on=[])
    assert bare["builds_on"] == []
    assert bare["initialized_from"]["reference"] == "alice/one@1.0.0"
    assert bare["content_digest"] != inherited["content_digest"]


def test_a_version_is_found_by_number_alias_commit_and_digest(registry: Registry) -> None:
    alice = registry.user("alice")
    made = alice.publish("alice/one", make_adapter(1))
    newer = alice.publish("alice/one", make_adapter(2))
    done(alice.put(f"{root}/aliases/Prod", {"version": "1.0.0"}))
    found = {
        ref: alice.get(f"{root}/versions/{ref}") for ref in ("1.0.0", "prod", "PROD", made["commit"], made["digest"])
    }
    found[made["digest"][: len("sha256:") + 12]] = alice.get(f"{root}/versions/{made['digest'][:19]}")
    assert {ref: answer.json() for ref, answer in found.items()} == dict.fromkeys(found, made)
    for ref in ("latest", "main"):
        assert done(alice.get(f"{root}/versions/{ref}"))["version"] == newer["version"]
    assert done(alice.get("/repositories/ALICE/One"))["repository"] == "alice/one"
    done(alice.put(f"{root}/aliases/latest", {"version": "1.0.0"}))
    assert done(alice.get(f"{root}/versions/latest"))["version"] == "1.0.0"


def test_an_alias_moves_and_remembers(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    alice.publish("alice/one", make_adapter(2))
    for ref in ("1.0.0", "1.1.0", "alice/one@1.0.0"):
        done(alice.put(f"{root}/aliases/prod", {"version": ref}))
    assert alice.delete(f"{root}/aliases/prod").status_code == 204
    refused(alice.get(f"{root}/versions/prod"), 404, "not-found")
    refused(alice.put(f"{root}/aliases/prod", {"version": "7.0.0"}), 404, "not-found")
    history = done(alice.get(f"{root}/aliases/prod/history"))["items"]
    assert [entry["version"] for entry in history] == [None, "1.0.0", "1.1.0", "1.0.0"]
    assert {entry["moved_by"] for entry in history} == {"alice"}
    page = done(alice.get(f"{root}/aliases/prod/history?limit=3"))
    rest = done(alice.get(f"{root}/aliases/prod/history", params={"cursor": page["next_cursor"]}))
    assert page["items"] + rest["items"] == history
    assert done(alice.get(f"{root}/aliases"))["items"] == []


def test_a_deleted_version_is_a_tombstone_to_its_readers_and_still_holds_what_stands_on_it(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    one = make_adapter(1)
    made = alice.publish("alice/one", one)
    alice.publish("alice/two", make_adapter(2), builds_on=["alice/one@1.0.0"])
    done(alice.put(f"{root}/aliases/prod", {"version": "1.0.0"}))
    refused(bob.delete(f"{root}/versions/1.0.0"), 403, "forbidden")
    for _ in range(2):
        assert alice.delete(f"{root}/versions/1.0.0").status_code == 204
    for user in (alice, bob, registry.anonymous):
        for rest in ("1.0.0", "prod", "1.0.0/files/adapter_config.json", "1.0.0/archive.tar", "1.0.0/tensors"):
            body = refused(user.get(f"{root}/versions/{rest}"), 410, "deleted")
            assert (body["digest"], body["reference"]) == (made["digest"], "alice/one@1.0.0")
            assert body["deleted_at"]
    assert done(bob.get(f"{root}/versions"))["items"] == []
    assert done(bob.get(f"/lookup/{digest_of(one.files['adapter_model.safetensors'])}"))["items"] == []

    layers = [{"adapter": "alice/two@1.0.0"}, {"adapter": "alice/one@1.0.0"}]
    assert refused(bob.post("/merges/plan", {"layers": layers}), 410, "deleted")["pointer"] == "/layers/1/adapter"
    pinned = {"layers": layers[:1], "conflicts": {"alice/one": "1.0.0"}}
    assert refused(bob.post("/merges/plan", pinned), 410, "deleted")["pointer"] == "/conflicts/alice~1one"
    merge = registry.merge(bob, {"layers": layers[:1]})
    assert merge["state"] == "succeeded"
    assert [member["reference"] for member in merge["plan"]["trunk"]] == ["alice/one@1.0.0"]
    nodes = done(bob.get("/repositories/alice/two/versions/1.0.0/lineage"))["nodes"]
    assert {node["reference"]: node["state"] for node in nodes} == {
        "alice/two@1.0.0": "published",
        "alice/one@1.0.0": "deleted",
    }
    done(alice.patch(root, {"visibility": "private"}))
    refused(bob.get(f"{root}/versions/1.0.0"), 404, "not-found")


def test_the_name_of_a_deleted_repository_stays_with_its_owner(registry: Registry) -> None:
    olga, wim, eve = registry.user("olga"), registry.user("wim"), registry.user("eve")
    members = [{"user": "wim", "role": "writer"}]
    done(olga.post("/organizations", {"name": "lab", "members": members}), 201)
    before = olga.repository("lab/one")
    olga.publish("lab/one", make_adapter(1))
    for _ in range(2):
        assert olga.delete("/repositories/lab/one").status_code == 204
    for user in (olga, eve, registry.anonymous):
        refused(user.get("/repositories/lab/one"), 410, "deleted")
        refused(user.get("/repositories/lab/one/versions/1.0.0"), 410, "deleted")
    assert done(olga.get("/repositories"))["items"] == []
    body = {"namespace": "lab", "name": "One", "visibility": "public"}
    refused(wim.post("/repositories", body), 403, "name-taken")
    refused(eve.post("/repositories", body), 403, "name-taken")
    refused(olga.patch("/repositories/lab/one", {"name": "two"}), 410, "deleted")
    again = done(olga.post("/repositories", body), 201)
    assert again["uuid"] == before["uuid"]
    refused(olga.post("/repositories", body), 409, "name-exists")
    refused(olga.try_publish("lab/one", make_adapter(1).files, version="1.0.0"), 409, "version-exists")


def test_a_repository_that_moved_is_found_by_every_name_it_had(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/one", make_adapter(1))
    alice.publish("alice/child", make_adapter(2), builds_on=["alice/one@1.0.0"])
    done(alice.post("/organizations", {"name": "lab"}), 201)
    refused(bob.patch(root, {"name": "mine"}), 403, "forbidden")
    refused(alice.patch(root, {"namespace": "bob"}), 403, "forbidden")
    refused(alice.patch(root, {"name": "child"}), 409, "name-exists")
    done(alice.patch(root, {"name": "uno"}))
    moved = done(alice.patch("/repositories/alice/one", {"namespace": "lab", "name": "one"}))
    assert moved["repository"] == "lab/one"
    for name in ("alice/one", "alice/uno", "lab/one"):
        found = done(bob.get(f"/repositories/{name}/versions/1.0.0"))
        assert found["reference"] == "lab/one@1.0.0"
        assert done(bob.post("/merges/plan", {"layers": [{"adapter": f"{name}@1.0.0"}]}))["branches"]
    child = done(bob.get("/repositories/alice/child/versions/1.0.0"))
    assert child["builds_on"][0]["reference"] == "lab/one@1.0.0"
    # the names it had are not free
    refused(alice.post("/repositories", {"namespace": "alice", "name": "one"}), 409, "name-exists")
    assert (
        done(alice.patch("/repositories/lab/one", {"namespace": "alice", "name": "one"}))["repository"] == "alice/one"
    )
    assert done(bob.get("/repositories/lab/one"))["repository"] == "alice/one"


def test_a_form_publishes_as_curl_sends_it(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/root", make_adapter(1))
    alice.publish("alice/side", make_adapter(4))
    alice.repository("one")
    files = [("files", (path, data, "application/octet-stream")) for path, data in make_adapter(2).files.items()]
    files.append(("files", ("docs/notes.md", b"notes", "text/markdown")))
    fields = [
        ("builds_on", "alice/root@1.0.0"), ("builds_on", "alice/side@1.0.0"), ("version", "2.0.0"),
        ("notes", "from curl"), ("initialized_from", ""), ("base_model", "acme/tiny"),
    ]  # fmt: skip
    parts: list[Any] = [*files, *((name, (None, value)) for name, value in fields)]
    made = done(alice.post(f"{root}/versions/form", files=parts), 201)
    assert made["version"] == "2.0.0"
    assert made["notes"] == "from curl"
    assert [parent["reference"] for parent in made["builds_on"]] == ["alice/root@1.0.0", "alice/side@1.0.0"]
    assert [file["path"] for file in made["files"]] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "docs/notes.md",
    ]
    assert alice.get(f"{root}/versions/2.0.0/files/docs/notes.md").content == b"notes"


def test_a_file_is_read_whole_in_part_or_not_again(registry: Registry) -> None:
    alice = registry.user("alice")
    data = bytes(range(100))
    alice.publish("alice/one", make_adapter(1).files | {"data.bin": data, "empty": b""})
    url, etag = f"{root}/versions/1.0.0/files/data.bin", '"' + digest_of(data)[7:] + '"'

    def ask(method: str = "GET", path: str = url, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return registry.anonymous.request(method, f"/api/v1{path}", headers=named)

    whole = ask()
    assert (whole.status_code, whole.content, whole.headers["etag"]) == (200, data, etag)
    assert whole.headers["accept-ranges"] == "bytes"
    for wanted, part in (
        ("0-9", data[:10]),
        ("90-", data[90:]),
        ("-7", data[-7:]),
        ("95-500", data[95:]),
        ("-500", data),
    ):
        answer = ask(Range=f"bytes={wanted}")
        assert (answer.status_code, answer.content) == (206, part)
        start = data.index(part)
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/100"
        assert answer.headers["content-length"] == str(len(part))
    for wanted in ("bytes=0-1,5-6", "bytes=9-3", "bytes=-", "lines=1-2", "bytes=a-b", "bytes=0-" + "9" * 5000):
        assert ask(Range=wanted).content == data, wanted
    for wanted in ("bytes=100-", "bytes=500-600", "bytes=-0"):
        answer = ask(Range=wanted)
        refused(answer, 416, "range-not-satisfiable")
        assert answer.headers["content-range"] == "bytes */100"
    refused(ask(path=url.replace("data.bin", "empty"), Range="bytes=0-"), 416, "range-not-satisfiable")
    assert ask(path=url.replace("data.bin", "empty")).content == b""
    for tags in (etag, f"W/{etag}", '"x", ' + etag, "*"):
        answer = ask(If_None_Match=tags)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert ask(If_None_Match='"x"').status_code == 200
    assert ask(If_Range=etag, Range="bytes=0-9").status_code == 206
    for condition in ('"x"', f"W/{etag}", "Sat, 21 Nov 2026 00:00:00 GMT"):
        assert ask(If_Range=condition, Range="bytes=0-9").content == data
    head = ask("HEAD", Range="bytes=0-9")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "100")
    archive = f"{root}/versions/1.0.0/archive.tar"
    made, head = ask(path=archive), ask("HEAD", path=archive)
    assert int(head.headers["content-length"]) == len(made.content)
    assert head.headers["etag"] == made.headers["etag"]
    assert ask(path=archive, If_None_Match=made.headers["etag"]).status_code == 304
