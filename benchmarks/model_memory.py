"""Peak memory of merging into a base, and into one twice as large: the same.

Each merge runs in a process of its own, whose peak is the kernel's figure (VmHWM) above what the imports took. Nothing is
reported when a result differs from the correctly rounded float64 sum in more than 1 of 10,000 elements of a changed tensor,
or in any element of another.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from app.domain.adapter import Adapter, Checkpoint, Module, ModuleKind
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import BasePart, Member, Plan
from app.domain.recipe import Method, Output, OutputKind, WeightFile
from app.kernel import reference
from app.kernel.factors import Factors
from app.objects.local import LocalStore
from app.worker.execution import execute
from app.worker.model_output import BaseFiles
from app.worker.stacks import MemberFiles
from app.worker.tensors import place_file, read_facts
from benchmarks.machine import describe

width = 2048
adapters = 4
rank = 16
allowed_misrounded = 1e-4


def make_base(folder: Path, layers: int) -> None:
    torch.manual_seed(0)
    tensors = {}
    for layer in range(layers):
        tensors[f"layers.{layer}.proj.weight"] = (0.02 * torch.randn(width, width)).bfloat16()
        tensors[f"layers.{layer}.other.weight"] = (0.02 * torch.randn(width, width)).bfloat16()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"torch_dtype": "bfloat16"}))


def make_adapter(folder: Path, layers: int, seed: int) -> None:
    torch.manual_seed(100 + seed)
    tensors = {}
    for layer in range(layers):
        tensors[f"base_model.model.layers.{layer}.proj.lora_A.weight"] = 0.02 * torch.randn(rank, width)
        tensors[f"base_model.model.layers.{layer}.proj.lora_B.weight"] = 0.02 * torch.randn(width, rank)
    save_file(tensors, folder / f"adapter-{seed}.safetensors", metadata={"format": "pt"})


def adapter_of(layers: int) -> Adapter:
    modules = tuple(
        Module(
            name=f"layers.{layer}.proj",
            kind=ModuleKind.LINEAR,
            rank=rank,
            alpha=rank,
            scaling=1.0,
            fan_in_fan_out=False,
            a_key=f"base_model.model.layers.{layer}.proj.lora_A.weight",
            b_key=f"base_model.model.layers.{layer}.proj.lora_B.weight",
            a_shape=(rank, width),
            b_shape=(width, rank),
            a_dtype="F32",
            b_dtype="F32",
        )
        for layer in range(layers)
    )
    return Adapter("LORA", rank, rank, False, False, ("proj",), None, "F32", 0, modules, (), None, "", None)


def merge(folder: Path, layers: int) -> None:
    """In the child process: put the files into a store, merge, and print the figures as JSON."""
    store = LocalStore(folder / "store")
    members: list[Member] = []
    files: dict[Any, MemberFiles] = {}
    for seed in range(adapters):
        weights = place_file(store, "adapter_model.safetensors", (folder / f"adapter-{seed}.safetensors").read_bytes())
        (folder / f"adapter-{seed}.safetensors").unlink()
        version = uuid4()
        digest = Digest(f"sha256:{seed:064d}")
        members.append(Member(version, f"a/{seed}@1.0.0", digest, digest, Role.BRANCH, 0.5))
        files[version] = MemberFiles(adapter_of(layers), weights)
    base_files = []
    for name in ["config.json", "model.safetensors"]:
        with store.stage() as staged, (folder / name).open("rb") as source:
            while chunk := source.read(1 << 20):
                staged.write(chunk)
            base_files.append(WeightFile(name, staged.place(), staged.size_bytes))
    tensors = read_facts(store, base_files[1])
    placed = tuple(("model.safetensors", tensors[name]) for name in sorted(tensors))
    checkpoint = Checkpoint((), None, False, "BF16", 0, ("model.safetensors",), placed)
    base = BasePart(uuid4(), "org/base@1.0.0", base_files[1].digest, base_files[1].digest)
    output = Output(OutputKind.MODEL, dtype=None)
    plan = Plan(None, (), tuple(members), (), (), (), Method(), output, base, layers, 0, 0, True, 0, 0, 0)
    before = status_bytes("VmRSS")
    # what was needed to fill the store is no part of the merge: the high-water mark starts again here
    Path("/proc/self/clear_refs").write_text("5")
    cpu_before = time.process_time()
    made = execute(plan, files, BaseFiles(checkpoint, tuple(base_files)), store, "cpu", lambda *fact: None)
    cpu_seconds = time.process_time() - cpu_before
    result = next(file for file in made.files if file.path == "model.safetensors")
    with (folder / "result.safetensors").open("wb") as target:
        for chunk in store.read(result.digest):
            target.write(chunk)
    figures = {"before": before, "peak": status_bytes("VmHWM"), "seconds": made.report.values["elapsed_seconds"]}
    figures["cpu_seconds"] = cpu_seconds
    print(json.dumps(figures))


def status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"this kernel does not tell {field}")


def misrounded_share(folder: Path, weights: list[dict[str, torch.Tensor]]) -> float:
    """The worst of the changed tensors. Raises SystemExit when an unchanged one differs."""
    worst = 0.0
    with safe_open(folder / "result.safetensors", "pt") as found, safe_open(folder / "model.safetensors", "pt") as base:
        for name in base.keys():  # noqa: SIM118  # not a mapping
            own, merged = base.get_tensor(name), found.get_tensor(name)
            prefix = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{prefix}.lora_A.weight" in weights[0]:
                stack = [
                    Factors(tensors[f"{prefix}.lora_A.weight"], tensors[f"{prefix}.lora_B.weight"], 0.5)
                    for tensors in weights
                ]
                own = reference.merge_into(own, reference.linear(stack), torch.bfloat16)
                worst = max(worst, int((own != merged).sum()) / own.numel())
            elif not torch.equal(own, merged):
                raise SystemExit(f"{name} was changed: nothing is reported")
    return worst


def measured(layers: int) -> tuple[dict[str, Any], int, float]:
    """The child's figures, the size of the base in bytes, and the misrounded share."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_base(folder, layers)
        weights = []
        for seed in range(adapters):
            make_adapter(folder, layers, seed)
            with safe_open(folder / f"adapter-{seed}.safetensors", "pt") as file:
                weights.append({key: file.get_tensor(key).clone() for key in file.keys()})  # noqa: SIM118
        command = [sys.executable, "-m", "benchmarks.model_memory", "--child", name, "--layers", str(layers)]
        child = subprocess.run(command, check=True, capture_output=True, text=True)
        share = misrounded_share(folder, weights)
        if share > allowed_misrounded:
            raise SystemExit(f"{share:.1e} of the elements are misrounded: nothing is reported")
        return json.loads(child.stdout), (folder / "model.safetensors").stat().st_size, share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=24, help="of the smaller base; the larger has twice as many")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        merge(arguments.child, arguments.layers)
        return
    print(describe())
    print(f"{adapters} adapters of rank {rank} into half of the modules, {width} × {width}, bfloat16")
    print("| base | peak above the start | seconds | CPU seconds | misrounded |")
    print("|---|---|---|---|---|")
    for layers in (arguments.layers, 2 * arguments.layers):
        figures, size_bytes, share = measured(layers)
        above = (figures["peak"] - figures["before"]) / 2**20
        seconds = f"{figures['seconds']:.1f} | {figures['cpu_seconds']:.1f}"
        print(f"| {size_bytes / 1e6:.0f} MB | {above:.0f} MiB | {seconds} | {share:.1e} |")


if __name__ == "__main__":
    main()
