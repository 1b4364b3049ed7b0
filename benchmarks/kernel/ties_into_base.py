"""`ties` of four LoRAs into a Llama of 1 GB, from disk to disk, beside mergekit's `model+lora`.

mergekit makes a copy of the model for each LoRA first, and computes with the differences of those copies in bfloat16, so that
its result is near ours and not the same.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.kernel import reference
from app.kernel.reference import merge_into
from benchmarks.kernel.checkpoints import Llama, base_weights, branches_of, save_all
from benchmarks.kernel.report import Line, require
from benchmarks.kernel.sides import Prepared, measure, mergekit_python

one_gigabyte = Llama(width=2048, inner=5632, layers=8, heads=16, kv_heads=16, vocabulary=32000)
adapters, rank, alpha = 4, 16, 32
weight = 1 / adapters
density = 0.2
parameters = {"density": density, "lambda": 1.0, "convention": "mergekit"}
bar = 12
allowed_bytes = 500 << 20
looked_at = ["model.layers.0.self_attn.q_proj"]
allowed_misrounded = 2e-5
allowed_difference_peer = 0.5
"""Of mergekit's change from the float64 one, relative: differences of bfloat16 weights are coarse."""


def ours() -> Prepared:
    # here, since mergekit's environment has not what a worker needs
    from app.domain.recipe import Method
    from benchmarks.kernel.plans import merge_of

    work, made = merge_of(one_gigabyte, adapters, rank, alpha, weight, Method("ties", parameters))
    return work, lambda: made(looked_at)


def mergekit() -> Prepared:
    """In mergekit's own environment."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
    from safetensors.torch import load_file

    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name)
    folders = save_all(path, one_gigabyte, adapters, rank, alpha)
    base = str(path / "base")
    models = [{"model": f"{base}+{one}", "parameters": {"weight": weight, "density": density}} for one in folders]
    config: dict[str, Any] = {"merge_method": "ties", "base_model": base, "models": models, "dtype": "bfloat16"}
    config["parameters"] = {"normalize": True}

    def work() -> None:
        options = MergeOptions(lora_merge_cache=str(path / "cache"), copy_tokenizer=False)
        run_merge(MergeConfiguration.model_validate(config), str(path / "merged"), options=options)

    def made() -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for file in sorted((path / "merged").glob("*.safetensors")):
            found |= load_file(file)
        folder.cleanup()
        return {module: found[f"{module}.weight"] for module in looked_at}

    return work, made


def lines() -> Iterator[Line]:
    own = measure("ties_into_base", "ours", repeats=2, threads=2)
    theirs = measure("ties_into_base", "mergekit", python=mergekit_python, repeats=1, threads=2)
    (module,) = looked_at
    with tempfile.TemporaryDirectory() as name:
        base = base_weights(one_gigabyte, Path(name, "base"), looked_at)[module]
    found = branches_of(one_gigabyte, module, adapters, rank, alpha / rank, weight)
    delta = reference.methods["ties"](found, density=density, scale=1.0, convention="mergekit")
    misrounded = int((own.result[module] != merge_into(base, delta, torch.bfloat16)).sum()) / base.numel()
    require(misrounded <= allowed_misrounded, f"{misrounded:.1e} of the elements are misrounded")
    require(own.peak_bytes <= allowed_bytes, f"{own.peak_bytes >> 20} MiB")
    difference = float((theirs.result[module].double() - base.double() - delta).norm() / delta.norm())
    require(difference <= allowed_difference_peer, f"mergekit's change is {difference:.2f} off")
    yield Line(
        what=f"ties of {adapters} × rank {rank} into a Llama of 1.1 GB on disk",
        peer="mergekit model+lora",
        own=own,
        theirs=theirs,
        bar=bar,
        error=f"{misrounded:.0e} misrounded; mergekit's change {difference:.0%} off",
        limit=f"at most {allowed_bytes >> 20} MiB",
    )
