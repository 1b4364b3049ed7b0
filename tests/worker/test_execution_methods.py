"""Every method, from files to files: the branches by the method, the trunk linearly, rounded once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.domain.lineage import Role
from app.domain.plan import Member
from app.domain.recipe import Dtype, Energy, Method, Output, OutputKind
from app.errors import NoExactAdapter
from app.kernel import reference, tiles
from app.kernel.factors import Branch, Factors
from app.kernel.methods import arguments
from app.kernel.reference import merge_into
from app.merge.methods import methods, parse_method
from app.worker import model_output
from tests.worker.made import (
    Bench,
    MadeAdapter,
    loaded_deltas,
    make_adapter,
    make_base,
    sum_of,
    tensors_of,
    tiny_gpt2,
    tiny_llama,
)

low_rank = [name for name, facts in methods.items() if facts.is_low_rank]
element_wise = [name for name, facts in methods.items() if not facts.is_low_rank]
model_as_base = Output(kind=OutputKind.MODEL, dtype=None)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that the tiny tensors of these tests are cut into many."""
    monkeypatch.setattr(tiles, "tile_values", 100)
    monkeypatch.setattr(model_output, "tile_values", 100)


def method_named(name: str, **parameters: Any) -> Method:
    """With its defaults, but for a density that keeps something of tiny matrices."""
    if "density" in methods[name].parameters:
        parameters = {"density": 0.4} | parameters
    return parse_method({"name": name, **parameters})


class Story:
    """A trunk, two branches with their votes, and one at weight 0; not all of them in every module."""

    def __init__(self, base: Any, bench: Bench, modules: Sequence[str]) -> None:
        common, rest = [modules[0]], list(modules)
        made = [
            make_adapter(base, bench.store, bench.folder / "trunk", 1, r=2, target_modules=rest),
            make_adapter(base, bench.store, bench.folder / "one", 2, r=3, target_modules=rest),
            make_adapter(base, bench.store, bench.folder / "two", 3, r=8, use_rslora=True, target_modules=common),
            make_adapter(base, bench.store, bench.folder / "silent", 4, r=4, target_modules=rest),
        ]
        self.trunk = made[0]
        self.voting: list[tuple[MadeAdapter, float]] = [(made[1], 1.0), (made[2], -0.7)]
        self.members: list[Member] = [
            bench.member(made[0].files, 0.5, Role.TRUNK),
            *(bench.member(adapter.files, weight) for adapter, weight in self.voting),
            bench.member(made[3].files, 0.0),
        ]

    def expected(self, method: Method) -> dict[str, Tensor]:
        """By module, in the orientation of the base's weight; the reference on what each branch is by itself."""
        total = sum_of([(self.trunk, 0.5)])
        voting = self.voting
        if methods[method.name].ignores_order:
            voting = sorted(voting, key=lambda vote: vote[0].files.weights.digest)
        for name in total:
            found = [branch_of(adapter, weight, name) for adapter, weight in voting if name in adapter.deltas]
            if found:
                is_turned = total[name].shape != found[0].delta.shape
                if is_turned and not methods[method.name].is_low_rank:
                    found, is_turned = [branch.transposed() for branch in found], False
                merged = reference.methods[method.name](found, **arguments(method.parameters))
                total[name] = total[name] + (merged.mT if is_turned else merged)
        return total


def branch_of(adapter: MadeAdapter, weight: float, name: str) -> Branch:
    own = tensors_of(adapter.folder)
    (module,) = [module for module in adapter.files.adapter.modules if module.name == name]
    delta = Factors(own[module.a_key], own[module.b_key], adapter.scalings[name])
    return Branch(delta, weight, f"{adapter.files.weights.digest}\n{name}")


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, delta in found.items():
        assert float((delta - expected[name]).norm()) <= tolerance * float(expected[name].norm()), name


@pytest.mark.parametrize("name", low_rank)
def test_an_exact_adapter_of_a_low_rank_method(bench: Bench, name: str) -> None:
    base = tiny_llama()
    story, method = Story(base, bench, ["q_proj", "down_proj"]), method_named(name)
    execution = bench.run(story.members, Output(), method)
    _, deltas = loaded_deltas(base, bench.saved(execution))
    assert_close(deltas, story.expected(method), 1e-6)


@pytest.mark.parametrize("name", element_wise)
def test_an_exact_adapter_of_an_element_wise_method_is_refused(bench: Bench, name: str) -> None:
    story = Story(tiny_llama(), bench, ["q_proj"])
    with pytest.raises(NoExactAdapter):
        bench.run(story.members, Output(), method_named(name))


@pytest.mark.parametrize("rank", [100, Energy(1.0)], ids=str)
@pytest.mark.parametrize("name", sorted(methods))
def test_an_adapter_of_all_the_rank_there_is(bench: Bench, name: str, rank: int | Energy) -> None:
    base = tiny_llama()
    story, method = Story(base, bench, ["q_proj", "down_proj"]), method_named(name)
    execution = bench.run(story.members, Output(rank=rank), method)
    _, deltas = loaded_deltas(base, bench.saved(execution))
    assert_close(deltas, story.expected(method), 1e-6)
    assert execution.report.values["energy_kept"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("rank", [2, 6, Energy(0.6), Energy(0.95)], ids=str)
@pytest.mark.parametrize("name", element_wise)
def test_a_truncated_adapter_of_an_element_wise_method_is_nearly_the_best(
    bench: Bench, name: str, rank: int | Energy
) -> None:
    base = tiny_llama()
    story, method = Story(base, bench, ["q_proj", "down_proj"]), method_named(name)
    execution = bench.run(story.members, Output(rank=rank), method)
    _, deltas = loaded_deltas(base, bench.saved(execution))
    for module, delta in story.expected(method).items():
        facts = execution.report.values["per_module"][module]
        best = reference.truncate(delta, rank=facts["rank"])
        lost = float((deltas[module] - delta).norm() ** 2 / delta.norm() ** 2)
        assert lost <= (1 - best.energy_kept) * 1.05 + 1e-9
        assert facts["energy_kept"] == pytest.approx(1 - lost, abs=1e-6)
        if isinstance(rank, Energy):
            assert facts["energy_kept"] >= rank.energy


@pytest.mark.parametrize("model", [tiny_llama, tiny_gpt2])
@pytest.mark.parametrize("name", sorted(methods))
def test_a_model_is_the_correctly_rounded_result(bench: Bench, name: str, model: Any) -> None:
    base = model()
    bench.base = make_base(base, bench.store, bench.folder / "base")
    modules = ["q_proj", "down_proj"] if model is tiny_llama else ["c_attn", "mlp.c_proj"]
    story, method = Story(base, bench, modules), method_named(name)
    output = Output(kind=OutputKind.MODEL, dtype=Dtype.BFLOAT16)
    found = tensors_of(bench.saved(bench.run(story.members, output, method)))
    wrong = 0
    for module, delta in story.expected(method).items():
        own = base.state_dict()[f"{module}.weight"]
        wrong += int((found[f"{module}.weight"] != merge_into(own, delta, torch.bfloat16)).sum())
    assert wrong == 0


@pytest.mark.parametrize("name", ["cart", "knots_ties", "dare_ties", "sce"])
def test_transposed_modules_of_a_truncated_adapter(bench: Bench, name: str) -> None:
    base = tiny_gpt2()
    story, method = Story(base, bench, ["c_attn", "mlp.c_proj"]), method_named(name)
    execution = bench.run(story.members, Output(rank=100), method)
    _, deltas = loaded_deltas(base, bench.saved(execution))
    assert_close(deltas, story.expected(method), 1e-6)


@pytest.mark.parametrize("output", [Output(rank=3), Output(rank=Energy(0.9)), model_as_base], ids=["3", "0.9", "model"])
@pytest.mark.parametrize("name", sorted(methods))
def test_layers_in_any_order_and_any_number_of_threads_change_no_byte(bench: Bench, name: str, output: Output) -> None:
    base = tiny_llama(torch.bfloat16)
    bench.base = make_base(base, bench.store, bench.folder / "base")
    story, method = Story(base, bench, ["q_proj", "gate_proj"]), method_named(name)
    threads_before = torch.get_num_threads()
    results = set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            is_ordered = not methods[name].ignores_order
            members = story.members if is_ordered or threads == 1 else story.members[::-1]
            results.add(bench.run(members, output, method).files)
    finally:
        torch.set_num_threads(threads_before)
    assert len(results) == 1


def test_the_seed_changes_what_is_drawn(bench: Bench) -> None:
    story = Story(tiny_llama(), bench, ["q_proj"])
    drawn = {
        bench.run(story.members, Output(rank=4), method_named("dare_linear", seed=seed)).files for seed in (0, 1, 0)
    }
    assert len(drawn) == 2


def test_a_trunk_alone_is_summed_whatever_the_method(bench: Bench) -> None:
    base = tiny_llama()
    adapter = make_adapter(base, bench.store, bench.folder / "one", 2, r=3)
    members = [bench.member(adapter.files, 0.5, Role.TRUNK), bench.member(adapter.files, 0.0)]
    for name in ("ties", "core_ties", "karcher"):
        folder: Path = bench.saved(bench.run(members, Output(rank=3), method_named(name)), name)
        _, deltas = loaded_deltas(base, folder)
        assert_close(deltas, sum_of([(adapter, 0.5)]), 1e-6)
