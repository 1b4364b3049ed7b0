"""Uploads in parts whose completion is cut off, or asked for twice."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import httpx

from app.domain.digest import parse_digest
from app.objects.local import LocalStore
from app.settings import Settings
from tests.api.conftest import Registry, User, admin_token, digest_of, done, refused
from tests.api.serving import served
from tests.hub.talking import create
from tests.objects.test_local import wait_until_open

part_bytes = 64 * 1024
data = Random(7).randbytes(2 * part_bytes + 100)
pieces = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]


def begin(user: User) -> dict[str, Any]:
    return done(user.post("/uploads", {"digest": digest_of(data), "size": len(data)}), 201)


def sent(user: User) -> dict[str, Any]:
    """An upload whose parts are all there."""
    upload = begin(user)
    for number, piece in enumerate(pieces, start=1):
        assert user.put(f"/uploads/{upload['id']}/parts/{number}", piece).status_code == 204
    return upload


def cut_off(registry: Registry, upload: dict[str, Any]) -> None:
    """A completion whose server is killed when the bytes are placed and their row is not yet written."""
    with registry.services.store.join(UUID(upload["id"])) as joined:
        assert b"".join(joined.chunks()) == data
        joined.place()


def test_parts_may_be_sent_again_after_a_completion_that_was_cut_off(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = sent(alice)
    cut_off(registry, upload)
    again = begin(alice)
    assert (again["id"], [part["done"] for part in again["parts"]]) == (upload["id"], [True] * 3)
    path = f"/uploads/{upload['id']}"
    refused(alice.put(f"{path}/parts/1", b"too short"), 409, "size-mismatch")
    refused(alice.put(f"{path}/parts/3", pieces[2] + b"x"), 409, "size-mismatch")
    for number, piece in enumerate(pieces, start=1):
        assert alice.put(f"{path}/parts/{number}", piece).status_code == 204
    assert done(alice.post(f"{path}/complete"), 201) == {"digest": digest_of(data)}
    assert registry.services.store.sweep(-60) == 0


def test_an_lfs_client_begins_again_after_a_completion_that_was_cut_off(registry: Registry) -> None:
    alice = registry.user("alice")
    repository = create(alice, "one")
    cut_off(registry, sent(alice))
    batch = {
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": [{"oid": digest_of(data).removeprefix("sha256:"), "size": len(data)}],
    }
    answer = done(alice.request("POST", f"/{repository}.git/info/lfs/objects/batch", json=batch))
    action = answer["objects"][0]["actions"]["upload"]
    for number, piece in enumerate(pieces, start=1):
        done(registry.anonymous.request("PUT", action["header"][f"{number:05}"], content=piece))
    done(registry.anonymous.request("POST", action["href"], json={}))
    assert b"".join(registry.services.store.read(parse_digest(digest_of(data)))) == data


def test_a_completion_that_is_sent_twice_is_answered_twice(registry: Registry) -> None:
    services = registry.services
    store = services.store
    assert isinstance(store, LocalStore)
    id = UUID(sent(registry.admin)["id"])
    caller = replace(services.accounts.authenticate(admin_token, None), idempotency_key="key")
    assert services.repeating.begin(caller, "key", b"the same request") is None
    is_writing, may_end = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        is_writing.set()
        may_end.wait()
        yield pieces[0]

    with ThreadPoolExecutor(3) as pool:
        # somebody who sends a part again: both wait for them
        writing = pool.submit(store.write_part, id, 1, 0, slow())
        is_writing.wait()
        completions = [pool.submit(services.uploading.complete, caller, id) for _ in range(2)]
        wait_until_open(store.folder_of(id) / "whole", 3)
        may_end.set()
        assert writing.result() == part_bytes
        assert [completion.result() for completion in completions] == [digest_of(data)] * 2
    assert registry.rows("uploads") == 0
    assert services.uploading.complete(caller, id) == digest_of(data)
    refused(registry.admin.post(f"/uploads/{id}/complete"), 404, "not-found")


def test_completions_that_wait_leave_the_server_to_the_others(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry = open_registry(settings.model_copy(update={"max_concurrent_uploads": 45}))
    store = registry.services.store
    assert isinstance(store, LocalStore)
    upload = sent(registry.admin)
    whole = store.folder_of(UUID(upload["id"])) / "whole"
    is_writing, may_end = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        is_writing.set()
        may_end.wait()
        yield pieces[0]

    hub, own = f"/uploads/{upload['id']}", f"/api/v1/uploads/{upload['id']}/complete"
    with served(registry) as http, ThreadPoolExecutor(46) as pool:
        writing = pool.submit(store.write_part, UUID(upload["id"]), 1, 0, slow())
        is_writing.wait()
        try:
            # more than the framework has threads
            waiting = [pool.submit(httpx.post, f"{http.base_url}{hub}", json={}, timeout=120) for _ in range(45)]
            wait_until_open(whole, 46)
            for path in ("/healthz", "/readyz", "/api/v1/whoami"):
                assert http.get(path).status_code == 200, path
            for path in (hub, own):
                assert http.post(path, json={}).status_code == 503, path
            assert http.post(own).json()["type"] == "/problems/too-many-uploads"
        finally:
            may_end.set()
        assert writing.result() == part_bytes
        assert 200 in {answer.result().status_code for answer in waiting}
    assert registry.rows("uploads") == 0
