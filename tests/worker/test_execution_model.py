"""Full models as results: the base and the sum of the deltas, rounded once."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file

from app.domain.adapter import ModuleKind
from app.domain.recipe import Dtype, Output, OutputKind
from app.errors import BaseNotStored, ModuleNotInBase, ResultOverflow, UnsupportedFeature
from app.kernel.reference import merge_into
from app.worker import model_output
from app.worker.model_output import BaseFiles
from app.worker.stacks import MemberFiles
from tests.worker.made import (
    Bench,
    MadeAdapter,
    base_in,
    loaded_model,
    logits_of,
    make_adapter,
    make_base,
    sum_of,
    tensors_of,
    tiny_gpt2,
    tiny_llama,
    with_deltas,
)

Weighted = list[tuple[MadeAdapter, float]]
model_as_base = Output(kind=OutputKind.MODEL, dtype=None)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that the tiny tensors of these tests are cut into many."""
    monkeypatch.setattr(model_output, "tile_values", 100)


def stack(base: Any, bench: Bench, modules: list[str]) -> Weighted:
    return [
        (make_adapter(base, bench.store, bench.folder / str(seed), seed, r=rank, target_modules=modules), weight)
        for seed, rank, weight in [(1, 3, 1.0), (2, 8, -0.5), (3, 1, 0.25)]
    ]


def run(bench: Bench, weighted: Weighted, output: Output = model_as_base, name: str = "result", **options: Any) -> Path:
    members = [bench.member(adapter.files, weight) for adapter, weight in weighted]
    return bench.saved(bench.run(members, output, **options), name)


def misrounded(folder: Path, base: Any, weighted: Weighted, dtype: torch.dtype) -> int:
    """Elements of the whole result that are not the correctly rounded float64 sum; every tensor is looked at."""
    deltas = {f"{name}.weight": delta for name, delta in sum_of(weighted).items()}
    found = tensors_of(folder)
    own = {name: value for name, value in base.state_dict().items() if name in found}
    assert found.keys() == own.keys()
    assert deltas.keys() <= own.keys()
    wrong = 0
    for name, value in found.items():
        assert value.dtype is dtype
        expected = merge_into(own[name], deltas.get(name, torch.zeros_like(own[name])).double(), dtype)
        wrong += int((value != expected).sum())
    return wrong


@pytest.mark.parametrize("base_dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [None, Dtype.FLOAT32, Dtype.BFLOAT16, Dtype.FLOAT16])
def test_a_model_is_the_correctly_rounded_sum(bench: Bench, base_dtype: torch.dtype, dtype: Dtype | None) -> None:
    base = tiny_llama(base_dtype)
    bench.base = make_base(base, bench.store, bench.folder / "base")
    weighted = stack(base, bench, ["q_proj", "down_proj", "lm_head"])
    folder = run(bench, weighted, Output(kind=OutputKind.MODEL, dtype=dtype))
    result_dtype = base_dtype if dtype is None else getattr(torch, dtype.value)
    assert misrounded(folder, base, weighted, result_dtype) == 0
    config = json.loads((folder / "config.json").read_bytes())
    assert config["dtype"] == str(result_dtype).removeprefix("torch.")


def test_transformers_loads_it_and_it_computes_what_peft_merges(bench: Bench) -> None:
    """peft 0.21.2: weights multiplied into the scaling, then merge_and_unload; and the float64 sum."""
    base = tiny_llama()
    bench.base = make_base(base, bench.store, bench.folder / "base")
    weighted = stack(base, bench, ["q_proj", "up_proj"])
    merged = loaded_model(run(bench, weighted))
    names = [str(index) for index in range(len(weighted))]
    peft_model: Any = PeftModel.from_pretrained(copy.deepcopy(base), weighted[0][0].folder, adapter_name="0")
    for name, (adapter, _) in list(zip(names, weighted, strict=True))[1:]:
        peft_model.load_adapter(adapter.folder, adapter_name=name)
    for layer in peft_model.modules():
        if isinstance(layer, LoraLayer):
            for name, (_, weight) in zip(names, weighted, strict=True):
                layer.scaling[name] *= weight
    peft_merged = peft_model.merge_and_unload(adapter_names=names)
    expected = logits_of(with_deltas(base, sum_of(weighted)))
    assert torch.allclose(logits_of(merged), logits_of(peft_merged), rtol=0, atol=1e-5)
    assert float((logits_of(merged).double() - expected).abs().max()) <= 1e-5


def test_a_base_that_stores_its_weights_transposed(bench: Bench) -> None:
    base = tiny_gpt2()
    bench.base = make_base(base, bench.store, bench.folder / "base")
    weighted = stack(base, bench, ["c_attn", "mlp.c_proj"])
    folder = run(bench, weighted)
    assert misrounded(folder, base, weighted, torch.float32) == 0
    merged = loaded_model(folder)
    expected = logits_of(with_deltas(base, sum_of(weighted)))
    assert float((logits_of(merged).double() - expected).abs().max()) <= 1e-5


def test_an_embedding_of_an_untied_base(bench: Bench) -> None:
    base = tiny_llama()
    bench.base = make_base(base, bench.store, bench.folder / "base")
    weighted = stack(base, bench, ["embed_tokens", "v_proj"])
    assert misrounded(run(bench, weighted), base, weighted, torch.float32) == 0


@pytest.mark.parametrize("module", ["embed_tokens", "lm_head"])
def test_an_embedding_shared_with_the_output_is_refused(bench: Bench, module: str) -> None:
    untied = tiny_llama()
    bench.base = make_base(untied, bench.store, bench.folder / "base")
    bench.base = replace(bench.base, checkpoint=replace(bench.base.checkpoint, tie_word_embeddings=True))
    with pytest.raises(UnsupportedFeature):
        run(bench, stack(untied, bench, [module]))


def test_shards_are_bounded_and_the_index_finds_every_tensor(bench: Bench) -> None:
    base = tiny_llama(layers=3)
    bench.base = make_base(base, bench.store, bench.folder / "base")
    assert len(bench.base.checkpoint.weight_files) > 1
    weighted = stack(base, bench, ["q_proj"])
    folder = run(bench, weighted, max_shard_bytes=20_000)
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(shards) > 1
    assert shards == [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    assert all((folder / shard).stat().st_size <= 20_000 + 2_000 for shard in shards)
    index = json.loads((folder / "model.safetensors.index.json").read_bytes())
    assert set(index["weight_map"]) == set(tensors_of(folder))
    assert set(index["weight_map"].values()) == set(shards)
    assert misrounded(folder, base, weighted, torch.float32) == 0
    merged = loaded_model(folder)
    expected = logits_of(with_deltas(base, sum_of(weighted)))
    assert float((logits_of(merged).double() - expected).abs().max()) <= 1e-5


def test_what_goes_with_the_base_goes_with_the_result(bench: Bench) -> None:
    extra = {
        "tokenizer.json": b"{}",
        "LICENSE": b"terms",
        "README.md": b"# the base",
        "pytorch_model.bin": b"stale weights",
        "pytorch_model.bin.index.json": b"{}",
    }
    base = tiny_llama()
    bench.base = make_base(base, bench.store, bench.folder / "base", extra)
    members = [bench.member(adapter.files, weight) for adapter, weight in stack(base, bench, ["q_proj"])]
    execution = bench.run(members, model_as_base)
    digests = {file.path: file.digest for file in bench.base.files}
    carried = {file.path: file.digest for file in execution.files if not file.path.startswith("model")}
    assert carried == {
        path: digests[path] for path in ["LICENSE", "config.json", "generation_config.json", "tokenizer.json"]
    }
    assert execution.report.values["left_out"] == ["README.md", "pytorch_model.bin", "pytorch_model.bin.index.json"]
    assert execution.report.values["changed_tensors"] == 2


def hand_made_base(bench: Bench, extra: dict[str, torch.Tensor]) -> BaseFiles:
    folder = bench.folder / "hand-made"
    folder.mkdir()
    save_file(extra, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"text_config": {"torch_dtype": "float32"}, "rope": 1e-6}))
    return base_in(folder, bench.store)


def test_only_floating_tensors_are_cast_and_every_tensor_stays_aligned(bench: Bench) -> None:
    llama = tiny_llama()
    random = torch.Generator().manual_seed(4)
    own = {
        "model.layers.0.self_attn.q_proj.weight": torch.randn(24, 24, generator=random),
        "odd": torch.randn(5, 3, generator=random, dtype=torch.float64),
        "counts": torch.arange(7),
        "mask": torch.tensor([True, False, True]),
        "nothing": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5),
    }
    bench.base = hand_made_base(bench, own)
    folder = run(
        bench,
        [(make_adapter(llama, bench.store, bench.folder / "a", 1, target_modules=["layers.0.self_attn.q_proj"]), 1.0)],
        Output(kind=OutputKind.MODEL, dtype=Dtype.BFLOAT16),
    )
    found = tensors_of(folder)
    assert {name: value.dtype for name, value in found.items()} == {
        name: torch.bfloat16 if value.is_floating_point() else value.dtype for name, value in own.items()
    }
    for name in ["odd", "counts", "mask", "nothing", "scalar"]:
        assert torch.equal(found[name], own[name].to(found[name].dtype))
    text = (folder / "model.safetensors").read_bytes()
    header = json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")])
    assert all(header[name]["data_offsets"][0] % found[name].itemsize == 0 for name in found)
    config = json.loads((folder / "config.json").read_bytes())
    assert config == {"text_config": {"torch_dtype": "bfloat16"}, "rope": 1e-6, "torch_dtype": "bfloat16"}


def test_a_base_value_beyond_the_dtype_is_refused_by_name(bench: Bench) -> None:
    llama = tiny_llama()
    bench.base = hand_made_base(
        bench, {"model.layers.0.self_attn.q_proj.weight": torch.zeros(24, 24), "far": torch.tensor([1e6])}
    )
    adapter = make_adapter(llama, bench.store, bench.folder / "a", 1, target_modules=["layers.0.self_attn.q_proj"])
    with pytest.raises(ResultOverflow) as refusal:
        run(bench, [(adapter, 1.0)], Output(kind=OutputKind.MODEL, dtype=Dtype.FLOAT16))
    assert refusal.value.facts["tensor"] == "far"


def test_a_module_that_the_base_lacks_or_has_in_another_shape_is_refused(bench: Bench) -> None:
    llama = tiny_llama()
    adapter = make_adapter(llama, bench.store, bench.folder / "a", 1, target_modules=["layers.0.self_attn.q_proj"])
    for number, tensors in enumerate(
        [{"other": torch.zeros(2)}, {"model.layers.0.self_attn.q_proj.weight": torch.zeros(24, 25)}]
    ):
        folder = bench.folder / str(number)
        folder.mkdir()
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
        bench.base = base_in(folder, bench.store)
        with pytest.raises(ModuleNotInBase) as refusal:
            bench.run([bench.member(adapter.files, 1.0)], model_as_base)
        assert refusal.value.facts["module"] == "model.layers.0.self_attn.q_proj"


def test_adapters_that_disagree_on_the_orientation_are_refused(bench: Bench) -> None:
    llama = tiny_llama()
    bench.base = make_base(llama, bench.store, bench.folder / "base")
    files = make_adapter(llama, bench.store, bench.folder / "a", 1).files
    turned = tuple(replace(module, fan_in_fan_out=True) for module in files.adapter.modules)
    other = MemberFiles(replace(files.adapter, modules=turned), files.weights)
    with pytest.raises(UnsupportedFeature):
        bench.run([bench.member(files, 1.0), bench.member(other, 1.0)], model_as_base)
    assert all(module.kind is ModuleKind.LINEAR for module in turned)


def test_a_model_output_needs_a_base(bench: Bench) -> None:
    adapter = make_adapter(tiny_llama(), bench.store, bench.folder / "a", 1)
    with pytest.raises(BaseNotStored):
        bench.run([bench.member(adapter.files, 1.0)], model_as_base)


def test_threads_and_tiles_change_no_byte(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_llama(torch.bfloat16)
    bench.base = make_base(base, bench.store, bench.folder / "base")
    weighted = stack(base, bench, ["q_proj", "gate_proj"])
    threads_before = torch.get_num_threads()
    results = set()
    try:
        for threads, values in [(1, 100), (2, 100), (2, 1 << 19)]:
            torch.set_num_threads(threads)
            monkeypatch.setattr(model_output, "tile_values", values)
            members = [bench.member(adapter.files, weight) for adapter, weight in reversed(weighted)]
            results.add(bench.run(members, model_as_base).files)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads_before)
    assert len(results) == 1


class Cancelled(Exception):
    """What a caller's progress raises."""


def test_progress_is_told_of_every_tensor_and_may_stop_the_work(bench: Bench) -> None:
    base = tiny_llama()
    bench.base = make_base(base, bench.store, bench.folder / "base")
    members = [bench.member(adapter.files, weight) for adapter, weight in stack(base, bench, ["q_proj"])]
    told: list[tuple[int, int, str]] = []
    execution = bench.run(members, model_as_base, progress=lambda *fact: told.append(fact))
    assert len(told) == 1 + execution.report.values["tensors"]
    assert told[-1][0] == told[-1][1] == sum(value.nbytes for value in tensors_of(bench.saved(execution)).values())
    assert {unit for _, _, unit in told} == {"bytes"}

    def cancel(done: int, total: int, unit: str) -> None:
        if done > total // 2:
            raise Cancelled

    objects_before = {stored.digest for stored in bench.store.digests()}
    with pytest.raises(Cancelled):
        bench.run(members, replace(model_as_base, dtype=Dtype.FLOAT16), progress=cancel)
    assert {stored.digest for stored in bench.store.digests()} == objects_before
    assert list(bench.store.temporaries.iterdir()) == []
