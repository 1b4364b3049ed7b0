"""What only S3 has: its keys, addresses that are signed for clients, and a server that may refuse, be away or be misset."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from app.domain.digest import Digest, digest_of_bytes, hex_of
from app.errors import BlobDamaged, NotReady, UploadExpired
from app.objects.s3 import S3Store
from app.objects.s3_client import open_bucket
from app.objects.s3_multipart import Multipart
from app.objects.store import S3Options
from tests.s3server.server import S3Server, free_ports

pytestmark = pytest.mark.slow

part_bytes = 5 << 20
disposition = "attachment; filename=\"a b.bin\"; filename*=UTF-8''a%20b.bin"


@pytest.fixture
def store(s3_server: S3Server) -> S3Store:
    return S3Store(s3_server.shared_bucket, f"/{uuid4()}/", s3_server.options)


def put(store: S3Store, data: bytes) -> Digest:
    with store.stage() as staged:
        staged.write(data)
        return staged.place()


def begun(store: S3Store) -> UUID:
    upload = uuid4()
    store.begin_upload(upload)
    return upload


def keys(store: S3Store) -> set[str]:
    return {entry["Key"].removeprefix(store.prefix) for entry in store.listed(store.prefix)}


def test_an_object_lies_under_its_digest_and_an_upload_under_its_id(store: S3Store) -> None:
    hexadecimal = hex_of(put(store, b"abc"))
    upload = UUID(int=7)
    store.begin_upload(upload)
    store.write_part(upload, 1, 0, [b"part"])
    assert keys(store) == {f"sha256/{hexadecimal[:2]}/{hexadecimal[2:4]}/{hexadecimal}"}
    with store.join(upload) as joined:
        assert list(joined.chunks()) == [b"part"]
    assert f"uploads/{upload.hex}" in keys(store)
    store.discard_upload(upload)
    assert f"uploads/{upload.hex}" not in keys(store)


def test_a_prefix_may_be_empty(s3_server: S3Server) -> None:
    bucket = s3_server.make_bucket()
    store = S3Store(bucket, "", s3_server.options)
    digest = put(store, b"abc")
    assert [entry.digest for entry in store.digests()] == [digest]
    assert keys(store) == {store.key_of(digest)}


def test_what_lies_under_another_key_is_no_object(store: S3Store) -> None:
    store.client.put_object(**store.names(f"{store.prefix}sha256/ab/cd/{'00' * 32}"), Body=b"in the wrong place")
    store.client.put_object(**store.names(f"{store.prefix}sha256/notes.txt"), Body=b"no digest")
    assert list(store.digests()) == []


@pytest.mark.parametrize("size_bytes", [0, 1, 5 << 30, (5 << 30) + 1, 64 << 30, 5 << 40])
def test_parts_are_large_enough_for_the_store_and_few_enough_to_sign(store: S3Store, size_bytes: int) -> None:
    least = store.least_part_bytes(size_bytes)
    assert least >= part_bytes
    assert -(-size_bytes // least) <= 1_000


def test_a_part_that_a_client_sent_to_its_address_is_there(store: S3Store) -> None:
    upload = begun(store)
    sizes = {1: part_bytes, 2: 4}
    addresses = store.presign_parts(upload, sizes, 60)
    assert addresses is not None
    assert httpx.put(addresses[1], content=b"x" * part_bytes).status_code == 200
    assert store.missing_parts(upload, list(sizes.values())) == [2]
    assert httpx.put(addresses[2], content=b"tail").status_code == 200
    assert store.missing_parts(upload, list(sizes.values())) == []
    data = b"x" * part_bytes + b"tail"
    with store.join(upload) as joined:
        assert b"".join(joined.chunks()) == data
        assert joined.place() == digest_of_bytes(data)
    assert b"".join(store.read(digest_of_bytes(data))) == data


def test_an_address_takes_nothing_but_so_many_bytes_of_this_part_for_so_long(store: S3Store) -> None:
    upload = begun(store)
    addresses = store.presign_parts(upload, {1: 4}, 60)
    expired = store.presign_parts(upload, {1: 4}, 1)
    assert addresses is not None
    assert expired is not None
    assert httpx.put(addresses[1], content=b"12345").status_code == 403
    assert httpx.put(addresses[1].replace("partNumber=1", "partNumber=2"), content=b"1234").status_code == 403
    threading.Event().wait(2.1)
    assert httpx.put(expired[1], content=b"1234").status_code == 403
    assert store.missing_parts(upload, [4, 4]) == [1, 2]


def test_an_address_ends_with_its_upload(store: S3Store) -> None:
    upload = begun(store)
    addresses = store.presign_parts(upload, {1: 4}, 60)
    assert addresses is not None
    store.discard_upload(upload)
    assert httpx.put(addresses[1], content=b"1234").status_code == 404


def test_what_takes_the_place_of_what_was_hashed_is_not_copied(store: S3Store) -> None:
    upload = begun(store)
    store.write_part(upload, 1, 0, [b"good"])
    with store.join(upload) as joined:
        assert list(joined.chunks()) == [b"good"]
        store.client.put_object(**store.names(store.upload_key(upload)), Body=b"evil")
        with pytest.raises(Exception, match="412"):
            joined.place()
    assert store.size(digest_of_bytes(b"good")) is None


def test_a_part_that_is_sent_again_after_it_was_hashed_does_not_come_in(store: S3Store) -> None:
    """Swift takes it, even then, and refuses to read the whole from there on; elsewhere the address is dead."""
    upload = begun(store)
    addresses = store.presign_parts(upload, {1: part_bytes, 2: 4}, 60)
    assert addresses is not None
    httpx.put(addresses[1], content=b"x" * part_bytes).raise_for_status()
    httpx.put(addresses[2], content=b"tail").raise_for_status()
    data = b"x" * part_bytes + b"tail"
    with store.join(upload) as joined:
        assert b"".join(joined.chunks()) == data
        httpx.put(addresses[1], content=b"y" * part_bytes)
        with pytest.raises(NotReady):
            joined.place()
    assert store.size(digest_of_bytes(data)) is None


def test_an_object_is_fetched_from_its_address_with_the_name_of_the_file(store: S3Store) -> None:
    address = store.presign_get(put(store, b"0123456789"), disposition, 60)
    assert address is not None
    answer = httpx.get(address)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-disposition"] == disposition
    assert answer.headers["content-type"] == "application/octet-stream"
    rest = httpx.get(address, headers={"Range": "bytes=7-"})
    assert (rest.status_code, rest.content) == (206, b"789")
    assert httpx.get(address.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status_code == 403


def test_addresses_name_the_server_as_clients_know_it_or_are_not_given(s3_server: S3Server) -> None:
    bucket, digest = s3_server.shared_bucket, digest_of_bytes(b"abc")
    seen = S3Store(bucket, "", replace(s3_server.options, public_endpoint_url="https://files.example.org"))
    assert str(seen.presign_get(digest, disposition, 60)).startswith(f"https://files.example.org/{bucket}/sha256/")
    upload = begun(seen)
    addresses = seen.presign_parts(upload, {1: 4}, 60)
    assert addresses is not None
    assert addresses[1].startswith(f"https://files.example.org/{bucket}/uploads/")
    seen.discard_upload(upload)
    through = S3Store(bucket, "", replace(s3_server.options, is_direct=False))
    assert through.presign_get(digest, disposition, 60) is None
    assert through.presign_parts(begun(through), {1: 4}, 60) is None


def test_a_large_copy_is_made_in_parts(store: S3Store) -> None:
    store.copying.multipart_threshold = store.copying.multipart_chunksize = part_bytes
    upload = begun(store)
    data = bytes(range(256)) * (3 * part_bytes // 256) + b"tail"
    for number in range(4):
        store.write_part(
            upload, number + 1, number * part_bytes, [data[number * part_bytes : (number + 1) * part_bytes]]
        )
    with store.join(upload) as joined:
        for _ in joined.chunks():
            pass
        digest = joined.place()
    assert digest == digest_of_bytes(data)
    assert b"".join(store.read(digest)) == data
    store.discard_upload(upload)
    assert store.sweep(older_than_seconds=-60) == 0


def test_an_upload_that_is_discarded_meanwhile_has_expired(store: S3Store) -> None:
    upload = begun(store)

    def chunks() -> Iterator[bytes]:
        yield b"abc"
        store.discard_upload(upload)

    with pytest.raises(UploadExpired):
        store.write_part(upload, 1, 0, chunks())
    with pytest.raises(UploadExpired):
        store.presign_parts(upload, {1: 3}, 60)
    store.begin_upload(upload)
    store.write_part(upload, 1, 0, [b"abc"])
    with store.join(upload) as joined:
        store.discard_upload(upload)
        with pytest.raises(UploadExpired):
            list(joined.chunks())


def test_an_upload_is_begun_once_and_not_again_when_it_is_whole(store: S3Store) -> None:
    upload = begun(store)
    store.begin_upload(upload)
    assert len(list(Multipart.below(store.bucket, store.upload_key(upload)))) == 1
    store.write_part(upload, 1, 0, [b"abc"])
    with store.join(upload):
        store.begin_upload(upload)
    assert list(Multipart.below(store.bucket, store.upload_key(upload))) == []
    assert store.missing_parts(upload, [3]) == []


def test_a_server_that_is_away_is_not_ready(s3_server: S3Server) -> None:
    away = S3Store("bucket", "", replace(s3_server.options, endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}"))
    digest = digest_of_bytes(b"abc")
    calls: list[Callable[[], object]] = [
        away.ping,
        lambda: away.size(digest),
        lambda: away.read(digest),
        lambda: put(away, b"abc"),
        lambda: list(away.digests()),
        lambda: away.sweep(0),
        lambda: away.begin_upload(uuid4()),
        lambda: away.write_part(uuid4(), 1, 0, [b"abc"]),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = [pool.submit(call) for call in calls]
    for answer in answers:
        assert isinstance(answer.exception(), NotReady), answer
    (lack,) = away.probe()
    assert "Could not connect" in lack


@pytest.mark.parametrize("wrong", ["bucket", "secret"])
def test_what_is_set_wrongly_is_said_by_the_probe(s3_server: S3Server, wrong: str) -> None:
    bucket, options = s3_server.shared_bucket, s3_server.options
    if wrong == "bucket":
        store = S3Store("no-such-bucket", "", options)
    else:
        store = S3Store(bucket, "", replace(options, secret_access_key="wrong"))
    (lack,) = store.probe()
    assert lack.startswith(f"s3://{store.bucket.name}/: ")
    with pytest.raises(NotReady):
        store.ping()
    with pytest.raises(NotReady):
        list(store.digests())
    with pytest.raises((NotReady, BlobDamaged)):
        store.read(digest_of_bytes(b"abc"))


def test_secrets_do_not_show() -> None:
    assert "hidden" not in repr(S3Options(access_key_id="a", secret_access_key="hidden"))
    assert open_bucket("b", S3Options(access_key_id="a", secret_access_key="hidden"), None).name == "b"


def test_pages_of_an_allowed_origin_may_send_parts(store: S3Store, s3_server: S3Server) -> None:
    """As a browser does it: it asks first, and it shows an answer to the page only if the answer names its origin."""
    origin = "https://glulam.example.org"
    s3_server.allow_origin(store.bucket.name, origin)
    addresses = store.presign_parts(begun(store), {1: 4}, 60)
    assert addresses is not None
    asked = httpx.options(addresses[1], headers={"Origin": origin, "Access-Control-Request-Method": "PUT"})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] in {"*", origin}
    assert "PUT" in asked.headers["access-control-allow-methods"]
    answer = httpx.put(addresses[1], content=b"1234", headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
