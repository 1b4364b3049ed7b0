"""A real registry for the tests that need one, and small adapters to push."""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from examples.own_registry import OwnRegistry, own_registry
from glulam import Registry

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[OwnRegistry]:
    """`python -m app up`, with its own database, store and worker."""
    # not pytest's folder: it is too deep for the socket of the embedded Postgres
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder, own_registry(Path(folder) / "data") as registry:
        yield registry


@pytest.fixture
def newcomer(server: OwnRegistry) -> tuple[str, str]:
    """A fresh user: name and token."""
    name = f"user{next(numbers)}"
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.admin_token}"}) as admin:
        admin.post("/api/v1/users", json={"name": name}).raise_for_status()
        asked = {"name": "test", "scopes": ["read", "write", "merge"], "user": name}
        return name, admin.post("/api/v1/tokens", json=asked).raise_for_status().json()["token"]


@pytest.fixture
def me(newcomer: tuple[str, str]) -> str:
    """The name of the user that `registry` speaks for."""
    return newcomer[0]


@pytest.fixture
def registry(server: OwnRegistry, newcomer: tuple[str, str]) -> Iterator[Registry]:
    with Registry(server.url, newcomer[1]) as opened:
        yield opened


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a PEFT folder: two modules [6, 8] of rank 2, other values for each name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        random = np.random.default_rng(sum(name.encode()))
        tensors = {}
        for module in ("q_proj", "v_proj"):
            stem = f"base_model.model.model.layers.0.self_attn.{module}"
            tensors[f"{stem}.lora_A.weight"] = random.standard_normal((2, 8), dtype=np.float32)
            tensors[f"{stem}.lora_B.weight"] = random.standard_normal((6, 2), dtype=np.float32)
        save_file(tensors, folder / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}
        config["base_model_name_or_path"] = "acme/base"
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    return make
