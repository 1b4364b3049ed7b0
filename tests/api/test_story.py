"""The main job, over REST: publish, trace, merge, pull."""

import io
import json
import tarfile

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from app.settings import Settings
from tests.api.conftest import Registry, done, make_adapter, refused, with_s3
from tests.s3server.server import S3Server


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Every test here on either store."""
    if request.param == "file":
        return settings
    server: S3Server = request.getfixturevalue("s3_server")
    return with_s3(settings, server)


def delta_of(weights: bytes, config: bytes, module: str) -> NDArray[np.float64]:
    """What a saved adapter adds to one module, in float64."""
    tensors, values = load(weights), json.loads(config)
    a = tensors[f"base_model.model.{module}.lora_A.weight"].astype(np.float64)
    b = tensors[f"base_model.model.{module}.lora_B.weight"].astype(np.float64)
    rank = values.get("rank_pattern", {}).get(module, values["r"])
    alpha = values.get("alpha_pattern", {}).get(module, values["lora_alpha"])
    assert a.shape[0] == rank
    delta: NDArray[np.float64] = (alpha / rank) * (b @ a)
    return delta


def test_two_branches_on_one_trunk_merge_to_the_sum_with_the_trunk_counted_once(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    instruct, dialogue, tools = make_adapter(1), make_adapter(2, rank=3), make_adapter(3, rank=8, alpha=4)
    alice.publish("alice/instruct", instruct)
    bob.publish("bob/dialogue", dialogue, builds_on=["alice/instruct@1.0.0"])
    bob.publish("bob/tools", tools, builds_on=["alice/instruct@1.0.0"])
    recipe = {"layers": [{"adapter": "bob/dialogue@1.0.0"}, {"adapter": "bob/tools@1.0.0", "weight": 0.5}]}

    plan = done(bob.post("/merges/plan", recipe))
    assert [member["reference"] for member in plan["trunk"]] == ["alice/instruct@1.0.0"]
    assert plan["rank"] == {"min": 15, "max": 15}
    assert plan["exact"] is True

    response = bob.post("/merges", {**recipe, "publish": {"repository": "bob/chat"}})
    refused(response, 404, "not-found")
    bob.repository("chat")
    response = bob.post("/merges", {**recipe, "publish": {"repository": "bob/chat"}})
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/merges/{response.json()['id']}"
    assert registry.work() == 1
    merge = done(bob.get(f"/merges/{response.json()['id']}"))
    assert merge["state"] == "succeeded", merge
    assert merge["result"]["reference"] == "bob/chat@1.0.0"

    files = {
        path: bob.get(f"/merges/{merge['id']}/files/{path}").content
        for path in ("adapter_config.json", "adapter_model.safetensors")
    }
    for module in instruct.deltas:
        expected = instruct.deltas[module] + dialogue.deltas[module] + 0.5 * tools.deltas[module]
        found = delta_of(files["adapter_model.safetensors"], files["adapter_config.json"], module)
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()

    published = done(bob.get("/repositories/bob/chat/versions/1.0.0"))
    assert {(e["reference"], e["role"], e["weight"]) for e in published["merged_from"]} == {
        ("alice/instruct@1.0.0", "trunk", 1.0),
        ("bob/dialogue@1.0.0", "branch", 1.0),
        ("bob/tools@1.0.0", "branch", 0.5),
    }
    archive = bob.get("/repositories/bob/chat/versions/1.0.0/archive.tar")
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        inside = {member.name.partition("/")[2]: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]  # files only
    assert inside == files

    lineage = done(bob.get("/repositories/bob/chat/versions/1.0.0/lineage", params={"direction": "ancestors"}))
    assert {node["reference"] for node in lineage["nodes"]} == {
        "bob/chat@1.0.0",
        "bob/dialogue@1.0.0",
        "bob/tools@1.0.0",
        "alice/instruct@1.0.0",
    }


def test_the_same_recipe_is_executed_once_and_answered_from_what_is_there(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/one", make_adapter(1))
    alice.publish("alice/two", make_adapter(2))
    recipe = {"layers": [{"adapter": "alice/one@1.0.0"}, {"adapter": "alice/two@1.0.0"}], "output": {"rank": 3}}
    first = registry.merge(alice, recipe)
    assert first["state"] == "succeeded", first
    assert first["cached"] is False
    again = alice.post("/merges", recipe)
    assert again.status_code == 200
    assert again.json()["cached"] is True
    # that somebody else asked before is never visible
    other = bob.post("/merges", recipe)
    assert other.status_code == 202
    assert other.json()["cached"] is False
    assert other.json()["state"] == "queued"
    assert done(bob.get(f"/merges/{other.json()['id']}"))["state"] == "succeeded"
    assert registry.work() == 0
    assert registry.rows("merge_executions") == 1


def test_a_merge_can_be_watched_until_it_ends(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    merge = registry.merge(alice, {"layers": [{"adapter": "alice/one@1.0.0"}]})
    news = alice.get(f"/merges/{merge['id']}/events")
    assert news.status_code == 200
    assert news.headers["content-type"].startswith("text/event-stream")
    assert news.text.startswith("event: state\n")
    told = json.loads(news.text.split("data: ", 1)[1].split("\n", 1)[0])
    assert told["state"] == "succeeded"
    assert told["progress"]["done"] == told["progress"]["total"] == 2


def test_a_file_is_found_by_its_hash(registry: Registry) -> None:
    alice = registry.user("alice")
    adapter = make_adapter(1)
    published = alice.publish("alice/one", adapter)
    digest = next(file["digest"] for file in published["files"] if file["path"] == "adapter_model.safetensors")
    for text in (digest, digest.removeprefix("sha256:")):
        found = done(alice.get(f"/lookup/{text}"))["items"]
        assert [(item["reference"], item["path"]) for item in found] == [
            ("alice/one@1.0.0", "adapter_model.safetensors")
        ]
