"""What one client may take of a server, and what is left for the others."""

import io
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection

import httpx
import pytest
import structlog
from fastapi.testclient import TestClient

from app.commands.http_protocol import longest_head_bytes
from app.domain.names import RepositoryName
from app.errors import NameExists
from app.logs import Lines
from app.services.registering import NewRepository
from app.settings import Settings
from tests.api.conftest import Registry, admin_token, digest_of, done, make_adapter, refused
from tests.api.serving import served


def dawdler(http: httpx.Client, data: bytes, sent: int) -> socket.socket:
    """A client that begins to upload, and then sends nothing more."""
    opened = socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=30)
    head = f"PUT /api/v1/blobs/{digest_of(data)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
    opened.sendall(f"{head}Authorization: Bearer {admin_token}\r\n\r\n".encode() + data[:sent])
    return opened


def answer_to(opened: socket.socket) -> str:
    with closing(opened):
        text = b""
        while piece := opened.recv(65536):
            text += piece
    return text.decode()


def test_clients_that_dawdle_leave_the_server_to_the_others(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    limits = {"max_concurrent_uploads": 50, "upload_chunk_seconds": 30}
    registry = open_registry(settings.model_copy(update=limits))
    with served(registry) as http, ExitStack() as stack:
        for number in range(45):
            # more than the framework has threads
            stack.enter_context(dawdler(http, b"%04d" % number, 2))
        for path in ("/healthz", "/readyz", "/api/v1/whoami"):
            assert http.get(path).status_code == 200, path
        assert http.put(f"/api/v1/blobs/{digest_of(b'quick')}", content=b"quick").status_code == 201
    assert registry.rows("blobs") == 1


def test_an_upload_too_many_is_sent_away_and_a_slow_one_is_ended(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    limits = {"max_concurrent_uploads": 1, "upload_chunk_seconds": 5}
    registry = open_registry(settings.model_copy(update=limits))
    with served(registry) as http:
        slow = dawdler(http, b"slow", 2)
        url = f"/api/v1/blobs/{digest_of(b'quick')}"
        while (busy := http.put(url, content=b"quick")).status_code == 201:
            time.sleep(0.1)  # the slow one has not begun yet
        assert (busy.status_code, busy.json()["type"]) == (503, "/problems/too-many-uploads")
        assert busy.headers["retry-after"] == "2"
        told = answer_to(slow)
        assert told.startswith("HTTP/1.1 408")
        assert "/problems/upload-too-slow" in told
        assert http.put(url, content=b"quick").status_code == 201
    assert registry.rows("blobs") == 1
    assert registry.services.store.sweep(0) == 0


def test_the_metrics_are_for_this_machine_and_for_administrators(registry: Registry) -> None:
    alice = registry.user("alice")
    refused(registry.anonymous.request("GET", "/metrics"), 401, "unauthenticated")
    refused(alice.request("GET", "/metrics"), 403, "scope-missing")
    pretender = done(registry.admin.post("/tokens", {"name": "x", "scopes": ["admin"], "user": "alice"}), 201)
    refused(registry.with_token("alice", pretender["token"]).request("GET", "/metrics"), 403, "forbidden")
    assert registry.admin.request("GET", "/metrics").status_code == 200
    for host, status in (("127.0.0.1", 200), ("::1", 200), ("10.0.0.1", 401)):
        with TestClient(registry.app, client=(host, 5000)) as http:
            assert http.get("/metrics").status_code == status, host
    for path in ("/healthz", "/readyz"):
        assert registry.anonymous.request("GET", path).status_code == 200


def test_a_word_of_the_clients_own_for_a_method_is_no_label_of_the_metrics(registry: Registry) -> None:
    registry.anonymous.request("BREW", "/healthz")
    text = registry.admin.request("GET", "/metrics").text
    assert 'method="other"' in text
    assert "BREW" not in text


def test_a_form_from_somebody_who_may_not_write_is_not_read(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.repository("own")
    path = "/api/v1/repositories/{}/versions/form"
    for name, status, problem in (("alice/own", 403, "forbidden"), ("alice/none", 404, "not-found")):
        # what is no form at all would be malformed, if it were looked at
        refused(bob.request("POST", path.format(name), content=b"no form"), status, problem)
    refused(alice.request("POST", path.format("alice/own"), content=b"no form"), 422, "malformed-request")


def test_a_form_sent_again_with_its_key_publishes_once(registry: Registry) -> None:
    registry.admin.repository("own")
    files = [("files", (path, data)) for path, data in make_adapter(1).files.items()]
    with served(registry) as http:

        def send(notes: str) -> httpx.Response:
            path, key = "/api/v1/repositories/admin/own/versions/form", {"Idempotency-Key": "form-1"}
            return http.post(path, headers=key, files=files, data={"notes": notes})

        first, again, other = send("first"), send("first"), send("second")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.json()["reference"] == "admin/own@1.0.0"
    assert (first.headers.get("idempotent-replay"), again.headers["idempotent-replay"]) == (None, "true")
    assert first.headers["location"] == again.headers["location"]
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert registry.rows("versions") == 1


@pytest.mark.parametrize("thing", ["repository", "organization", "user"])
def test_what_was_made_before_an_answer_was_lost_is_not_made_twice(registry: Registry, thing: str) -> None:
    services = registry.services
    caller = replace(services.accounts.authenticate(admin_token, None), idempotency_key="key")
    makers: dict[str, Callable[[], object]] = {
        "repository": lambda: services.registering.create(caller, NewRepository(RepositoryName("admin", "made"))).id,
        "organization": lambda: services.accounts.create_organization(caller, "made", []).namespace.id,
        "user": lambda: services.accounts.create_user(caller, "made").id,
    }
    assert services.repeating.begin(caller, "key", b"the same request") is None
    made = makers[thing]()
    assert makers[thing]() == made
    caller = replace(caller, idempotency_key=None)
    with pytest.raises(NameExists):
        makers[thing]()


@pytest.mark.parametrize("address", [None, "https://registry.example", "https://registry.example/"])
def test_links_begin_with_the_public_address(
    open_registry: Callable[[Settings], Registry], settings: Settings, address: str | None
) -> None:
    registry = open_registry(settings.model_copy(update={"public_url": address}))
    begin = "" if address is None else "https://registry.example"
    with served(registry) as http:
        body, key = {"namespace": "admin", "name": "x"}, {"Idempotency-Key": "k"}
        made, again = (http.post("/api/v1/repositories", json=body, headers=key) for _ in range(2))
    assert made.status_code == again.status_code == 201
    assert made.headers["location"] == again.headers["location"] == f"{begin}/api/v1/repositories/admin/x"
    begun = registry.admin.post("/uploads", {"digest": digest_of(b"12345"), "size": 5})
    upload = f"{begin}/api/v1/uploads/{begun.json()['id']}"
    assert (begun.headers["location"], begun.json()["parts"][0]["url"]) == (upload, f"{upload}/parts/1")


def test_no_file_has_the_name_of_a_folder_beside_it(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.repository("own")
    made = make_adapter(1).files
    for inside, outside in (("notes/a.txt", "notes"), ("notes/a.txt", "NOTES"), ("a/b/c", "a")):
        for files in ({outside: b"1", inside: b"2"}, {inside: b"2", outside: b"1"}):
            refused(alice.try_publish("alice/own", made | files), 422, "invalid-path")
    assert (
        alice.try_publish("alice/own", made | {"notes/a": b"1", "notes/b": b"2", "notes.txt": b"3"}).status_code == 201
    )


def test_readers_that_dawdle_leave_the_server_to_the_others(registry: Registry) -> None:
    admin = registry.admin
    large = b"x" * 24 * 1024 * 1024
    admin.publish("admin/large", make_adapter(1).files | {"notes.txt": large})
    with served(registry) as http, ExitStack() as stack:
        for _ in range(45):
            opened = stack.enter_context(closing(socket.socket()))
            # what the operating system takes in for the reader would hide that nobody reads
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            opened.connect((http.base_url.host, http.base_url.port))
            path = "/api/v1/repositories/admin/large/versions/1.0.0/files/notes.txt"
            opened.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert opened.recv(12) == b"HTTP/1.1 200"
        assert http.get("/api/v1/whoami").status_code == 200
        assert http.get("/readyz").status_code == 200


def test_a_head_without_end_is_cut_off(registry: Registry) -> None:
    with served(registry) as http:
        endless = socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=30)
        endless.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"x" * longest_head_bytes)
        assert answer_to(endless).startswith("HTTP/1.1 400")
        assert http.get("/healthz", headers={"X-Long": "x" * (longest_head_bytes // 2)}).status_code == 200


chunked = f"Authorization: Bearer {admin_token}\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("trailer", ["X-Many: x\r\n" * 100_000, "X-Endless: " + "x" * 1_000_000], ids=["many", "long"])
def test_trailers_without_end_are_cut_off(registry: Registry, trailer: str) -> None:
    with served(registry) as http:
        endless = socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=30)
        with closing(endless):
            endless.sendall(f"PUT /api/v1/blobs/{digest_of(b'abc')} HTTP/1.1\r\n{chunked}3\r\nabc\r\n0\r\n".encode())
            try:
                endless.sendall(trailer.encode())
                told = endless.recv(12)
            except (BrokenPipeError, ConnectionResetError):
                # what nobody reads any more overtakes the answer
                told = b"HTTP/1.1 400"
        assert told == b"HTTP/1.1 400"


def test_a_trailer_is_no_header_of_its_request_nor_of_the_next(registry: Registry) -> None:
    with served(registry) as http:
        opened = socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=30)
        first = f"POST /api/v1/uploads HTTP/1.1\r\nContent-Type: application/json\r\n{chunked}"
        body = json.dumps({"digest": digest_of(b"abc"), "size": 3})
        trailers = "X-Request-Id: of-a-trailer-1\r\nX-Request-Id: of-a-trailer-2\r\n\r\n"
        opened.sendall(f"{first}{len(body):x}\r\n{body}\r\n0\r\n{trailers}".encode())
        opened.sendall(b"GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n")
        told = answer_to(opened)
    assert told.count("HTTP/1.1 20") == 2, told
    assert "of-a-trailer" not in told


def test_a_body_in_many_chunks_is_no_long_head(registry: Registry) -> None:
    data = b"x" * 2 * longest_head_bytes
    with served(registry) as http:
        pieces = (data[start : start + 100] for start in range(0, len(data), 100))
        assert http.put(f"/api/v1/blobs/{digest_of(data)}", content=pieces).status_code == 201


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_log_that_cannot_be_written_leaves_requests_their_answers(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_closed: bool
) -> None:
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)
    if is_closed:
        full.close()
    monkeypatch.setattr("app.server.log", structlog.wrap_logger(Lines()))
    with served(registry) as http, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", full)
        with closing(HTTPConnection(http.base_url.host, http.base_url.port, timeout=30)) as connection:
            connection.connect()
            opened = connection.sock
            for _ in range(3):
                connection.request("GET", "/healthz")
                assert connection.getresponse().read()
                assert connection.sock is opened, "the connection goes on"
    # what the server says of a request that ends in an error
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    with pytest.raises((OSError, ValueError)):
        full.write("a line")


def test_a_head_that_does_not_come_ends_the_connection(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.http_protocol.longest_head_seconds", 2)

    def slow() -> Iterator[bytes]:
        yield b"ab"
        time.sleep(3)
        yield b"c"

    with served(registry) as http:
        address = (http.base_url.host, http.base_url.port or 80)
        silent, begun = (socket.create_connection(address, timeout=30) for _ in range(2))
        begun.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert (answer_to(silent), answer_to(begun)) == ("", "")
        with closing(HTTPConnection(*address, timeout=30)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            # an empty line is not yet a request
            connection.sock.sendall(b"\r\n")
            assert connection.sock.recv(1) == b""
        # a body may take longer
        assert http.put(f"/api/v1/blobs/{digest_of(b'abc')}", content=slow()).status_code == 201
