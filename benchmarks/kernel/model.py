"""A stack into two layers of an 8B Llama on disk, read and made durable, beside PEFT's `merge_and_unload` in memory."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.domain.recipe import Method
from app.kernel import reference
from app.kernel.reference import merge_into
from benchmarks.kernel.checkpoints import Llama, base_weights, branches_of, model_of, save_all
from benchmarks.kernel.plans import merge_of
from benchmarks.kernel.report import Line, require
from benchmarks.kernel.sides import Prepared, measure
from benchmarks.machine import product_rate

two_layers = Llama(width=4096, inner=14336, layers=2, heads=32, kv_heads=8, vocabulary=128)
adapters = 8
bars = {16: 10, 64: 5}
looked_at = ["model.layers.0.self_attn.k_proj", "model.layers.1.mlp.down_proj"]
allowed_misrounded = 2e-5


def alpha_of(rank: int) -> int:
    """`merge_and_unload` knows no weights: the scaling is 2 / adapters."""
    return 2 * rank // adapters


def ours(rank: int) -> Prepared:
    work, made = merge_of(two_layers, adapters, rank, alpha_of(rank), 1.0, Method())
    return work, lambda: made(looked_at)


def peft(rank: int) -> Prepared:
    from peft import PeftModel

    with tempfile.TemporaryDirectory() as name:
        folders = save_all(Path(name), two_layers, adapters, rank, alpha_of(rank))
        model: Any = PeftModel.from_pretrained(model_of(Path(name, "base")), folders[0], adapter_name="0")
        for number, folder in enumerate(folders[1:], 1):
            model.load_adapter(folder, adapter_name=str(number))
    merged: list[Any] = []

    def work() -> None:
        merged[:] = [model.merge_and_unload(adapter_names=[str(number) for number in range(adapters)])]

    return work, lambda: {module: merged[0].get_submodule(module).weight.data for module in looked_at}


def misrounded(found: Tensor, module: str, base: Tensor, rank: int) -> float:
    stack = [
        branch.delta for branch in branches_of(two_layers, module, adapters, rank, alpha_of(rank) / rank, weight=1.0)
    ]
    return int((found != merge_into(base, reference.linear(stack), torch.bfloat16)).sum()) / found.numel()


def write_rate(folder: Path) -> float:
    """Bytes per second, made durable."""
    content = os.urandom(1 << 28)
    started_at = time.perf_counter()
    with (folder / "written").open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    return len(content) / (time.perf_counter() - started_at)


def lines() -> Iterator[Line]:
    product = product_rate(torch.float32)
    values = sum(out_features * in_features for out_features, in_features in two_layers.modules().values())
    for rank, bar in bars.items():
        with tempfile.TemporaryDirectory() as name:
            own = measure("model", "ours", rank=rank, repeats=2, threads=2)
            theirs = measure("model", "peft", rank=rank, repeats=1, threads=2)
            bases = base_weights(two_layers, Path(name, "base"), looked_at)
            rate = write_rate(Path(name))
        shares = [
            max(misrounded(side.result[module], module, bases[module], rank) for module in looked_at)
            for side in (own, theirs)
        ]
        require(shares[0] <= allowed_misrounded, f"{shares[0]:.1e} of the elements are misrounded")
        of_product = 2 * values * adapters * rank / product / own.cpu_seconds
        of_disk = 2 * values / rate / own.wall_seconds
        yield Line(
            what=f"{adapters} × rank {rank} into two 8B layers on disk",
            peer="PEFT merge_and_unload, no disk",
            own=own,
            theirs=theirs,
            bar=bar,
            error=f"{shares[0]:.0e}, {shares[1]:.0%} misrounded",
            limit=f"{of_product:.0%} of the product, {of_disk:.0%} of the disk's wall time",
        )
