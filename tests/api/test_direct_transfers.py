"""With S3 the bytes go straight to the store and come straight from it; what is acknowledged is the same."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.domain.digest import Digest
from app.objects.s3 import S3Store
from app.objects.s3_multipart import Multipart
from app.settings import Settings
from tests.api.conftest import Registry, User, digest_of, done, make_adapter, refused, with_s3
from tests.s3server.server import S3Server

pytestmark = pytest.mark.slow

part_bytes = 5 << 20
"""The smallest that S3 takes; the settings of the tests ask for less."""
data = Random(1).randbytes(3 * part_bytes + 1000)


@pytest.fixture
def settings(settings: Settings, s3_server: S3Server) -> Settings:
    return with_s3(settings, s3_server)


def begin(user: User, content: bytes = data) -> dict[str, Any]:
    return done(user.post("/uploads", {"digest": digest_of(content), "size": len(content)}), 201)


def extent(part: dict[str, Any], content: bytes = data) -> bytes:
    start = (part["number"] - 1) * part_bytes
    return content[start : start + part["size"]]


def leftovers(registry: Registry) -> list[str]:
    """What lies in the store apart from objects."""
    store = registry.services.store
    assert isinstance(store, S3Store)
    keys = [entry["Key"] for entry in store.listed(store.prefix) if "/sha256/" not in entry["Key"]]
    return keys + [multipart.key for multipart in Multipart.below(store.bucket, store.prefix)]


def test_parts_go_to_the_store_by_signed_addresses_and_are_hashed_on_completion(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = begin(alice)
    assert upload["part_size"] == part_bytes
    assert [part["size"] for part in upload["parts"]] == [part_bytes] * 3 + [1000]
    for part in upload["parts"]:
        assert httpx.put(part["url"], content=extent(part)).status_code == 200
    assert all(part["done"] for part in done(alice.get(f"/uploads/{upload['id']}"))["parts"])
    assert registry.objects() == 0
    assert done(alice.post(f"/uploads/{upload['id']}/complete", {}), 201) == {"digest": digest_of(data)}
    assert registry.objects() == 1
    assert leftovers(registry) == []
    files = make_adapter(1).files | {"notes.bin": data}
    version = alice.publish("alice/one", files)
    assert {"path": "notes.bin", "digest": digest_of(data), "size": len(data)}.items() <= next(
        file for file in version["files"] if file["path"] == "notes.bin"
    ).items()
    assert alice.get("/repositories/alice/one/versions/1.0.0/files/notes.bin").content == data


def test_an_upload_goes_on_where_it_stopped(registry: Registry) -> None:
    alice = registry.user("alice")
    first = begin(alice)
    httpx.put(first["parts"][1]["url"], content=extent(first["parts"][1])).raise_for_status()
    again = begin(alice)
    assert again["id"] == first["id"]
    assert [part["done"] for part in again["parts"]] == [False, True, False, False]
    assert refused(alice.post(f"/uploads/{again['id']}/complete", {}), 409, "upload-incomplete")["missing"] == [1, 3, 4]


def test_many_who_begin_the_same_upload_share_it(registry: Registry) -> None:
    alice = registry.user("alice")
    with ThreadPoolExecutor(6) as pool:
        begun = list(pool.map(lambda _: begin(alice), range(6)))
    assert len({upload["id"] for upload in begun}) == 1
    assert len(leftovers(registry)) == 1


def test_a_part_may_come_through_the_server_too(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = begin(alice)
    for part in upload["parts"]:
        if part["number"] == 2:
            response = alice.put(f"/uploads/{upload['id']}/parts/2", extent(part))
            assert response.status_code == 204, response.text
        else:
            httpx.put(part["url"], content=extent(part)).raise_for_status()
    done(alice.post(f"/uploads/{upload['id']}/complete", {}), 201)


def test_other_bytes_than_were_declared_leave_nothing(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = begin(alice)
    for part in upload["parts"]:
        httpx.put(part["url"], content=bytes(part["size"])).raise_for_status()
    problem = refused(alice.post(f"/uploads/{upload['id']}/complete", {}), 409, "digest-mismatch")
    assert problem["found"] == digest_of(bytes(len(data)))
    assert registry.objects() == 0
    assert registry.rows("uploads") == 0
    assert leftovers(registry) == []
    # the addresses died with the upload: what is put there now is nobody's
    assert httpx.put(upload["parts"][0]["url"], content=extent(upload["parts"][0])).status_code == 404


def test_a_completion_that_was_cut_off_is_taken_up_again(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = begin(alice)
    for part in upload["parts"]:
        httpx.put(part["url"], content=extent(part)).raise_for_status()
    with registry.services.store.join(UUID(upload["id"])) as joined:
        next(iter(joined.chunks()))
    again = begin(alice)
    assert again["id"] == upload["id"]
    assert all(part["done"] for part in again["parts"])
    # from a client that cannot ask which are there
    assert alice.put(f"/uploads/{upload['id']}/parts/1", extent(upload["parts"][0])).status_code == 204
    done(alice.post(f"/uploads/{upload['id']}/complete", {}), 201)
    assert leftovers(registry) == []


def test_an_empty_file_has_no_parts(registry: Registry) -> None:
    alice = registry.user("alice")
    upload = begin(alice, b"")
    assert upload["parts"] == []
    assert done(alice.post(f"/uploads/{upload['id']}/complete", {}), 201) == {"digest": digest_of(b"")}
    assert leftovers(registry) == []


def test_an_upload_that_expired_is_collected_in_the_store_too(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry = open_registry(settings.model_copy(update={"upload_lease_seconds": 1}))
    upload = begin(registry.user("alice"))
    assert len(leftovers(registry)) == 1
    while registry.rows("uploads"):
        registry.services.collecting.collect()
    assert leftovers(registry) == []
    assert httpx.put(upload["parts"][0]["url"], content=extent(upload["parts"][0])).status_code in {403, 404}


def test_a_download_is_sent_to_the_store_and_carries_the_name_of_the_file(registry: Registry) -> None:
    alice = registry.user("alice")
    adapter = make_adapter(1, readme="hello")
    alice.publish("alice/one", adapter)
    path = "/api/v1/repositories/alice/one/versions/1.0.0/files/README.md"
    answer = registry.http.get(path, follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["cache-control"] == "no-store"
    fetched = httpx.get(answer.headers["location"])
    assert fetched.content == b"hello"
    assert 'filename="README.md"' in fetched.headers["content-disposition"]
    assert httpx.get(answer.headers["location"], headers={"Range": "bytes=1-2"}).content == b"el"
    # what needs no bytes needs no store
    head = registry.http.head(path, follow_redirects=False)
    assert (head.status_code, head.headers["content-length"]) == (200, "5")
    etag = head.headers["etag"]
    assert registry.http.get(path, headers={"If-None-Match": etag}, follow_redirects=False).status_code == 304
    # made of several files, and so made here
    assert registry.http.get(path.replace("files/README.md", "archive.tar"), follow_redirects=False).status_code == 200


def test_who_may_not_read_a_file_gets_no_address(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("secret", visibility="private")
    alice.publish("alice/secret", make_adapter(1))
    refused(bob.get("/repositories/alice/secret/versions/1.0.0/files/adapter_config.json"), 404, "not-found")
    upload = begin(alice)
    refused(bob.get(f"/uploads/{upload['id']}"), 404, "not-found")


def test_without_direct_transfers_all_bytes_pass_through_the_server(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry = open_registry(settings.model_copy(update={"direct_transfers": False}))
    alice = registry.user("alice")
    upload = begin(alice)
    assert {part["url"].partition("/uploads/")[0] for part in upload["parts"]} == {"/api/v1"}
    with ThreadPoolExecutor(4) as pool:
        sent = pool.map(
            lambda part: alice.put(part["url"].removeprefix("/api/v1"), extent(part)).status_code, upload["parts"]
        )
    assert set(sent) == {204}
    done(alice.post(f"/uploads/{upload['id']}/complete", {}), 201)
    alice.publish("alice/one", make_adapter(1).files | {"notes.bin": data})
    path = "/api/v1/repositories/alice/one/versions/1.0.0/files/notes.bin"
    answer = registry.http.get(path, follow_redirects=False)
    assert (answer.status_code, answer.content) == (200, data)


def test_a_killed_store_loses_no_part_that_it_acknowledged(
    open_registry: Callable[[Settings], Registry], settings: Settings, own_s3_server: S3Server
) -> None:
    """kill -9 of all processes of the S3 server in mid-part; then it comes back, and the upload goes on."""
    registry = open_registry(with_s3(settings, own_s3_server))
    alice = registry.user("alice")
    small = alice.upload(b"placed before the kill")
    upload = begin(alice)
    for part in upload["parts"][:2]:
        httpx.put(part["url"], content=extent(part)).raise_for_status()
    third = upload["parts"][2]

    def body() -> Iterator[bytes]:
        content = extent(third)
        yield content[: part_bytes // 2]
        own_s3_server.kill()
        yield content[part_bytes // 2 :]

    with pytest.raises(httpx.TransportError):
        httpx.put(third["url"], content=body(), headers={"Content-Length": str(third["size"])})
    refused(registry.http.get("/readyz"), 503, "not-ready")
    refused(alice.get(f"/uploads/{upload['id']}"), 503, "not-ready")
    refused(alice.put(f"/blobs/{digest_of(b'x')}", b"x"), 503, "not-ready")
    own_s3_server.start()
    assert registry.http.get("/readyz").status_code == 200
    again = begin(alice)
    assert again["id"] == upload["id"]
    assert [part["done"] for part in again["parts"]] == [True, True, False, False]
    for part in again["parts"][2:]:
        httpx.put(part["url"], content=extent(part)).raise_for_status()
    done(alice.post(f"/uploads/{upload['id']}/complete", {}), 201)
    assert b"".join(registry.services.store.read(Digest(small))) == b"placed before the kill"
    assert leftovers(registry) == []
