"""Adapters that are more than a product of factors, from publication to the merged files over REST."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from tests.api.conftest import Registry, User, done, make_adapter, refused

Values = NDArray[np.float64]
query, value = "model.layers.0.q_proj", "model.layers.0.v_proj"


def dora(before: Values, delta: Values, magnitude: Values) -> Values:
    trained = before + delta
    rows: Values = magnitude[:, None] * trained / np.linalg.norm(trained, axis=1, keepdims=True)
    return rows


def published_base(alice: User) -> dict[str, Values]:
    random = np.random.default_rng(20)
    weights = {f"{name}.weight": random.standard_normal((24, 16)).astype(np.float32) for name in (query, value)}
    done(alice.post("/organizations", {"name": "acme"}), 201)
    alice.repository("acme/tiny", kind="model")
    config = {"architectures": ["TinyForCausalLM"], "model_type": "tiny", "tie_word_embeddings": False}
    alice.publish("acme/tiny", {"config.json": json.dumps(config).encode(), "model.safetensors": save(weights)})
    return {name: weight.astype(np.float64) for name, weight in weights.items()}


def with_kinds(seed: int) -> tuple[dict[str, bytes], Values, Values, Values]:
    """Files of an adapter with DoRA on the query that saves the value; and its delta, its magnitudes and what it saves."""
    made = make_adapter(seed, modules=[query], config={"use_dora": True, "modules_to_save": ["v_proj"]})
    random = np.random.default_rng(100 + seed)
    magnitude = random.uniform(1, 2, 24).astype(np.float32)
    saved = random.standard_normal((24, 16)).astype(np.float32)
    tensors = load(made.files["adapter_model.safetensors"])
    tensors[f"base_model.model.{query}.lora_magnitude_vector"] = magnitude
    tensors[f"base_model.model.{value}.weight"] = saved
    files = made.files | {"adapter_model.safetensors": save(tensors)}
    return files, made.deltas[query], magnitude.astype(np.float64), saved.astype(np.float64)


def merged_tensors(alice: User, merged: dict[str, Any], path: str) -> dict[str, Any]:
    assert merged["state"] == "succeeded", merged
    return load(alice.get(f"/merges/{merged['id']}/files/{path}").content)


def test_a_chain_of_dora_and_saved_modules_is_what_its_last_member_was_trained_to_be(registry: Registry) -> None:
    alice = registry.user("alice")
    base = published_base(alice)
    root, root_delta, root_lengths, _ = with_kinds(1)
    top, top_delta, top_lengths, top_saved = with_kinds(2)
    alice.repository("root")
    alice.repository("top")
    alice.publish("alice/root", root)
    version = alice.publish("alice/top", top, builds_on=["alice/root@1.0.0"])
    assert (version["adapter"]["unsupported"], version["adapter"]["use_dora"]) == ([], True)
    assert version["adapter"]["features"] == ["dora", "modules_to_save"]
    module, replacement = done(alice.get("/repositories/alice/top/versions/1.0.0/tensors"))["items"]
    assert sorted(module["tensors"]) == ["A", "B", "magnitude"]
    assert (replacement["replaces"], replacement["kind"], replacement["rows"]) == (
        f"{value}.weight",
        "modules_to_save",
        None,
    )
    recipe: dict[str, Any] = {"layers": [{"adapter": "alice/top@1.0.0"}], "output": {"kind": "model", "dtype": None}}
    plan = done(alice.post("/merges/plan", recipe))
    assert (len(plan["trunk"]), plan["modules"], plan["exact"]) == (1, 2, True)
    found = merged_tensors(alice, registry.merge(alice, recipe), "model.safetensors")
    trained = dora(base[f"{query}.weight"], root_delta, root_lengths)
    trained = dora(trained, top_delta, top_lengths)
    assert np.abs(found[f"{query}.weight"] - trained).max() <= 1e-6
    assert np.array_equal(found[f"{value}.weight"], top_saved.astype(np.float32))
    # a half of the second's change on what it stands on, and all of the first's
    half = registry.merge(alice, recipe | {"layers": [{"adapter": "alice/top@1.0.0", "weight": 0.5}]})
    found = merged_tensors(alice, half, "model.safetensors")
    first = dora(base[f"{query}.weight"], root_delta, root_lengths)
    assert np.abs(found[f"{query}.weight"] - (first + 0.5 * (trained - first))).max() <= 1e-6
    body = refused(alice.post("/merges/plan", {"layers": recipe["layers"]}), 409, "base-needed")
    assert (body["feature"], body["reference"], body["tensor"]) == (
        "dora",
        "alice/root@1.0.0",
        f"{query}.weight",
    )


def test_a_saved_module_goes_into_an_adapter_and_is_published(registry: Registry) -> None:
    alice = registry.user("alice")
    saved = np.random.default_rng(5).standard_normal((24, 16)).astype(np.float32)
    for name, seed in (("head", 1), ("other", 2), ("plain", 3)):
        made = make_adapter(seed, modules=[query], config={} if name == "plain" else {"modules_to_save": ["v_proj"]})
        files = made.files
        if name != "plain":
            tensors = load(files["adapter_model.safetensors"])
            tensors[f"base_model.model.{value}.weight"] = saved + seed
            files = files | {"adapter_model.safetensors": save(tensors)}
        alice.repository(name)
        alice.publish(f"alice/{name}", files)
    alice.repository("mix")
    layers = [{"adapter": "alice/head@1.0.0"}, {"adapter": "alice/plain@1.0.0", "weight": 0.5}]
    merged = registry.merge(alice, {"layers": layers, "publish": {"repository": "alice/mix"}})
    found = merged_tensors(alice, merged, "adapter_model.safetensors")
    assert np.array_equal(found[f"base_model.model.{value}.weight"], saved + 1)
    assert merged["report"]["replaced_tensors"] == [f"{value}.weight"]
    # what was merged is an adapter like any other
    again = registry.merge(alice, {"layers": [{"adapter": "alice/mix@1.0.0"}]})
    assert np.array_equal(
        merged_tensors(alice, again, "adapter_model.safetensors")[f"base_model.model.{value}.weight"], saved + 1
    )
    strangers = [{"adapter": "alice/head@1.0.0"}, {"adapter": "alice/other@1.0.0"}]
    body = refused(alice.post("/merges", {"layers": strangers}), 409, "replacement-conflict")
    assert set(body["versions"]) == {"alice/head@1.0.0", "alice/other@1.0.0"}
    assert body["tensor"] == f"{value}.weight"
