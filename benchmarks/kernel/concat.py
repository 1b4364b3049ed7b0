"""The exact sum of adapters as one adapter, beside PEFT's `cat`: one layer of an 8B Llama, into memory that is used again.

PEFT also makes the new adapter's modules in the model, which is a part of what its caller waits for.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from app.kernel.vectorized import concatenate
from benchmarks.kernel.inputs import alpha_over_rank, shapes, stack
from benchmarks.kernel.report import Line, require
from benchmarks.kernel.sides import Prepared, measure
from benchmarks.machine import copy_rate

bar = 10
allowed_error = 1e-6


def ours(adapters: int, rank: int) -> Prepared:
    stacks = {module: stack(module, adapters, rank) for module in shapes}
    widest = max(sum(shape) for shape in shapes.values())
    memory = torch.zeros(adapters * rank * widest)

    def work() -> None:
        for one in stacks.values():
            concatenate(one, torch.float32, memory)

    def made() -> dict[str, Tensor]:
        results: dict[str, Tensor] = {}
        for module in ("k_proj", "down_proj"):
            a, b = concatenate(stacks[module], torch.float32)
            results |= {f"{module}.a": a, f"{module}.b": b}
        return results

    return work, made


def peft(adapters: int, rank: int) -> Prepared:
    from peft import LoraConfig, get_peft_model

    layer = nn.Module()
    for module, (out_features, in_features) in shapes.items():
        layer.add_module(module, nn.Linear(in_features, out_features, bias=False, device="meta"))
        getattr(layer, module).to_empty(device="cpu")
    config = LoraConfig(r=rank, lora_alpha=int(alpha_over_rank * rank), target_modules=list(shapes))
    model: Any = get_peft_model(layer, config, adapter_name="0")
    names = [str(number) for number in range(adapters)]
    for name in names[1:]:
        model.add_adapter(name, config)
    for module in shapes:
        lora = model.get_submodule(f"base_model.model.{module}")
        for name, factors in zip(names, stack(module, adapters, rank), strict=True):
            lora.lora_A[name].weight.data.copy_(factors.a)
            lora.lora_B[name].weight.data.copy_(factors.b)

    def work() -> None:
        if "merged" in model.peft_config:
            model.delete_adapter("merged")
        model.add_weighted_adapter(names, [1 / adapters] * adapters, "merged", combination_type="cat")

    def made() -> dict[str, Tensor]:
        results = {}
        for module in ("k_proj", "down_proj"):
            lora = model.get_submodule(f"base_model.model.{module}")
            results[f"{module}.a"] = lora.lora_A["merged"].weight.data
            results[f"{module}.b"] = lora.scaling["merged"] * lora.lora_B["merged"].weight.data
        return results

    return work, made


def error(found: Any, module: str, adapters: int, rank: int) -> float:
    """Relative, of a thousand rows."""
    delta: Any = sum(
        factors.gain * (factors.b[:1000].double() @ factors.a.double()) for factors in stack(module, adapters, rank)
    )
    own = found[f"{module}.b"][:1000].double() @ found[f"{module}.a"].double()
    return float((own - delta).norm() / delta.norm())


def lines() -> Iterator[Line]:
    rate = copy_rate()
    for adapters, rank in [(4, 16), (8, 64)]:
        case: dict[str, Any] = {"adapters": adapters, "rank": rank}
        own, theirs = measure("concat", "ours", **case, repeats=7), measure("concat", "peft", **case, repeats=3)
        errors = [
            max(error(side.result, module, **case) for module in ("k_proj", "down_proj")) for side in (own, theirs)
        ]
        require(max(errors) <= allowed_error, f"concatenation: relative errors {errors}")
        moved = 2 * 4 * adapters * rank * sum(sum(shape) for shape in shapes.values())
        yield Line(
            what=f"exact sum of {adapters} × rank {rank}, one layer",
            peer="PEFT cat",
            own=own,
            theirs=theirs,
            bar=bar,
            error=f"{errors[0]:.0e}, {errors[1]:.0e}",
            limit=f"{moved / own.cpu_seconds / rate:.0%} of the copy rate (50 %)",
        )
