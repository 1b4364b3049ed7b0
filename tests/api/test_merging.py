"""Merges over REST: refused where they are asked for, shared where they are equal, published as asked."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import numpy as np
from safetensors.numpy import load, save
from sqlalchemy import text

from tests.api.conftest import Registry, User, done, make_adapter, refused

Json = dict[str, Any]


def layers(*asked: str | tuple[str, float]) -> list[Json]:
    return [
        {"adapter": f"alice/{entry}"}
        if isinstance(entry, str)
        else {"adapter": f"alice/{entry[0]}", "weight": entry[1]}
        for entry in asked
    ]


def story(alice: User) -> None:
    """root@1 ← dialogue, root@1.1 ← tools, root@1 (at ½) ← half; other stands on another base."""
    alice.publish("alice/root", make_adapter(1))
    alice.publish("alice/dialogue", make_adapter(2), builds_on=["alice/root@1.0.0"])
    alice.publish("alice/root", make_adapter(3))
    alice.publish("alice/tools", make_adapter(4), builds_on=["alice/root@1.1.0"])
    alice.publish("alice/half", make_adapter(5), builds_on=[{"version": "alice/root@1.0.0", "weight": 0.5}])
    alice.publish("alice/other", make_adapter(6, base="acme/other"))
    alice.publish("alice/wide", make_adapter(7, shape=(24, 32)))
    dora = make_adapter(8, config={"bias": "none", "use_dora": True})
    tensors = load(dora.files["adapter_model.safetensors"])
    for name in [name for name in tensors if name.endswith("lora_B.weight")]:
        magnitude = name.replace("lora_B.weight", "lora_magnitude_vector")
        tensors[magnitude] = np.ones(24, np.float32)
    alice.publish("alice/dora", dora.files | {"adapter_model.safetensors": save(tensors)})
    alice.publish("alice/pissa", make_adapter(11, config={"init_lora_weights": "pissa"}))


def test_every_refusal_has_its_own_type_and_shows_its_paths(registry: Registry) -> None:
    alice = registry.user("alice")
    story(alice)
    alice.repository("model", kind="model")
    alice.publish("alice/model", base_model())
    alice.repository("mix")
    merged = registry.merge(alice, {"layers": layers("dialogue@1.0.0"), "publish": {"repository": "alice/mix"}})
    assert merged["state"] == "succeeded", merged
    cases: dict[str, Json] = {
        "duplicate-layer": {"layers": layers("root@1.0.0", ("root@1.0.0", 0.5))},
        "version-conflict": {"layers": layers("dialogue@1.0.0", "tools@1.0.0")},
        "overlapping-contents": {"layers": layers("mix@1.0.0", "dialogue@1.0.0")},
        "edge-weight-conflict": {"layers": layers("dialogue@1.0.0", "half@1.0.0")},
        "base-model-mismatch": {"layers": layers("root@1.0.0", "other@1.0.0")},
        "shape-mismatch": {"layers": layers("root@1.0.0", "wide@1.0.0")},
        "unsupported-feature": {"layers": layers("pissa@1.0.0")},
        "base-needed": {"layers": layers("dora@1.0.0")},
        "not-an-adapter": {"layers": layers("model@1.0.0")},
        "base-not-stored": {"layers": layers("root@1.0.0"), "output": {"kind": "model"}},
        "trunk-not-referable": {"layers": layers("dialogue@1.0.0", "root@1.0.0", "deep@1.0.0"), "output": {"trunk": "referenced"}},
    }  # fmt: skip
    # a trunk member that stands on a branch
    alice.publish("alice/middle", make_adapter(9), builds_on=["alice/dialogue@1.0.0"])
    alice.publish("alice/deep", make_adapter(10), builds_on=["alice/middle@1.0.0"])
    found = {}
    for name, recipe in cases.items():
        for path in ("/merges/plan", "/merges"):
            body = refused(alice.post(path, recipe), 409, name)
            found[name] = body
    assert registry.rows("merge_executions") == 1
    assert found["duplicate-layer"]["layers"] == [0, 1]
    assert {tuple(path) for path in found["version-conflict"]["paths"]} == {
        ("alice/dialogue@1.0.0", "alice/root@1.0.0"),
        ("alice/tools@1.0.0", "alice/root@1.1.0"),
    }
    assert found["edge-weight-conflict"]["weights"] == [0.5, 1.0]
    body = refused(
        alice.post("/merges", {"layers": layers("root@1.0.0"), "method": {"name": "sorcery"}}), 422, "unknown-method"
    )
    assert body["pointer"] == "/method/name"
    assert (
        refused(alice.post("/merges", {"layers": layers("nobody@1.0.0")}), 404, "not-found")["pointer"]
        == "/layers/0/adapter"
    )
    pins: Json = {"layers": layers("dialogue@1.0.0"), "conflicts": {"alice/root": "9.0.0"}}
    assert refused(alice.post("/merges", pins), 404, "not-found")["pointer"] == "/conflicts/alice~1root"
    pins = {"layers": layers("root@1.0.0"), "conflicts": {"alice/root": "1.1.0"}}
    refused(alice.post("/merges", pins), 422, "pin-contradicts-layer")
    target: Json = {"layers": layers("dialogue@1.0.0"), "publish": {"repository": "alice/model"}}
    refused(alice.post("/merges", target), 409, "not-an-adapter")
    refused(alice.post("/merges", {**target, "publish": {"repository": "alice/nowhere"}}), 404, "not-found")
    refused(registry.user("bob").post("/merges", {**target, "publish": {"repository": "alice/mix"}}), 403, "forbidden")


def test_a_pin_decides_and_covered_leaves_out_what_is_held_already(registry: Registry) -> None:
    alice = registry.user("alice")
    story(alice)
    pinned = {"layers": layers("dialogue@1.0.0", "tools@1.0.0"), "conflicts": {"alice/root": "1.1.0"}}
    plan = done(alice.post("/merges/plan", pinned))
    assert [member["reference"] for member in plan["trunk"]] == ["alice/root@1.1.0"]
    (substitution,) = plan["substitutions"]
    assert (substitution["from"], substitution["to"]) == ("alice/root@1.0.0", "alice/root@1.1.0")
    alice.repository("mix")
    registry.merge(alice, {"layers": layers("root@1.0.0"), "publish": {"repository": "alice/mix"}})
    both: Json = {"layers": layers("mix@1.0.0", "dialogue@1.0.0")}
    refused(alice.post("/merges/plan", both), 409, "overlapping-contents")
    covered = done(alice.post("/merges/plan", {**both, "overlaps": "covered"}))
    assert [member["reference"] for member in covered["covered"]] == ["alice/root@1.0.0"]
    allowed = done(alice.post("/merges/plan", {**both, "overlaps": "allow"}))
    assert [warning["name"] for warning in allowed["warnings"]].count("overlapping-contents") == 1


def test_ten_that_ask_at_once_are_served_by_one_execution(registry: Registry) -> None:
    users = [registry.user(f"user{number}") for number in range(10)]
    users[0].publish("user0/one", make_adapter(1))
    recipe = {"layers": [{"adapter": "user0/one@1.0.0", "weight": 0.5}]}
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda user: user.post("/merges", recipe), users))
    assert [answer.status_code for answer in answers] == [202] * 10
    assert registry.rows("merge_executions") == 1
    ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 10
    # nine withdraw: the tenth is served
    for user, id in zip(users[:9], ids[:9], strict=True):
        assert user.delete(f"/merges/{id}").status_code == 204
        assert done(user.get(f"/merges/{id}"))["state"] == "cancelled"
    assert registry.work() == 1
    assert done(users[9].get(f"/merges/{ids[9]}"))["state"] == "succeeded"
    assert done(users[0].get(f"/merges/{ids[0]}"))["state"] == "cancelled"
    refused(users[0].get(f"/merges/{ids[0]}/files/adapter_model.safetensors"), 409, "not-finished")
    refused(users[0].get(f"/merges/{ids[9]}"), 404, "not-found")


def test_when_all_withdraw_nothing_runs_and_asking_again_begins_anew(registry: Registry) -> None:
    alice, bob = registry.user("alice"), registry.user("bob")
    alice.publish("alice/one", make_adapter(1))
    recipe = {"layers": layers(("one@1.0.0", 2.0))}
    ids = {user.name: done(user.post("/merges", recipe), 202)["id"] for user in (alice, bob)}
    for user, id in ((alice, ids["alice"]), (bob, ids["bob"])):
        assert user.delete(f"/merges/{id}").status_code == 204
    registry.work()
    assert done(alice.get(f"/merges/{ids['alice']}"))["state"] == "cancelled"
    merge = registry.merge(alice, recipe)
    assert merge["state"] == "succeeded"
    assert registry.rows("merge_executions") == 2
    # what has ended stays as it ended
    assert alice.delete(f"/merges/{merge['id']}").status_code == 204
    assert done(alice.get(f"/merges/{merge['id']}"))["state"] == "succeeded"


def test_a_finished_recipe_is_published_at_once_and_the_same_content_is_no_new_version(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    for name in ("mix", "more"):
        alice.repository(name)
    recipe: Json = {"layers": layers(("one@1.0.0", 0.5))}
    first = registry.merge(alice, {**recipe, "publish": {"repository": "alice/mix"}})
    assert first["result"]["reference"] == "alice/mix@1.0.0"
    again = done(alice.post("/merges", {**recipe, "publish": {"repository": "alice/mix"}}))
    assert again["cached"]
    assert again["result"]["reference"] == "alice/mix@1.0.0"
    other = done(alice.post("/merges", {**recipe, "publish": {"repository": "alice/more", "version": "2.0.0"}}))
    assert other["result"]["reference"] == "alice/more@2.0.0"
    taken: Json = {**recipe, "publish": {"repository": "alice/mix", "version": "1.0.0"}}
    alice.publish("alice/mix", make_adapter(2))
    refused(
        alice.post("/merges", {"layers": layers(("one@1.0.0", 3.0)), "publish": taken["publish"]}),
        409,
        "version-exists",
    )
    assert registry.rows("merge_executions") == 1
    for merge in (first, again, other):
        created, started, finished = (
            datetime.fromisoformat(merge[key]) for key in ("created_at", "started_at", "finished_at")
        )
        assert created <= started <= finished


def test_a_merge_whose_number_was_taken_meanwhile_says_so(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    alice.repository("mix")
    publish = {"repository": "alice/mix", "version": "1.0.0"}
    asked = done(alice.post("/merges", {"layers": layers(("one@1.0.0", 0.5)), "publish": publish}), 202)
    alice.publish("alice/mix", make_adapter(2))
    registry.work()
    merge = done(alice.get(f"/merges/{asked['id']}"))
    assert merge["state"] == "failed"
    assert merge["result"] is None
    assert (merge["error"]["type"], merge["error"]["status"]) == ("/problems/version-exists", 409)


def test_a_merge_that_fails_says_why_and_runs_again_when_asked_again(registry: Registry) -> None:
    alice = registry.user("alice")
    huge = make_adapter(1)
    tensors = load(huge.files["adapter_model.safetensors"])
    scaled = {name: (value * np.float32(1e18)) for name, value in tensors.items()}
    alice.publish("alice/one", huge.files | {"adapter_model.safetensors": save(scaled)})
    recipe: Json = {"layers": layers("one@1.0.0"), "output": {"dtype": "float16"}}
    for count in (1, 2):
        merge = registry.merge(alice, recipe)
        assert merge["state"] == "failed"
        assert merge["error"]["type"] == "/problems/result-overflow"
        assert merge["error"]["dtype"] == "float16"
        assert merge["cached"] is False
        assert registry.rows("merge_executions") == count


def test_events_tell_states_and_progress_until_the_end(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    merge = registry.merge(alice, {"layers": layers(("one@1.0.0", 0.5))})
    answer = alice.get(f"/merges/{merge['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.strip().split("\n\n")]
    assert [event["event"] for event in events] == ["state"]
    news = json.loads(events[-1]["data"])
    assert news["state"] == "succeeded"
    assert news["progress"]["done"] == news["progress"]["total"] > 0
    cancelled = done(alice.post("/merges", {"layers": layers(("one@1.0.0", 0.25))}), 202)
    alice.delete(f"/merges/{cancelled['id']}")
    assert '"state": "cancelled"' in alice.get(f"/merges/{cancelled['id']}/events").text


def base_model(seed: int = 20) -> dict[str, bytes]:
    """A checkpoint in two shards with the modules that the adapters change."""
    random = np.random.default_rng(seed)
    modules = {
        f"model.layers.0.{name}.weight": random.standard_normal((24, 16)).astype(np.float32)
        for name in ("q_proj", "v_proj", "k_proj")
    }
    config = {"architectures": ["TinyForCausalLM"], "model_type": "tiny", "tie_word_embeddings": False}
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    shards = {names[0]: dict(list(modules.items())[:2]), names[1]: dict(list(modules.items())[2:])}
    index = {tensor: shard for shard, held in shards.items() for tensor in held}
    total = sum(value.nbytes for value in modules.values())
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors.index.json": json.dumps({"metadata": {"total_size": total}, "weight_map": index}).encode(),
        **{shard: save(held) for shard, held in shards.items()},
    }


def test_a_model_is_the_base_and_the_trunk_and_the_branches(registry: Registry) -> None:
    alice = registry.user("alice")
    done(alice.post("/organizations", {"name": "acme"}), 201)
    alice.repository("acme/tiny", kind="model")
    files = base_model()
    published = alice.publish("acme/tiny", files)
    assert published["model"]["weight_files"] == 2
    assert published["adapter"] is None
    root, dialogue = make_adapter(1), make_adapter(2)
    alice.publish("alice/root", root)
    alice.publish("alice/dialogue", dialogue, builds_on=["alice/root@1.0.0"])
    alice.repository("chat", kind="model")
    merge = registry.merge(
        alice,
        {
            "layers": layers(("dialogue@1.0.0", 0.5)),
            "output": {"kind": "model"},
            "publish": {"repository": "alice/chat"},
        },
    )
    assert merge["state"] == "succeeded", merge
    assert merge["plan"]["base"] == "acme/tiny@1.0.0"
    version = done(alice.get("/repositories/alice/chat/versions/1.0.0"))
    assert {(p["reference"], p["role"], p["weight"]) for p in version["merged_from"]} == {
        ("acme/tiny@1.0.0", "base", 1.0),
        ("alice/root@1.0.0", "trunk", 1.0),
        ("alice/dialogue@1.0.0", "branch", 0.5),
    }
    before = {k: v for path, data in files.items() if path.endswith(".safetensors") for k, v in load(data).items()}
    after: dict[str, Any] = {}
    for file in version["files"]:
        if file["path"].endswith(".safetensors"):
            after |= load(alice.get(f"/repositories/alice/chat/versions/1.0.0/files/{file['path']}").content)
    assert after.keys() == before.keys()
    for name, value in before.items():
        module = name.removesuffix(".weight")
        delta = root.deltas.get(module, 0.0) + 0.5 * dialogue.deltas.get(module, 0.0)
        assert np.abs(after[name] - (value + delta)).max() <= 1e-5


def test_truncated_outputs_report_what_they_kept(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    alice.publish("alice/two", make_adapter(2))
    for rank, most in ((2, 2), ({"energy": 0.9}, 8), ({"default": 2, "modules": {"q_proj": 3}}, 3)):
        recipe: Json = {"layers": layers("one@1.0.0", "two@1.0.0"), "output": {"rank": rank}}
        plan = done(alice.post("/merges/plan", recipe))
        assert plan["exact"] is False
        assert plan["rank"]["max"] == most
        merge = registry.merge(alice, recipe)
        assert merge["state"] == "succeeded", merge
        assert 0 < merge["report"]["energy_kept"] <= 1
        assert merge["report"]["per_module"].keys() == {"model.layers.0.q_proj", "model.layers.0.v_proj"}
        assert done(alice.get(f"/merges/{merge['id']}"))["recipe"]["output"]["rank"] == rank
        weights = alice.get(f"/merges/{merge['id']}/files/adapter_model.safetensors").content
        ranks = {value.shape[0] for name, value in load(weights).items() if "lora_A" in name}
        assert max(ranks) <= most


def test_a_referenced_trunk_is_built_on_and_not_copied(registry: Registry) -> None:
    alice = registry.user("alice")
    root, dialogue = make_adapter(1), make_adapter(2)
    alice.publish("alice/root", root)
    alice.publish("alice/dialogue", dialogue, builds_on=["alice/root@1.0.0"])
    alice.repository("chat")
    recipe: Json = {
        "layers": layers("dialogue@1.0.0"),
        "output": {"trunk": "referenced"},
        "publish": {"repository": "alice/chat"},
    }
    merge = registry.merge(alice, recipe)
    assert merge["state"] == "succeeded", merge
    version = done(alice.get("/repositories/alice/chat/versions/1.0.0"))
    assert [(p["reference"], p["weight"]) for p in version["builds_on"]] == [("alice/root@1.0.0", 1.0)]
    assert [p["reference"] for p in version["merged_from"]] == ["alice/dialogue@1.0.0"]
    # pulled into another merge it brings its trunk along
    plan = done(alice.post("/merges/plan", {"layers": layers("chat@1.0.0")}))
    assert [member["reference"] for member in plan["trunk"]] == ["alice/root@1.0.0"]
    # a result that holds the branch alone follows the branch, and not the trunk that it only names
    done(alice.patch("/repositories/alice/root", {"visibility": "private"}))
    shown = done(registry.user("bob").get("/repositories/alice/chat/versions/1.0.0"))
    assert shown["builds_on"] == [{"id": "hidden-1", "hidden": True, "weight": 1.0}]


def test_the_files_of_an_evicted_result_are_gone_and_asking_again_merges_again(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/one", make_adapter(1))
    recipe: Json = {"layers": layers(("one@1.0.0", 0.5))}
    merge = registry.merge(alice, recipe)
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE merge_executions SET evicted_at = now()"))
    refused(alice.get(f"/merges/{merge['id']}/archive.tar"), 410, "result-evicted")
    again = registry.merge(alice, recipe)
    assert (again["state"], again["cached"]) == ("succeeded", False)
    assert alice.get(f"/merges/{again['id']}/archive.tar").status_code == 200
