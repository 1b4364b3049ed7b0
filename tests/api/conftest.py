"""A registry in this process, with real parts under it: Postgres, a folder of objects, the routes, and the worker's jobs."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from numpy.typing import NDArray
from pydantic import SecretStr
from safetensors.numpy import save
from sqlalchemy import text

from app.assembly import Services
from app.lineage.queue import TaskName
from app.server import create_app
from app.settings import Settings
from app.worker.tasks import MergeTasks
from tests.s3server.server import S3Server

admin_token = "glu_test-admin-token-of-at-least-192-bits-0123456789"
base_name = "acme/tiny"
Array = NDArray[np.float32]


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class AdapterFiles:
    """A LoRA adapter's two files, and the delta that each module should add."""

    files: dict[str, bytes]
    deltas: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def make_adapter(
    seed: int,
    *,
    rank: int = 4,
    modules: Sequence[str] = ("model.layers.0.q_proj", "model.layers.0.v_proj"),
    shape: tuple[int, int] = (24, 16),
    alpha: float = 8,
    base: str | None = base_name,
    config: dict[str, Any] | None = None,
    readme: str | None = None,
) -> AdapterFiles:
    """A random adapter as PEFT would save it; `shape` is (out, in) of every module."""
    random = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    deltas = {}
    for module in modules:
        a = random.standard_normal((rank, shape[1])).astype(np.float32)
        b = random.standard_normal((shape[0], rank)).astype(np.float32)
        tensors[f"base_model.model.{module}.lora_A.weight"] = a
        tensors[f"base_model.model.{module}.lora_B.weight"] = b
        deltas[module] = (alpha / rank) * (b.astype(np.float64) @ a.astype(np.float64))
    values = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted({module.rsplit(".", 1)[-1] for module in modules}),
        "bias": "none",
        "fan_in_fan_out": False,
        "task_type": "CAUSAL_LM",
    } | (config or {})
    files = {"adapter_config.json": json.dumps(values).encode(), "adapter_model.safetensors": save(tensors)}
    if readme is not None:
        files["README.md"] = readme.encode()
    return AdapterFiles(files, deltas)


@dataclass
class User:
    """Somebody with a token, and what they do most."""

    http: httpx2.Client
    name: str
    token: str | None

    def request(self, method: str, path: str, **arguments: Any) -> Response:
        headers = dict(arguments.pop("headers", {}))
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        response = self.http.request(method, path, headers=headers, follow_redirects=False, **arguments)
        if response.status_code != 302:
            return response
        # to the object store, which is no part of the application in this process; it is sent no token of ours
        kept = {name: value for name, value in headers.items() if name != "Authorization"}
        return httpx2.get(response.headers["location"], headers=kept)

    def get(self, path: str, **arguments: Any) -> Response:
        return self.request("GET", f"/api/v1{path}", **arguments)

    def post(self, path: str, body: Any = None, **arguments: Any) -> Response:
        return self.request("POST", f"/api/v1{path}", json=body, **arguments)

    def put(self, path: str, body: Any = None, **arguments: Any) -> Response:
        if isinstance(body, bytes):
            return self.request("PUT", f"/api/v1{path}", content=body, **arguments)
        return self.request("PUT", f"/api/v1{path}", json=body, **arguments)

    def patch(self, path: str, body: Any) -> Response:
        return self.request("PATCH", f"/api/v1{path}", json=body)

    def delete(self, path: str) -> Response:
        return self.request("DELETE", f"/api/v1{path}")

    def repository(self, name: str, **fields: Any) -> dict[str, Any]:
        """Make `name` in the user's own namespace (or `ns/name`)."""
        namespace, _, last = name.rpartition("/")
        body = {"namespace": namespace or self.name, "name": last, "visibility": "public"} | fields
        return done(self.post("/repositories", body), 201)

    def upload(self, data: bytes) -> str:
        digest = digest_of(data)
        done(self.put(f"/blobs/{digest}", data), 201)
        return digest

    def try_publish(self, repository: str, files: dict[str, bytes], **fields: Any) -> Response:
        digests = {path: self.upload(data) for path, data in files.items()}
        return self.post(f"/repositories/{repository}/versions", {"files": digests} | fields)

    def publish(self, repository: str, adapter: AdapterFiles | dict[str, bytes], **fields: Any) -> dict[str, Any]:
        """Make the repository if need be, upload and publish."""
        files = adapter.files if isinstance(adapter, AdapterFiles) else adapter
        if self.get(f"/repositories/{repository}").status_code == 404:
            self.repository(repository)
        return done(self.try_publish(repository, files, **fields), 201)


def done(response: Response, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, (response.status_code, response.text)
    body: dict[str, Any] = response.json() if response.content else {}
    return body


def refused(response: Response, status: int, name: str) -> dict[str, Any]:
    """The problem, after making sure that it is this one and complete."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"/problems/{name}", body
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


class JobContext:
    """What a job asks of its worker."""

    def should_abort(self) -> bool:
        return False


@dataclass
class Registry:
    http: TestClient
    services: Services
    users: dict[str, User] = field(default_factory=dict)

    @property
    def admin(self) -> User:
        return User(self.http, "admin", admin_token)

    @property
    def anonymous(self) -> User:
        return User(self.http, "", None)

    @property
    def app(self) -> FastAPI:
        app: FastAPI = self.http.app  # type: ignore[assignment]  # the test client knows it as any ASGI application
        return app

    def with_token(self, name: str, token: str) -> User:
        return User(self.http, name, token)

    def user(self, name: str) -> User:
        if name not in self.users:
            done(self.admin.post("/users", {"name": name}), 201)
            body = {"name": "test", "user": name, "scopes": ["read", "write", "merge"]}
            token = done(self.admin.post("/tokens", body), 201)["token"]
            self.users[name] = User(self.http, name, token)
        return self.users[name]

    def work(self) -> int:
        """Do the queued jobs in this thread, in their order; how many merges there were."""
        tasks = MergeTasks(self.services)
        merges = 0
        while True:
            with self.services.database.begin() as tx:
                job = tx.execute(
                    text(
                        "DELETE FROM procrastinate_jobs WHERE id = (SELECT min(id) FROM procrastinate_jobs)"
                        " RETURNING task_name, args"
                    )
                ).first()
            if job is None:
                return merges
            is_merge = job.task_name == TaskName.EXECUTE_MERGE.value
            merges += is_merge
            try:
                takes_context = job.task_name in {TaskName.EXECUTE_MERGE.value, TaskName.DELIVER.value}
                getattr(tasks, job.task_name)(*([JobContext()] if takes_context else []), **job.args)
            except Exception as error:
                if not is_merge:
                    raise
                # as the worker's loop does
                tasks.failed(job.task_name, job.args, error)

    def merge(self, user: User, recipe: dict[str, Any]) -> dict[str, Any]:
        """Ask, work, and return the finished merge."""
        response = user.post("/merges", recipe)
        assert response.status_code in (200, 202), response.text
        self.work()
        return done(user.get(f"/merges/{response.json()['id']}"))

    def rows(self, table: str) -> int:
        with self.services.database.begin() as tx:
            return int(tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    def objects(self) -> int:
        return sum(1 for _ in self.services.store.digests())


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        data_dir=tmp_path,
        upload_part_bytes=64 * 1024,
        device="cpu",
    )


def with_s3(settings: Settings, server: S3Server, **others: Any) -> Settings:
    """The settings, with a prefix of its own on an S3 server as the object store."""
    return Settings(_env_file=None, **{**settings.model_dump(), **server.settings, **others})


@pytest.fixture
def open_registry(settings: Settings) -> Iterator[Callable[[Settings], Registry]]:
    """Opens registries with other settings on the same database."""
    opened: list[tuple[TestClient, Services]] = []

    def open_with(settings: Settings) -> Registry:
        services = Services.open(settings)
        services.accounts.bootstrap(admin_token)
        http = TestClient(create_app(services), raise_server_exceptions=False)
        opened.append((http, services))
        return Registry(http, services)

    yield open_with
    for http, services in opened:
        http.close()
        services.close()


@pytest.fixture
def registry(open_registry: Callable[[Settings], Registry], settings: Settings) -> Registry:
    return open_registry(settings)
