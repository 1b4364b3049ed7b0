"""Adapters as results: what PEFT loads is the float64 sum."""

import copy
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from peft.utils.other import get_pattern_key

from app.domain.lineage import Role
from app.domain.recipe import Dtype, Energy, Method, Output, Trunk
from app.errors import ResultOverflow, ShapeMismatch, UnknownMethod, UnsupportedFeature
from app.kernel import reference
from app.worker.adapter_config import rank_patterns
from app.worker.execution import execute
from app.worker.stacks import MemberFiles
from tests.worker.made import (
    Bench,
    MadeAdapter,
    loaded_deltas,
    logits_of,
    make_adapter,
    sum_of,
    tensors_of,
    tiny_gpt2,
    tiny_llama,
    with_deltas,
)

Weighted = list[tuple[MadeAdapter, float]]


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture
def base() -> Any:
    return tiny_llama()


@pytest.fixture
def story(base: Any, bench: Bench) -> Weighted:
    """Adapters of different ranks, scalings and modules."""
    made = [
        make_adapter(base, bench.store, bench.folder / "a", 1, task_type="CAUSAL_LM"),
        make_adapter(
            base,
            bench.store,
            bench.folder / "b",
            2,
            r=8,
            use_rslora=True,
            target_modules=["q_proj", "down_proj", "lm_head"],
            task_type="CAUSAL_LM",
        ),
        make_adapter(
            base,
            bench.store,
            bench.folder / "c",
            3,
            r=3,
            rank_pattern={"layers.1.self_attn.v_proj": 1},
            alpha_pattern={"v_proj": 5},
            task_type="CAUSAL_LM",
        ),
    ]
    return list(zip(made, [1.0, -0.7, 0.4], strict=True))


def run(bench: Bench, weighted: Weighted, output: Output, name: str = "result") -> Path:
    members = [bench.member(adapter.files, weight) for adapter, weight in weighted]
    return bench.saved(bench.run(members, output), name)


def test_an_exact_adapter_is_the_weighted_sum_for_peft(base: Any, bench: Bench, story: Weighted) -> None:
    model, deltas = loaded_deltas(base, run(bench, story, Output()))
    expected = sum_of(story)
    assert deltas.keys() == expected.keys()
    for name, delta in deltas.items():
        assert relative_error(delta, expected[name]) <= 1e-6
    difference = logits_of(model).double() - logits_of(with_deltas(base, expected))
    assert float(difference.abs().max()) <= 1e-5


def test_an_exact_adapter_is_what_peft_concatenates_itself(base: Any, bench: Bench, story: Weighted) -> None:
    """peft 0.21.2, add_weighted_adapter(combination_type="cat"); its rank bookkeeping fails on patterns and rsLoRA."""
    plain = [(story[0][0], 0.5), (make_adapter(base, bench.store, bench.folder / "d", 4, r=8), -1.5)]
    model = PeftModel.from_pretrained(copy.deepcopy(base), plain[0][0].folder, adapter_name="one")
    model.load_adapter(plain[1][0].folder, adapter_name="two")
    model.add_weighted_adapter(["one", "two"], [0.5, -1.5], "cat", combination_type="cat")
    model.set_adapter("cat")
    ours, _ = loaded_deltas(base, run(bench, plain, Output()))
    assert torch.allclose(logits_of(ours), logits_of(model), rtol=0, atol=1e-5)


def test_gpt2_takes_transposed_weights_and_embeddings(bench: Bench) -> None:
    base = tiny_gpt2()
    modules = ["c_attn", "mlp.c_proj", "wte"]
    weighted = [
        (make_adapter(base, bench.store, bench.folder / str(seed), seed, r=seed, target_modules=modules), weight)
        for seed, weight in [(2, 1.0), (5, -0.5)]
    ]
    model, deltas = loaded_deltas(base, run(bench, weighted, Output()))
    expected = sum_of(weighted)
    assert deltas.keys() == expected.keys()
    for name, delta in deltas.items():
        assert relative_error(delta, expected[name]) <= 1e-6
    assert logits_of(model).isfinite().all()


def test_names_and_order_in_the_file_are_peft_s_own(base: Any, bench: Bench, story: Weighted) -> None:
    folder = run(bench, story[:1], Output())
    own = tensors_of(story[0][0].folder)
    found = tensors_of(folder)
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in own.items()}
    text = (folder / "adapter_model.safetensors").read_bytes()
    header = json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")])
    assert header.pop("__metadata__") == {"format": "pt"}
    assert list(header) == sorted(header)
    assert int.from_bytes(text[:8], "little") % 8 == 0


def test_one_adapter_at_its_own_scaling_of_one_comes_back_bit_for_bit(base: Any, bench: Bench) -> None:
    adapter = make_adapter(base, bench.store, bench.folder / "a", 1, r=4, lora_alpha=4)
    folder = run(bench, [(adapter, 1.0)], Output())
    own = tensors_of(adapter.folder)
    assert all(torch.equal(value, own[name]) for name, value in tensors_of(folder).items())


def test_the_config_says_what_the_plan_says(bench: Bench, story: Weighted) -> None:
    members = [bench.member(adapter.files, weight) for adapter, weight in story]
    plan = replace(bench.plan(members, Output()), task_type="CAUSAL_LM")
    made = execute(plan, bench.files, None, bench.store, "cpu", lambda done, total, unit: None)
    config = json.loads((bench.saved(made) / "adapter_config.json").read_bytes())
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == "org/base"
    assert config["revision"] == "abc"
    assert (config["use_rslora"], config["inference_mode"]) == (False, True)
    assert config["lora_alpha"] == config["r"]
    assert config["alpha_pattern"] == config["rank_pattern"]


def test_the_order_of_the_layers_and_the_threads_change_no_byte(bench: Bench, story: Weighted) -> None:
    threads_before = torch.get_num_threads()
    digests = set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for rank in (None, 3, Energy(0.8)):
                shuffled = random.sample(story, len(story))
                members = [bench.member(adapter.files, weight) for adapter, weight in shuffled]
                members[0] = replace(members[0], role=Role.TRUNK)
                digests.add((str(rank), bench.run(members, Output(rank=rank)).files))
    finally:
        torch.set_num_threads(threads_before)
    assert len(digests) == 3


def test_a_weight_of_zero_stays_in_the_file_and_adds_nothing(base: Any, bench: Bench, story: Weighted) -> None:
    silenced = [story[0], (story[1][0], 0.0), story[2]]
    _, deltas = loaded_deltas(base, run(bench, silenced, Output()))
    expected = sum_of(silenced)
    for name, delta in deltas.items():
        assert float((delta - expected[name]).norm()) <= 1e-6 * float(expected[name].norm())


def test_a_referenced_trunk_is_left_to_its_reader(base: Any, bench: Bench, story: Weighted) -> None:
    trunk = bench.member(story[0][0].files, 1.0, Role.TRUNK)
    branch = bench.member(story[1][0].files, 0.5)
    folder = bench.saved(bench.run([trunk, branch], Output(trunk=Trunk.REFERENCED)))
    _, deltas = loaded_deltas(base, folder)
    expected = sum_of([(story[1][0], 0.5)])
    assert deltas.keys() == expected.keys()
    assert all(relative_error(delta, expected[name]) <= 1e-6 for name, delta in deltas.items())


@pytest.mark.parametrize("rank", [1, 4, 100, Energy(0.5), Energy(0.95), Energy(1.0)])
def test_a_truncated_adapter_has_the_optimal_error(
    base: Any, bench: Bench, story: Weighted, rank: int | Energy
) -> None:
    members = [bench.member(adapter.files, weight) for adapter, weight in story]
    execution = bench.run(members, Output(rank=rank))
    model, deltas = loaded_deltas(base, bench.saved(execution))
    expected = sum_of(story)
    report = execution.report.values
    kept = total = 0.0
    for name, delta in expected.items():
        target = {"rank": rank} if isinstance(rank, int) else {"energy": rank.energy}
        best = reference.truncate(delta, **target)
        optimal, error = float((best.delta - delta).norm()), float((deltas[name] - delta).norm())
        assert error <= optimal * (1 + 1e-6) + 1e-6 * float(delta.norm())
        facts = report["per_module"][name]
        assert facts["energy_kept"] == pytest.approx(best.energy_kept, abs=1e-9)
        if isinstance(rank, Energy):
            assert facts["rank"] == best.rank
        kept += float(best.delta.norm() ** 2)
        total += float(delta.norm() ** 2)
    assert report["energy_kept"] == pytest.approx(kept / total, abs=1e-9)
    assert report["rank"] == {
        "min": min(facts["rank"] for facts in report["per_module"].values()),
        "max": max(facts["rank"] for facts in report["per_module"].values()),
    }
    difference = logits_of(model).double() - logits_of(with_deltas(base, deltas))
    assert float(difference.abs().max()) <= 1e-5


@pytest.mark.parametrize("dtype", [Dtype.BFLOAT16, Dtype.FLOAT16])
@pytest.mark.parametrize("rank", [None, 4])
def test_16_bits_are_rounded_once(bench: Bench, story: Weighted, dtype: Dtype, rank: int | None) -> None:
    wide = tensors_of(run(bench, story, Output(rank=rank, dtype=Dtype.FLOAT32), "wide"))
    narrow = tensors_of(run(bench, story, Output(rank=rank, dtype=dtype), "narrow"))
    torch_dtype = getattr(torch, dtype.value)
    for name, value in narrow.items():
        assert value.dtype is torch_dtype
        # the wide result is itself rounded: only a tie of it may come out otherwise
        assert int((value != wide[name].to(torch_dtype)).sum()) <= 1


def test_a_value_beyond_the_dtype_is_refused_by_name(bench: Bench, story: Weighted) -> None:
    members = [bench.member(story[0][0].files, 1e6)]
    with pytest.raises(ResultOverflow) as refusal:
        bench.run(members, Output(dtype=Dtype.FLOAT16))
    assert refusal.value.facts["dtype"] == "float16"
    assert list(bench.store.temporaries.iterdir()) == []


class Cancelled(Exception):
    """What a caller's progress raises."""


def test_progress_is_told_of_every_module_and_may_stop_the_work(bench: Bench, story: Weighted) -> None:
    members = [bench.member(adapter.files, weight) for adapter, weight in story]
    told: list[tuple[int, int, str]] = []
    execution = bench.run(members, Output(rank=2), progress=lambda *fact: told.append(fact))
    modules = execution.report.values["modules"]
    assert told == [(done, modules, "modules") for done in range(modules + 1)]

    def cancel(done: int, total: int, unit: str) -> None:
        if done == 2:
            raise Cancelled

    objects_before = {stored.digest for stored in bench.store.digests()}
    with pytest.raises(Cancelled):
        bench.run(members, Output(rank=3), progress=cancel)
    assert {stored.digest for stored in bench.store.digests()} == objects_before
    assert list(bench.store.temporaries.iterdir()) == []


def test_what_is_not_merged_yet_is_refused(bench: Bench, story: Weighted) -> None:
    files = story[0][0].files
    unmerged = MemberFiles(replace(files.adapter, unsupported=("pissa",)), files.weights)
    with pytest.raises(UnsupportedFeature) as refusal:
        bench.run([bench.member(unmerged, 1.0)], Output())
    assert refusal.value.facts["feature"] == "pissa"


def test_members_that_disagree_on_a_shape_are_refused(bench: Bench, story: Weighted) -> None:
    wider = tiny_llama()
    wider.model.layers[0].self_attn.q_proj = torch.nn.Linear(24, 30, bias=False)
    other = make_adapter(wider, bench.store, bench.folder / "wide", 5)
    members = [bench.member(story[0][0].files, 1.0), bench.member(other.files, 1.0)]
    with pytest.raises(ShapeMismatch):
        bench.run(members, Output())


def test_a_method_that_is_not_there_is_refused(bench: Bench, story: Weighted) -> None:
    plan = replace(bench.plan([bench.member(story[0][0].files, 1.0)], Output()), method=Method("alchemy"))
    with pytest.raises(UnknownMethod):
        execute(plan, bench.files, None, bench.store, "cpu", lambda done, total, unit: None)


module_names = st.lists(st.sampled_from(["a", "b", "q", "q1", "x*"]), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(module_names, st.integers(1, 3), min_size=1), st.integers(1, 3))
def test_peft_finds_every_rank_by_its_pattern(ranks: dict[str, int], default_rank: int) -> None:
    patterns = rank_patterns(ranks, default_rank)
    for name, rank in ranks.items():
        key = get_pattern_key(list(patterns), name)
        assert patterns.get(key, default_rank) == rank
