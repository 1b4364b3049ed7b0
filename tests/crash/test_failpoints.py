"""The server killed at every point between bytes, rows and answer; the request sent again is done, and done once."""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.api.conftest import digest_of, make_adapter
from tests.conftest import PostgresServer
from tests.crash.clients import Ledger, Pusher, prepare, trunk_reference
from tests.crash.installation import Installation, Part, admin_token

pytestmark = pytest.mark.slow


class Failing:
    """A registry whose server dies when it is asked to, and a client that asks."""

    def __init__(self, installation: Installation, client: Pusher) -> None:
        self.installation = installation
        self.client = client
        self.count = 0

    def pid(self) -> int | None:
        """Of the server: the child of the process that watches over it."""
        children = psutil.Process(self.installation.running[Part.SERVER].pid).children()
        return children[0].pid if children else None

    def crash(self, point: str, method: str, path: str, **arguments: Any) -> Any:
        """Send a request that kills the server at a point, and again to the next one; returns that answer's JSON."""
        before = self.pid()
        headers = {"Idempotency-Key": f"{point} {method} {path}"}
        with pytest.raises(httpx.TransportError):
            self.client.http.request(method, path, headers={**headers, "X-Crash-At": point}, **arguments)
        answer = self.client.done(method, path, 200, 201, 202, headers=headers, **arguments)
        assert self.pid() != before
        return answer

    def count_of(self, table: str) -> int:
        return int(str(self.installation.query(f"SELECT count(*) FROM {table}")[0][0]))

    def repository(self) -> str:
        self.count += 1
        name = f"repository-{self.count}"
        self.client.post("/repositories", {"namespace": "alice", "name": name}, 201)
        return f"/repositories/alice/{name}/versions"

    def check_one_version(self, path: str, version: dict[str, Any], files: dict[str, bytes]) -> None:
        listed = self.client.done("GET", path, 200)["items"]
        assert [entry["digest"] for entry in listed] == [version["digest"]]
        for name, data in files.items():
            assert self.client.insist("GET", f"{path}/1.0.0/files/{name}").content == data


@pytest.fixture(scope="module")
def failing(postgres: PostgresServer) -> Iterator[Failing]:
    url = postgres.create_migrated()
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        installation = Installation(Path(folder), url, server=("-m", "tests.crash.failing_server"))
        try:
            installation.begin([Part.SERVER])
            token = prepare(installation.address, admin_token)
            yield Failing(installation, Pusher(installation.address, token, Ledger(), 0))
        finally:
            installation.destroy()
            postgres.drop(url)


@pytest.mark.parametrize("point", ["before-place", "after-place", "before-commit", "after-commit", "before-answer"])
def test_a_blob(failing: Failing, point: str) -> None:
    data = f"a blob {point}".encode()
    failing.crash(point, "PUT", f"/blobs/{digest_of(data)}", content=data)
    version = make_adapter(7).files | {"README.md": data}
    for other in version.values():
        failing.client.put_blob(other)
    path = failing.repository()
    made = failing.client.post(path, {"files": {name: digest_of(data) for name, data in version.items()}}, 201)
    failing.check_one_version(path, made, version)


@pytest.mark.parametrize("point", ["before-place", "after-place", "before-commit/2", "after-commit/2", "before-answer"])
def test_the_end_of_an_upload_in_parts(failing: Failing, point: str) -> None:
    data = (f"many parts {point}" * 10_000).encode()
    begun = failing.client.post("/uploads", {"digest": digest_of(data), "size": len(data)}, 201)
    for part in begun["parts"]:
        start = (part["number"] - 1) * begun["part_size"]
        body = data[start : start + part["size"]]
        failing.client.done("PUT", part["url"].removeprefix("/api/v1"), 204, content=body)
    answer = failing.crash(point, "POST", f"/uploads/{begun['id']}/complete", json={})
    assert answer == {"digest": digest_of(data)}


def test_a_part_that_was_acknowledged_is_not_sent_again(failing: Failing) -> None:
    data = b"parts" * 30_000
    begun = failing.client.post("/uploads", {"digest": digest_of(data), "size": len(data)}, 201)
    first, second, *_ = begun["parts"]
    path = f"/uploads/{begun['id']}"
    failing.client.done("PUT", f"{path}/parts/1", 204, content=data[: first["size"]])
    with pytest.raises(httpx.TransportError):
        failing.client.http.put(
            f"{path}/parts/2", content=data[first["size"] :][: second["size"]], headers={"X-Crash-At": "before-answer"}
        )
    resumed = failing.client.post("/uploads", {"digest": digest_of(data), "size": len(data)}, 201)
    assert resumed["id"] == begun["id"]
    assert [part["done"] for part in resumed["parts"]] == [True, True, False]


@pytest.mark.parametrize("point", ["before-commit", "after-commit", "before-answer"])
def test_a_version_without_a_number(failing: Failing, point: str) -> None:
    files = make_adapter(10 + len(point)).files
    for data in files.values():
        failing.client.put_blob(data)
    path = failing.repository()
    body = {"files": {name: digest_of(data) for name, data in files.items()}, "builds_on": [trunk_reference]}
    version = failing.crash(point, "POST", path, json=body)
    assert version["version"] == "1.0.0"
    failing.check_one_version(path, version, files)


@pytest.mark.parametrize("point", ["before-commit/1", "before-place/2", "after-place/2", "before-commit/2"])
def test_a_form_whose_version_was_not_committed(failing: Failing, point: str) -> None:
    files = make_adapter(20 + len(point)).files
    path = failing.repository()
    parts = [("files", (name, data)) for name, data in files.items()]
    version = failing.crash(point, "POST", f"{path}/form", data={"version": "1.0.0"}, files=parts)
    failing.check_one_version(path, version, files)


@pytest.mark.parametrize("point", ["after-commit/2", "before-answer"])
def test_a_form_whose_version_was_committed(failing: Failing, point: str) -> None:
    files = make_adapter(30 + len(point)).files
    path = failing.repository()
    parts = [("files", (name, data)) for name, data in files.items()]
    headers = {"X-Crash-At": point}
    with pytest.raises(httpx.TransportError):
        failing.client.http.post(f"{path}/form", data={"version": "1.0.0"}, files=parts, headers=headers)
    failing.check_one_version(path, failing.client.done("GET", f"{path}/1.0.0", 200), files)


@pytest.mark.parametrize("point", ["before-commit", "after-commit", "before-answer"])
def test_a_merge_and_its_job(failing: Failing, point: str) -> None:
    files = make_adapter(40 + len(point)).files
    for data in files.values():
        failing.client.put_blob(data)
    path = failing.repository()
    version = failing.client.post(path, {"files": {name: digest_of(data) for name, data in files.items()}}, 201)
    tables = ("merge_requests", "merge_executions", "procrastinate_jobs")
    before = [failing.count_of(table) for table in tables]
    recipe = {"layers": [{"adapter": version["reference"]}, {"adapter": trunk_reference}]}
    merge = failing.crash(point, "POST", "/merges", json=recipe)
    assert merge["state"] == "queued"
    assert [failing.count_of(table) for table in tables] == [count + 1 for count in before]
    failing.client.done("DELETE", f"/merges/{merge['id']}", 204)


def test_the_server_dies_where_it_is_asked_to_and_nowhere_else(failing: Failing) -> None:
    """Or the tests above prove nothing."""
    before = failing.pid()
    headers = {"X-Crash-At": "before-place"}
    assert failing.client.http.get("/whoami", headers=headers).status_code == 200
    assert failing.pid() == before
    with suppress(httpx.TransportError):
        failing.client.http.put(f"/blobs/{digest_of(b'x')}", content=b"x", headers=headers)
    failing.client.done("GET", "/whoami", 200)
    assert failing.pid() != before
