"""The client against a real registry."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file

from examples.own_registry import OwnRegistry
from glulam import Conflict, Gone, Malformed, NotFound, PlanRefused, Registry, Unauthenticated
from glulam.merge import events

pytestmark = pytest.mark.slow

Make = Callable[[str], Path]


def delta(folder: Path, module: str) -> np.ndarray:
    """ΔW of a module of a PEFT folder, [out, in], float64."""
    config = json.loads((folder / "adapter_config.json").read_text())
    stem = f"base_model.model.model.layers.0.self_attn.{module}"
    tensors = load_file(folder / "adapter_model.safetensors")
    a, b = (tensors[f"{stem}.lora_{factor}.weight"].astype(np.float64) for factor in "AB")
    rank = config.get("rank_pattern", {}).get(stem.removeprefix("base_model.model."), config["r"])
    alpha = config.get("alpha_pattern", {}).get(stem.removeprefix("base_model.model."), config["lora_alpha"])
    assert rank == a.shape[0]
    product: np.ndarray = alpha / rank * (b @ a)
    return product


def test_a_push_makes_the_repository_and_a_pull_brings_the_same_bytes(
    registry: Registry, me: str, adapter: Make, tmp_path: Path
) -> None:
    folder = adapter("one")
    version = registry.push(f"{me}/one", folder, notes="first")
    assert version.reference == f"{me}/one@1.0.0"
    pulled = registry.pull(f"{me}/one", tmp_path / "pulled")
    for file in version.files:
        assert (pulled / file.path).read_bytes() == (folder / file.path).read_bytes()
    assert json.loads((pulled / "glulam.json").read_text())["version"]["digest"] == version.digest
    assert registry.version(f"{me}/one@{version.digest}") == registry.version(f"{me}/one")


def test_lineage_is_kept_and_a_continued_run_remembers_its_origin(
    registry: Registry, me: str, adapter: Make, tmp_path: Path
) -> None:
    registry.push(f"{me}/instruct", adapter("instruct"))
    dialogue = registry.push(f"{me}/dialogue", adapter("dialogue"), builds_on=[(f"{me}/instruct@1.0.0", 0.5)])
    assert [(parent.reference, parent.weight) for parent in dialogue.builds_on] == [(f"{me}/instruct@1.0.0", 0.5)]
    pulled = registry.pull(dialogue.reference, tmp_path / "pulled")
    (pulled / "adapter_model.safetensors").write_bytes((adapter("later") / "adapter_model.safetensors").read_bytes())
    continued = registry.push(f"{me}/dialogue", pulled)
    assert continued.version == "1.1.0"
    assert continued.initialized_from is not None
    assert continued.initialized_from.reference == dialogue.reference
    assert [parent.reference for parent in continued.builds_on] == [f"{me}/instruct@1.0.0"]
    lineage = registry.lineage(continued.reference)
    assert {lineage.name(edge.parent) for edge in lineage.edges} == {dialogue.reference, f"{me}/instruct@1.0.0"}
    assert [version.version for version in registry.versions(f"{me}/dialogue")] == ["1.1.0", "1.0.0"]


def test_a_merge_is_planned_waited_for_published_and_brought_here(
    registry: Registry, me: str, adapter: Make, tmp_path: Path
) -> None:
    instruct, left, right = adapter("instruct"), adapter("left"), adapter("right")
    registry.push(f"{me}/instruct", instruct)
    registry.push(f"{me}/left", left, builds_on=[f"{me}/instruct@1.0.0"])
    registry.push(f"{me}/right", right, builds_on=[f"{me}/instruct@1.0.0"])
    layers = {f"{me}/left@1.0.0": 1.0, f"{me}/right@1.0.0": 0.5}
    plan = registry.plan(layers)
    assert [member.reference for member in plan.trunk] == [f"{me}/instruct@1.0.0"]
    assert plan.is_exact
    told: list[int] = []
    merge = registry.merge(layers, publish=f"{me}/merged@2.0.0")
    merge.wait(60, progress=lambda name, done, total, unit: told.append(done))
    assert told == sorted(told)
    assert merge.reference == f"{me}/merged@2.0.0"
    folder = merge.download(tmp_path / "merged")
    for module in ("q_proj", "v_proj"):
        expected = delta(instruct, module) + delta(left, module) + 0.5 * delta(right, module)
        np.testing.assert_allclose(delta(folder, module), expected, rtol=0, atol=1e-5)
    published = registry.version(f"{me}/merged@2.0.0")
    assert {(parent.reference, parent.role, parent.weight) for parent in published.merged_from} == {
        (f"{me}/instruct@1.0.0", "trunk", 1.0),
        (f"{me}/left@1.0.0", "branch", 1.0),
        (f"{me}/right@1.0.0", "branch", 0.5),
    }
    again = registry.merge(layers).wait(60)
    assert again.is_cached
    assert [file.digest for file in again.files] == [file.digest for file in merge.files]
    assert registry.merge_of(merge.id).state == "succeeded"
    assert [found.id for found in registry.merges(limit=1)] == [again.id]


def test_the_events_of_a_merge_end_with_its_success(
    registry: Registry, server: OwnRegistry, newcomer: tuple[str, str], adapter: Make
) -> None:
    """`wait` would ask again where events fail; so they are looked at here."""
    name, token = newcomer
    registry.push(f"{name}/one", adapter("one"))
    merge = registry.merge([f"{name}/one@1.0.0"])
    with (
        httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as raw,
        raw.stream("GET", f"/api/v1/merges/{merge.id}/events") as response,
    ):
        assert response.status_code == 200
        told = list(events(response.iter_lines()))
    assert told[-1]["state"] == "succeeded"
    assert told[-1]["progress"]["done"] == told[-1]["progress"]["total"]


def test_an_interrupted_upload_goes_on_with_the_parts_that_are_missing(
    registry: Registry, server: OwnRegistry, newcomer: tuple[str, str], adapter: Make
) -> None:
    name, token = newcomer
    content = random.Random(3).randbytes(20 << 20)
    folder = adapter("large")
    (folder / "notes.bin").write_bytes(content)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as raw:
        begun = raw.post("/api/v1/uploads", json={"digest": digest, "size": len(content)}).raise_for_status().json()
        part_size = begun["part_size"]
        raw.put(begun["parts"][0]["url"], content=content[:part_size]).raise_for_status()
    told: list[int] = []

    def progress(path: str, done: int, total: int, unit: str) -> None:
        if path == "notes.bin":
            told.append(done)

    version = registry.push(f"{name}/large", folder, progress=progress)
    assert told[0] == part_size
    assert told[-1] == len(content)
    assert {file.path: file.digest for file in version.files}["notes.bin"] == digest


def test_aliases_search_tensors_and_deletion(registry: Registry, me: str, adapter: Make, tmp_path: Path) -> None:
    registry.push(f"{me}/one", adapter("one"))
    assert registry.alias(f"{me}/one", "prod", "1.0.0").version == "1.0.0"
    assert [(entry["alias"], entry["version"]) for entry in registry.aliases(f"{me}/one")] == [("prod", "1.0.0")]
    assert registry.version(f"{me}/one@prod").version == "1.0.0"
    assert [found.name for found in registry.search(namespace=me)] == [f"{me}/one"]
    assert {row["rank"] for row in registry.tensors(f"{me}/one")} == {2}
    assert me in registry.whoami().values()
    registry.delete(f"{me}/one@1.0.0")
    with pytest.raises(Gone):
        registry.pull(f"{me}/one@1.0.0", tmp_path / "gone")


def test_refusals_are_exceptions_that_say_why(registry: Registry, server: OwnRegistry, me: str, adapter: Make) -> None:
    folder = adapter("one")
    registry.push(f"{me}/one", folder)
    with pytest.raises(Conflict, match=r"never reused"):
        registry.push(f"{me}/one", folder, version="1.0.0")
    with pytest.raises(NotFound) as missing:
        registry.push(f"{me}/two", folder, builds_on=["nobody/nothing@1.0.0"])
    assert missing.value.type == "parent-not-found"
    assert missing.value.request_id
    with pytest.raises(PlanRefused) as refused:
        registry.plan([f"{me}/one@1.0.0", f"{me}/one@1.0.0"])
    assert refused.value.type == "duplicate-layer"
    with pytest.raises(Malformed):
        registry.merge([f"{me}/one@1.0.0"], method="alchemy")
    with pytest.raises(NotFound):
        registry.version(f"{me}/nothing")
    with Registry(server.url) as stranger, pytest.raises(Unauthenticated):
        stranger.push(f"{me}/one", folder)
    with Registry(server.url, "glu_wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.whoami()
