"""Many adapters as one of the best rank, beside PEFT's `svd`; and what a whole 8B adapter costs."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from app.kernel.factors import Factors
from app.kernel.vectorized import best_rank
from benchmarks.kernel.inputs import alpha_over_rank, layers, shapes, stack
from benchmarks.kernel.report import Line, require
from benchmarks.kernel.sides import Prepared, measure
from benchmarks.machine import product_rate

bars = {"q_proj": 1500, "gate_proj": 2500}
allowed_excess = 1e-9
"""Over the error of the dense float64 SVD, relative to it."""
allowed_excess_peer = 1e-4
"""PEFT decomposes in float32."""
allowed_cpu_seconds, allowed_bytes = 60, 600 << 20
"""Of a whole 8B adapter, eight of rank 64 to rank 64."""


def ours(modules: Sequence[str], adapters: int, rank: int) -> Prepared:
    stacks = [stack(module, adapters, rank) for module in modules]
    results: dict[str, Tensor] = {}

    def work() -> None:
        for module, one in zip(modules, stacks, strict=True):
            (found,) = best_rank([one], torch.float32, rank=rank)
            results[f"{module}.a"], results[f"{module}.b"] = found.a, found.b

    return work, lambda: results


def peft(modules: Sequence[str], adapters: int, rank: int) -> Prepared:
    from peft import LoraConfig, get_peft_model

    (module,) = modules
    out_features, in_features = shapes[module]
    layer = torch.nn.Sequential(torch.nn.Linear(in_features, out_features, bias=False))
    config = LoraConfig(r=rank, lora_alpha=int(alpha_over_rank * rank), target_modules=["0"])
    model: Any = get_peft_model(layer, config, adapter_name="0")
    names = [str(number) for number in range(adapters)]
    for name in names[1:]:
        model.add_adapter(name, config)
    lora = model.get_submodule("base_model.model.0")
    for name, factors in zip(names, stack(module, adapters, rank), strict=True):
        lora.lora_A[name].weight.data.copy_(factors.a)
        lora.lora_B[name].weight.data.copy_(factors.b)

    def work() -> None:
        if "merged" in model.peft_config:
            model.delete_adapter("merged")
        model.add_weighted_adapter(names, [1 / adapters] * adapters, "merged", combination_type="svd", svd_rank=rank)

    def made() -> dict[str, Tensor]:
        a, b = lora.lora_A["merged"].weight.data, lora.lora_B["merged"].weight.data
        return {f"{module}.a": a, f"{module}.b": lora.scaling["merged"] * b}

    return work, made


def excess(found: dict[str, Tensor], module: str, adapters: int, rank: int) -> float:
    """Of the error over the optimal one, relative to it; in the joint space of all factors, where nothing is lost."""
    joined = [*stack(module, adapters, rank), Factors(found[f"{module}.a"], found[f"{module}.b"], -1.0)]
    _, r_b = torch.linalg.qr(torch.cat([factors.gain * factors.b.double() for factors in joined], dim=1))
    _, r_a = torch.linalg.qr(torch.cat([factors.a.double() for factors in joined]).mT)
    error = float((r_b @ r_a.mT).norm())
    kept = adapters * rank
    singular_values = torch.linalg.svdvals(r_b[:, :kept] @ r_a[:, :kept].mT)
    return error / float(singular_values[rank:].norm()) - 1


def operations_of(module: str, joined: int, rank: int) -> float:
    """Of the two Gram matrices, half of which are computed, the core's SVD (about 22·R³) and the two products back."""
    return sum(shapes[module]) * (joined**2 + 2 * joined * rank) + 22 * joined**3


def lines() -> Iterator[Line]:
    product = product_rate(torch.float64)
    for module, bar in bars.items():
        case: dict[str, Any] = {"modules": [module], "adapters": 4, "rank": 16}
        own, theirs = measure("best_rank", "ours", **case, repeats=10), measure("best_rank", "peft", **case, repeats=1)
        of_own, of_theirs = (excess(dict(side.result), module, 4, 16) for side in (own, theirs))
        require(of_own <= allowed_excess, f"{module}: {of_own:.1e} over the optimal error")
        require(of_theirs <= allowed_excess_peer, f"{module}: PEFT is {of_theirs:.1e} over the optimal error")
        share = operations_of(module, 64, 16) / own.cpu_seconds / product
        yield Line(
            what=f"best rank 16 of 4 × 16, {module}",
            peer="PEFT svd",
            own=own,
            theirs=theirs,
            bar=bar,
            error=f"{of_own:.0e}, {of_theirs:.0e} over the optimum",
            limit=f"{share:.0%} of the float64 product",
        )
    modules = list(shapes)
    own = measure("best_rank", "ours", modules=modules, adapters=8, rank=64, repeats=1)
    worst = max(excess(dict(own.result), module, 8, 64) for module in ("k_proj", "down_proj"))
    require(worst <= allowed_excess, f"a whole adapter: {worst:.1e} over the optimal error")
    whole = layers * own.cpu_seconds
    share = sum(operations_of(module, 512, 64) for module in modules) / own.cpu_seconds / product
    yield Line(
        what=f"one layer of 8 × 64 to rank 64; {layers} of them: {whole:.0f} s (at most {allowed_cpu_seconds} s)",
        peer="PEFT svd",
        own=own,
        theirs=None,
        bar=allowed_cpu_seconds,
        error=f"{worst:.0e} over the optimum",
        limit=f"{share:.0%} of the float64 product; at most {allowed_bytes >> 20} MiB",
    )
