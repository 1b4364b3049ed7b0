"""Experts that lie in one tensor (`target_parameters`): what PEFT 0.21.2 merges itself, on models of transformers."""

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import GptOssConfig, GptOssForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from app.domain.recipe import Energy, Method, Output, OutputKind, Ranks
from app.errors import ModuleNotInBase, UnsupportedFeature
from app.kernel import reference
from app.kernel.factors import Branch, Factors
from app.kernel.methods import arguments
from app.kernel.reference import truncate
from app.merge.methods import methods, parse_method
from app.worker import model_output
from tests.worker.kinds import Kind, expected, members, read_files, train
from tests.worker.made import Bench, hand_made, tensors_of

model_as_base = Output(kind=OutputKind.MODEL, dtype=None)
common: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "tie_word_embeddings": False,
}


def gpt_oss(intermediate_size: int = 16) -> Any:
    """Stores experts as [experts, in, out]; those of `down_proj` are square, as in the published ones."""
    torch.manual_seed(3)
    config = GptOssConfig(**common, intermediate_size=intermediate_size, num_local_experts=4, num_experts_per_tok=2)
    return moved(GptOssForCausalLM(config))


def qwen_moe() -> Any:
    """Stores them as [experts, out, in]."""
    torch.manual_seed(4)
    config = Qwen3MoeConfig(**common, moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2)
    return moved(Qwen3MoeForCausalLM(config))


def moved(model: Any) -> Any:
    """In float64, with no parameter at zero."""
    model = model.double().eval()
    random = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.data.copy_(0.2 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return model


both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
bases = {"gpt_oss": gpt_oss, "qwen3_moe": qwen_moe}
every_base = pytest.mark.parametrize("name", sorted(bases))


def stored(name: str, bench: Bench) -> Any:
    base = bases[name]()
    bench.base = hand_made(base.state_dict(), bench, "base", {"model_type": name})
    return base


def adapters(base: Any, bench: Bench) -> list[tuple[Kind, float]]:
    """Of both parameters, and of one of them beside other modules."""
    one = train(base, bench, 1, target_modules=[], target_parameters=both, rank_pattern={"down_proj": 3})
    two = train(base, bench, 2, r=2, use_rslora=True, target_modules=["q_proj"], target_parameters=both[1:])
    return [(one, 1.0), (two, -0.6)]


def model_of(bench: Bench, kinds: Sequence[tuple[Kind, float]], method: Method = Method()) -> dict[str, Tensor]:
    execution = bench.run(members(bench, kinds), model_as_base, method)
    return tensors_of(bench.saved(execution, f"model-{len(bench.files)}"))


def adapter_of(
    bench: Bench, kinds: Sequence[tuple[Kind, float]], output: Output = Output(), method: Method = Method()
) -> Path:
    folder = bench.saved(bench.run(members(bench, kinds), output, method), f"adapter-{len(bench.files)}")
    # the registry reads its own results
    assert read_files(bench, folder).adapter.unsupported == ()
    return folder


def loaded(base: Any, folder: Path) -> dict[str, Tensor]:
    """The base with an adapter as PEFT loads and merges it; a key that is missing or stray is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("error", message=".*(missing|unexpected).*keys.*")
        model = PeftModel.from_pretrained(copy.deepcopy(base), folder)
        values: dict[str, Tensor] = model.double().merge_and_unload().state_dict()
    return values


def assert_close(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert float((value.double() - wanted[name]).abs().max()) <= tolerance, name


@every_base
def test_a_model_is_what_peft_merges(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_output, "tile_values", 100)
    base = stored(name, bench)
    weighted = adapters(base, bench)
    for kind, _ in weighted:
        moved_experts = {key for key, change in kind.change.items() if float(change.abs().max()) > 0.1}
        assert any("experts.down_proj" in key for key in moved_experts)
        assert_close(model_of(bench, [(kind, 1.0)]), kind.trained, 1e-12)
    assert_close(model_of(bench, weighted), expected(base, weighted), 1e-12)


@every_base
def test_an_exact_adapter_is_their_sum_for_peft(bench: Bench, name: str) -> None:
    base = bases[name]()
    weighted = adapters(base, bench)
    folder = adapter_of(bench, weighted)
    config = json.loads((folder / "adapter_config.json").read_bytes())
    assert [entry.rpartition(".")[2] for entry in config["target_parameters"]] == ["down_proj", "gate_up_proj"] * 2
    assert_close(loaded(base, folder), expected(base, weighted), 1e-6)


@pytest.mark.parametrize("rank", [2, Energy(0.9), Ranks(3, (("down_proj", 2), ("experts.gate_up_proj", 4)))], ids=str)
def test_every_expert_gets_its_best_rank(bench: Bench, rank: int | Energy | Ranks) -> None:
    base = qwen_moe()
    weighted = adapters(base, bench)
    wanted = expected(base, weighted)
    execution = bench.run(members(bench, weighted), Output(rank=rank))
    found = loaded(base, bench.saved(execution, "best"))
    for name, facts in execution.report.values["per_module"].items():
        tensor = name if ".experts." in name else f"{name}.weight"
        before = base.state_dict()[tensor]
        deltas = (wanted[tensor] - before).reshape(-1, *before.shape[-2:])
        spectra = facts.get("experts", [facts])
        assert len(spectra) == len(deltas)
        for delta, change, spectrum in zip(
            deltas, (found[tensor] - before).reshape(deltas.shape), spectra, strict=True
        ):
            best = truncate(delta, rank=spectrum["rank"])
            assert float((change - best.delta).norm()) <= 1e-6 * float(delta.norm())
            assert spectrum["energy_kept"] == pytest.approx(best.energy_kept, abs=1e-9)
            if isinstance(rank, Energy):
                assert spectrum["rank"] == truncate(delta, energy=0.9).rank
            elif isinstance(rank, Ranks):
                assert spectrum["rank"] == min(rank.of(name), 2 if "q_proj" in name else 4)
            else:
                assert spectrum["rank"] == 2


@pytest.mark.parametrize("name", sorted(methods))
def test_every_method_takes_each_expert_by_itself(bench: Bench, name: str) -> None:
    """Into a model and into an adapter of full rank alike, and by the method's reference for one of them."""
    base = stored("qwen3_moe", bench)
    weighted = [
        (train(base, bench, seed, target_modules=[], target_parameters=both[1:]), 0.5 + seed) for seed in (1, 2)
    ]
    method = parse_method({"name": name, **({"density": 0.4} if "density" in methods[name].parameters else {})})
    whole = model_of(bench, weighted, method)
    folder = adapter_of(bench, weighted, Output(rank=16), method)
    assert_close(loaded(base, folder), whole, 1e-5)
    key = "model.layers.1.mlp.experts.down_proj"
    changes = whole[key] - base.state_dict()[key]
    assert all(float(change.abs().max()) > 1e-3 for change in changes)
    found = [branch_of(kind, weight, key, expert=2) for kind, weight in weighted]
    wanted = reference.methods[name](found, **arguments(method.parameters))
    assert float((changes[2] - wanted).abs().max()) <= 1e-9
    if "seed" in methods[name].parameters:
        # every expert draws its own
        dropped = changes == 0
        assert not torch.equal(dropped[0], dropped[1])


def branch_of(kind: Kind, weight: float, parameter: str, expert: int) -> Branch:
    """One expert's factors, as PEFT takes them from the file."""
    (module,) = (module for module in kind.files.adapter.modules if module.name == parameter)
    own = tensors_of(kind.folder)
    a = own[module.a_key].reshape(4, module.rank, -1)[expert]
    b = own[module.b_key].reshape(-1, module.rank, 4)[:, :, expert]
    return Branch(Factors(a, b, module.scaling), weight, f"{kind.content}\n{parameter}\n{expert}")


def test_square_experts_are_read_as_peft_reads_them(bench: Bench) -> None:
    """Their factors fit both ways: the kind of model decides."""
    base = stored("gpt_oss", bench)
    one = train(base, bench, 1, target_modules=[], target_parameters=both[1:])
    assert one.trained["model.layers.0.mlp.experts.down_proj"].shape == (4, 16, 16)
    assert_close(model_of(bench, [(one, 1.0)]), one.trained, 1e-12)


def test_a_router_s_weight_is_a_parameter_of_one_matrix(bench: Bench) -> None:
    base = stored("qwen3_moe", bench)
    one = train(base, bench, 1, target_modules=["q_proj"], target_parameters=["mlp.gate.weight", *both])
    assert_close(model_of(bench, [(one, 1.0)]), one.trained, 1e-12)
    assert_close(loaded(base, adapter_of(bench, [(one, 0.5)])), expected(base, [(one, 0.5)]), 1e-6)


def test_what_does_not_fit_is_refused(bench: Bench) -> None:
    base = stored("qwen3_moe", bench)
    one = train(base, bench, 1, target_modules=[], target_parameters=both)
    values = base.state_dict()
    key = "model.layers.0.mlp.experts.down_proj"
    for number, own in enumerate([{key: values[key][:3]}, {key: values[key][0]}]):
        bench.base = hand_made(values | own, bench, str(number), {"model_type": "qwen3_moe"})
        with pytest.raises(ModuleNotInBase) as refusal:
            model_of(bench, [(one, 1.0)])
        assert refusal.value.facts["module"] == key


def test_experts_that_are_saved_whole_take_no_delta(bench: Bench) -> None:
    base = stored("qwen3_moe", bench)
    one = train(base, bench, 1, target_modules=[], target_parameters=both)
    two = train(base, bench, 2, target_modules=["q_proj"], modules_to_save=["experts"])
    with pytest.raises(UnsupportedFeature) as refusal:
        model_of(bench, [(one, 1.0), (two, 1.0)])
    assert refusal.value.facts["feature"] == "target_parameters beside modules_to_save"
