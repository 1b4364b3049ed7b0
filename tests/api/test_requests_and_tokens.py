"""What is sent twice, in parts, or with a token that ends."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx2 import Response
from sqlalchemy import text

from app.logs import WithoutTokens
from tests.api.conftest import Registry, digest_of, done, make_adapter, refused

data = bytes(range(256)) * 600
"""Three parts of 64 KiB, the last one short."""
part = 64 * 1024


def test_an_upload_in_parts_goes_on_where_it_stopped(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    asked = {"digest": digest_of(data), "size": len(data)}
    upload = done(alice.post("/uploads", asked), 201)
    assert [entry["done"] for entry in upload["parts"]] == [False] * 3
    path = f"/uploads/{upload['id']}"
    assert alice.put(f"{path}/parts/1", data[:part]).status_code == 204
    assert alice.put(f"{path}/parts/2", b"\0" * part).status_code == 204
    assert alice.put(f"{path}/parts/2", data[part : 2 * part]).status_code == 204
    refused(alice.put(f"{path}/parts/3", data[2 * part :] + b"x"), 409, "size-mismatch")
    refused(alice.put(f"{path}/parts/3", data[2 * part : -1]), 409, "size-mismatch")
    refused(alice.put(f"{path}/parts/4", b"x"), 404, "not-found")
    again = done(alice.post("/uploads", asked), 201)
    assert again["id"] == upload["id"]
    assert [entry["done"] for entry in again["parts"]] == [True, True, False]
    assert refused(alice.post(f"{path}/complete"), 409, "upload-incomplete")["missing"] == [3]
    for answer in (bob.get(path), bob.put(f"{path}/parts/3", data[2 * part :]), bob.post(f"{path}/complete")):
        refused(answer, 404, "not-found")
    assert alice.put(f"{path}/parts/3", data[2 * part :]).status_code == 204
    assert registry.objects() == 0
    assert done(alice.post(f"{path}/complete"), 201)["digest"] == digest_of(data)
    assert registry.objects() == 1
    refused(alice.get(path), 404, "not-found")
    alice.publish("alice/one", make_adapter(1))
    files = {path: alice.upload(content) for path, content in make_adapter(1).files.items()}
    made = done(alice.post("/repositories/alice/one/versions", {"files": files | {"big.bin": digest_of(data)}}), 201)
    assert {file["path"]: file["size"] for file in made["files"]}["big.bin"] == len(data)


def test_an_upload_of_other_bytes_than_declared_is_discarded(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = done(alice.post("/uploads", {"digest": digest_of(b"right"), "size": 5}), 201)
    path = f"/uploads/{upload['id']}"
    assert alice.put(f"{path}/parts/1", b"wrong").status_code == 204
    refused(alice.post(f"{path}/complete"), 409, "digest-mismatch")
    assert registry.objects() == 0
    assert registry.rows("blobs") == registry.rows("receipts") == 0
    begun = done(alice.post("/uploads", {"digest": digest_of(b"right"), "size": 5}), 201)
    assert [entry["done"] for entry in begun["parts"]] == [False]
    empty = done(alice.post("/uploads", {"digest": digest_of(b""), "size": 0}), 201)
    assert empty["parts"] == []
    assert done(alice.post(f"/uploads/{empty['id']}/complete"), 201)["digest"] == digest_of(b"")


def test_a_request_sent_again_with_its_key_is_done_once(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/one", make_adapter(1))
    digests = {path: alice.upload(content) for path, content in make_adapter(2).files.items()}
    key = {"Idempotency-Key": "key-1"}
    first = alice.post("/repositories/alice/one/versions", {"files": digests}, headers=key)
    again = alice.post("/repositories/alice/one/versions", {"files": digests}, headers=key)
    assert done(first, 201) == done(again, 201)
    assert first.headers["location"] == again.headers["location"]
    assert registry.rows("versions") == 2
    other = {"files": digests, "notes": "other"}
    refused(alice.post("/repositories/alice/one/versions", other, headers=key), 422, "idempotency-key-reused")
    # a key belongs to its user, and a refusal leaves it free
    done(bob.post("/repositories", {"namespace": "bob", "name": "x"}, headers=key), 201)
    key = {"Idempotency-Key": "key-2"}
    refused(alice.post("/repositories", {"namespace": "alice", "name": "a--b"}, headers=key), 422, "invalid-name")
    done(alice.post("/repositories", {"namespace": "alice", "name": "ab"}, headers=key), 201)
    for bad in ("", "x" * 256):
        answer = alice.post("/repositories", {"namespace": "alice", "name": "c"}, headers={"Idempotency-Key": bad})
        refused(answer, 422, "malformed-request")


def test_an_answer_given_again_is_named_and_counted_as_the_request_that_it_answers(registry: Registry) -> None:
    alice = registry.user("alice")

    def ask() -> Response:
        body = {"namespace": "alice", "name": "one"}
        return alice.post("/repositories", body, headers={"Idempotency-Key": "key"})

    def counted() -> dict[str, str]:
        lines = registry.admin.request("GET", "/metrics").text.splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line.startswith("glulam_requests_total"))

    done(ask(), 201)
    before = counted()
    first = ask()
    assert done(first, 201)["name"] == "one"
    after = counted()
    changed = {line for line in after if after[line] != before.get(line) and "/metrics" not in line}
    assert len(changed) == 1
    assert 'method="POST"' in changed.pop()
    assert alice.delete("/repositories/alice/one").status_code == 204
    # the problem that is read in its place names the request, too
    gone = ask()
    refused(gone, gone.status_code, gone.json()["type"].removeprefix("/problems/"))
    assert gone.status_code in {404, 410}
    assert gone.headers["x-request-id"] != first.headers["x-request-id"]


def test_eight_that_send_one_request_at_once_make_one_thing(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    body = {"layers": [{"adapter": "alice/one@1.0.0"}]}

    def ask(_: int) -> Any:
        return alice.post("/merges", body, headers={"Idempotency-Key": "at-once"})

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    for answer in answers:
        if answer.status_code != 202:
            refused(answer, 409, "request-in-progress")
            assert answer.headers["retry-after"]
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert registry.rows("merge_requests") == 1


def test_a_token_is_shown_once_and_no_answer_is_kept_that_holds_it(registry: Registry) -> None:
    alice = registry.user("alice")
    made = [done(alice.post("/tokens", {"name": "twice"}, headers={"Idempotency-Key": "token"}), 201) for _ in range(2)]
    assert made[0]["token"] != made[1]["token"]
    assert registry.rows("idempotency_keys") == 0
    listed = alice.get("/tokens").text
    for token in (made[0]["token"], made[1]["token"], alice.token or ""):
        assert token not in listed
        with registry.services.database.begin() as tx:
            kept = tx.execute(text("SELECT row_to_json(t)::text FROM tokens t")).scalars().all()
        assert token not in str(kept)


def test_a_token_ends_at_once_when_it_is_revoked_or_over(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    made = done(alice.post("/tokens", {"name": "short"}), 201)
    short = registry.with_token("alice", made["token"])
    assert done(short.get("/whoami"))["name"] == "alice"
    refused(bob.delete(f"/tokens/{made['id']}"), 404, "not-found")
    assert alice.delete(f"/tokens/{made['id']}").status_code == 204
    for path in ("/whoami", "/repositories"):
        answer = short.get(path)
        refused(answer, 401, "invalid-token")
        assert answer.headers["www-authenticate"] == "Bearer"
    refused(alice.delete(f"/tokens/{made['id']}"), 404, "not-found")
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    refused(alice.post("/tokens", {"name": "x", "expires_at": past}), 422, "malformed-request")
    refused(alice.post("/tokens", {"name": "x", "expires_at": "2099-01-01T00:00:00"}), 422, "malformed-request")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    expiring = registry.with_token(
        "alice", done(alice.post("/tokens", {"name": "x", "expires_at": soon}), 201)["token"]
    )
    assert expiring.get("/whoami").status_code == 200
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE tokens SET expires_at = now() WHERE expires_at IS NOT NULL"))
    refused(expiring.get("/whoami"), 401, "invalid-token")
    refused(alice.post("/tokens", {"name": "x", "user": "bob"}), 403, "forbidden")
    for header in ("Basic YTpi", "Bearer", "Bearer glu_nothing", "glu_nothing", "Bearer \xff"):
        answer = alice.http.get("/api/v1/whoami", headers=[(b"Authorization", header.encode("latin-1"))])
        refused(answer, 401, "invalid-token")


def test_no_token_is_ever_in_a_log(registry: Registry) -> None:
    written = io.StringIO()
    handler = WithoutTokens(written)
    logging.getLogger().addHandler(handler)
    try:
        alice = registry.user("alice")
        token = alice.token or ""
        alice.get(f"/lookup/{token}")
        alice.get(f"/repositories?q={token}")
        alice.get(f"/repositories/{token}/x")
        alice.post("/tokens", {"name": token})
        alice.http.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}x"})
        logging.getLogger("app").error("token %s", token, exc_info=ValueError(token))
    finally:
        logging.getLogger().removeHandler(handler)
    assert "glu_…" in written.getvalue()
    assert token not in written.getvalue()
