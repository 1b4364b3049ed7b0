"""Clients that push, merge and read all the time, and keep a ledger of their own of what was acknowledged."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.api.conftest import digest_of, make_adapter
from tests.api.test_story import delta_of

trunk_reference, trunk_seed = "alice/instruct@1.0.0", 1
modules = ("model.layers.0.q_proj", "model.layers.0.v_proj")
patience_seconds = 60.0
"""After so long without an answer a client takes the registry for lost."""

Response = httpx.Response


class Lost(AssertionError):
    """The registry does not come back."""


@dataclass(frozen=True)
class Push:
    """An acknowledged version."""

    reference: str
    name: str
    """What the client calls it; stands in the version's notes."""
    seed: int
    builds_on_trunk: bool
    digests: Mapping[str, str]


@dataclass(frozen=True)
class MergeAsked:
    """An acknowledged merge."""

    id: str
    layers: tuple[tuple[Push, float], ...]
    is_published: bool

    def expected(self, module: str) -> NDArray[np.float64]:
        """What it adds to a module, summed in float64; the trunk counts once."""
        total = np.zeros_like(make_adapter(trunk_seed).deltas[module])
        if any(push.builds_on_trunk for push, _ in self.layers):
            total += make_adapter(trunk_seed).deltas[module]
        for push, weight in self.layers:
            total += weight * make_adapter(push.seed).deltas[module]
        return total


@dataclass
class Ledger:
    """What clients were told, and what they saw that must not be."""

    pushes: list[Push] = field(default_factory=list)
    merges: list[MergeAsked] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    """Files that a version names and the registry does not have."""
    wrong: list[str] = field(default_factory=list)
    seen_dangling: int = 0
    """How often a reader met one."""
    reads: int = 0
    broken: int = 0
    """Requests without an answer, or with the answer that a part is not ready."""
    is_closed: bool = False
    """Nobody insists on an answer any longer."""


class Client:
    """One user at one address, who sends a request again until it is answered."""

    def __init__(self, address: str, token: str, ledger: Ledger) -> None:
        self.http = httpx.Client(base_url=f"{address}/api/v1", timeout=20, headers={"Authorization": f"Bearer {token}"})
        self.ledger = ledger

    def insist(self, method: str, path: str, **arguments: Any) -> Response:
        """The first answer that is one. Raises: Lost."""
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                response = self.http.request(method, path, **arguments)
            except httpx.TransportError as error:
                found = repr(error)
            else:
                problem = problem_of(response)
                if response.status_code == 500:
                    self.ledger.wrong.append(f"{method} {path}: {response.text}")
                if problem == "/problems/blob-damaged":
                    self.ledger.dangling.append(f"{method} {path}: {response.json()['digest']}")
                elif response.status_code < 500 and problem != "/problems/request-in-progress":
                    return response
                found = response.text
            self.ledger.broken += 1
            if self.ledger.is_closed or time.monotonic() > deadline:
                raise Lost(f"{method} {path}: {found}")
            time.sleep(0.1)

    def done(self, method: str, path: str, *statuses: int, **arguments: Any) -> Any:
        """The answer's JSON; another status is an error of the registry."""
        response = self.insist(method, path, **arguments)
        if response.status_code not in statuses:
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def post(self, path: str, body: Any, *statuses: int) -> Any:
        """Done once, however often it has to be sent."""
        return self.done("POST", path, *statuses, json=body, headers={"Idempotency-Key": str(uuid4())})


def problem_of(response: Response) -> str | None:
    kind: str | None = None
    if response.headers.get("content-type") == "application/problem+json":
        kind = response.json()["type"]
    return kind


def prepare(address: str, admin_token: str) -> str:
    """A user with a trunk to build on and a place for merges; returns the user's token."""
    admin = Client(address, admin_token, Ledger())
    admin.post("/users", {"name": "alice"}, 201)
    body = {"name": "crash", "user": "alice", "scopes": ["read", "write", "merge"]}
    token: str = admin.done("POST", "/tokens", 201, json=body)["token"]
    alice = Pusher(address, token, Ledger(), 0)
    for name in ("instruct", "merged"):
        alice.post("/repositories", {"namespace": "alice", "name": name, "visibility": "public"}, 201)
    files = make_adapter(trunk_seed).files
    for data in files.values():
        alice.put_blob(data)
    digests = {path: digest_of(data) for path, data in files.items()}
    alice.post("/repositories/alice/instruct/versions", {"files": digests}, 201)
    return token


class Pusher(Client):
    """Publishes one small adapter after another, each into a repository of its own, in every way there is."""

    def __init__(self, address: str, token: str, ledger: Ledger, number: int) -> None:
        super().__init__(address, token, ledger)
        self.number = number
        self.count = 0
        self.random = random.Random(number)

    def step(self) -> None:
        self.count += 1
        seed = 1000 * (self.number + 1) + self.count
        name = f"push-{self.number}-{self.count}"
        files = make_adapter(seed).files
        builds_on = [trunk_reference] if self.random.random() < 0.5 else []
        # a name that is there is ours, from a request whose answer was lost
        self.post("/repositories", {"namespace": "alice", "name": name, "visibility": "public"}, 201, 409)
        push = self.random.choice((self.push_blobs, self.push_parts, self.push_form))
        version = push(name, files, builds_on)
        digests = {file["path"]: file["digest"] for file in version["files"]}
        assert version["reference"] == f"alice/{name}@1.0.0", version
        assert version["notes"] == name, version
        assert {digest_of(data) for data in files.values()} <= set(digests.values()), version
        self.ledger.pushes.append(Push(version["reference"], name, seed, bool(builds_on), digests))

    def push_blobs(self, name: str, files: dict[str, bytes], builds_on: list[str]) -> Any:
        for data in files.values():
            self.put_blob(data)
        return self.publish(name, {path: digest_of(data) for path, data in files.items()}, builds_on)

    def push_parts(self, name: str, files: dict[str, bytes], builds_on: list[str]) -> Any:
        """With an attachment that needs three parts."""
        files = {**files, "notes.bin": self.random.randbytes(150_000)}
        for path, data in files.items():
            if path == "notes.bin":
                self.put_parts(data)
            else:
                self.put_blob(data)
        return self.publish(name, {path: digest_of(data) for path, data in files.items()}, builds_on)

    def push_form(self, name: str, files: dict[str, bytes], builds_on: list[str]) -> Any:
        """A form carries no key, but a number: when it is taken, then by us, whose answer was lost."""
        path = f"/repositories/alice/{name}/versions"
        fields = {"version": "1.0.0", "notes": name, "builds_on": builds_on}
        parts = [("files", (path, data)) for path, data in files.items()]
        response = self.insist("POST", f"{path}/form", data=fields, files=parts)
        if response.status_code == 409 and problem_of(response) == "/problems/version-exists":
            return self.done("GET", f"{path}/1.0.0", 200)
        assert response.status_code == 201, response.text
        return response.json()

    def put_blob(self, data: bytes) -> None:
        self.done("PUT", f"/blobs/{digest_of(data)}", 201, content=data)

    def put_parts(self, data: bytes) -> None:
        begun = self.post("/uploads", {"digest": digest_of(data), "size": len(data)}, 201)
        for part in begun["parts"]:
            start = (part["number"] - 1) * begun["part_size"]
            self.done("PUT", part["url"].removeprefix("/api/v1"), 204, content=data[start : start + part["size"]])
        self.post(f"/uploads/{begun['id']}/complete", {}, 201)

    def publish(self, name: str, digests: dict[str, str], builds_on: list[str]) -> Any:
        # without a number: a request that is done twice would show as a second version
        body = {"files": digests, "notes": name, "builds_on": builds_on}
        return self.post(f"/repositories/alice/{name}/versions", body, 201)


class Merger(Client):
    """Asks for sums of what was pushed, and has a few of them under way at any time."""

    def __init__(self, address: str, token: str, ledger: Ledger, number: int) -> None:
        super().__init__(address, token, ledger)
        self.random = random.Random(number)
        self.pending: list[str] = []

    def step(self) -> None:
        if len(self.ledger.pushes) < 3 or len(self.pending) >= 4:
            time.sleep(0.05)
        else:
            self.ask()
        self.pending = [id for id in self.pending if self.done("GET", f"/merges/{id}", 200)["finished_at"] is None]

    def ask(self) -> None:
        chosen = self.random.sample(self.ledger.pushes, self.random.choice((2, 3)))
        layers = tuple((push, round(self.random.uniform(-2, 2), 3)) for push in chosen)
        recipe: dict[str, Any] = {"layers": [{"adapter": push.reference, "weight": weight} for push, weight in layers]}
        is_published = self.random.random() < 0.5
        if is_published:
            recipe["publish"] = {"repository": "alice/merged"}
        id = self.post("/merges", recipe, 200, 202)["id"]
        self.ledger.merges.append(MergeAsked(id, layers, is_published))
        self.pending.append(id)


class Reader(Client):
    """Lists, downloads and hashes whatever is there, acknowledged or not."""

    def __init__(self, address: str, token: str, ledger: Ledger, number: int) -> None:
        super().__init__(address, token, ledger)
        self.random = random.Random(number)

    def step(self) -> None:
        # the server's time is for the others as well
        time.sleep(0.05)
        found = self.get("/repositories?namespace=alice&limit=200")
        names = [item["name"] for item in found["items"]] if found else []
        # the newest ones, where something may be half done, and some of all
        for name in {*names[:3], *self.random.sample(names, min(2, len(names)))}:
            listed = self.get(f"/repositories/alice/{name}/versions?limit=5")
            for version in listed["items"] if listed else []:
                self.read_version(version)

    def get(self, path: str) -> Any:
        """One attempt; None without an answer."""
        try:
            response = self.http.get(path)
        except httpx.TransportError:
            return None
        if response.status_code == 503:
            return None
        if response.status_code != 200:
            self.ledger.wrong.append(f"GET {path}: {response.status_code} {response.text}")
            return None
        return response.json()

    def read_version(self, version: Mapping[str, Any]) -> None:
        paths = {file["path"] for file in version["files"]}
        if not {"adapter_config.json", "adapter_model.safetensors"} <= paths:
            self.ledger.wrong.append(f"half a version is listed: {version}")
        for file in version["files"]:
            path = f"/repositories/{version['repository']}/versions/{version['version']}/files/{file['path']}"
            verdict = read(self.http, path, file["digest"])
            if verdict is None:
                continue
            self.ledger.reads += 1
            if verdict:
                kind = self.ledger.dangling if verdict == "blob-damaged" else self.ledger.wrong
                kind.append(f"GET {path}: {verdict}")
                self.ledger.seen_dangling += verdict == "blob-damaged"


def read(http: httpx.Client, path: str, digest: str) -> str | None:
    """What is wrong with a file: "" for nothing, None when the registry did not answer."""
    try:
        response = http.get(path)
    except httpx.TransportError:
        return None
    if problem_of(response) == "/problems/blob-damaged":
        return "blob-damaged"
    if response.status_code == 503:
        return None
    if response.status_code != 200:
        return f"{response.status_code} {response.text}"
    return "" if "sha256:" + hashlib.sha256(response.content).hexdigest() == digest else "other bytes"


class Crowd:
    """Clients at work, each in a thread, until they are told to stop."""

    def __init__(self, ledger: Ledger, steps: list[Callable[[], None]]) -> None:
        self.ledger = ledger
        self.stopping = threading.Event()
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self.run, args=(step,), daemon=True) for step in steps]
        for thread in self.threads:
            thread.start()

    def run(self, step: Callable[[], None]) -> None:
        try:
            while not self.stopping.is_set():
                step()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.errors.append(error)

    def check(self) -> None:
        for error in self.errors:
            raise error

    def abandon(self) -> None:
        """Stop without waiting for answers: the test has seen what it wanted, and the registry is dead."""
        self.stopping.set()
        self.ledger.is_closed = True
        for thread in self.threads:
            thread.join(30)
        assert all(isinstance(error, Lost) for error in self.errors), self.errors

    def stop(self) -> None:
        """Let everybody finish what they have begun. Raises: what went wrong in a thread."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(patience_seconds + 30)
        self.check()


def check_merge(client: Client, merge: MergeAsked) -> None:
    """It succeeded, and its result is the sum."""
    found = client.done("GET", f"/merges/{merge.id}", 200)
    assert found["state"] == "succeeded", found
    assert ("reference" in found["result"]) == merge.is_published, found
    weights, config = (
        client.insist("GET", f"/merges/{merge.id}/files/{path}").content
        for path in ("adapter_model.safetensors", "adapter_config.json")
    )
    for module in modules:
        expected = merge.expected(module)
        difference = np.abs(delta_of(weights, config, module) - expected).max()
        assert difference <= 1e-5 * np.abs(expected).max(), (merge, module, difference)
