"""A merge into a checkpoint as a worker carries it out, from store to store."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid4

from safetensors.torch import load_file
from torch import Tensor

from app.domain.adapter import Adapter, Checkpoint, Module, ModuleKind
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import BasePart, Member, Plan
from app.domain.recipe import Method, Output, OutputKind, WeightFile
from app.objects.local import LocalStore
from app.worker.execution import execute
from app.worker.model_output import BaseFiles
from app.worker.stacks import MemberFiles
from app.worker.tensors import place_file, read_facts
from benchmarks.kernel.checkpoints import Llama, save_all


def adapter_of(llama: Llama, rank: int, alpha: int) -> Adapter:
    modules = tuple(
        Module(
            name=name,
            kind=ModuleKind.LINEAR,
            rank=rank,
            alpha=alpha,
            scaling=alpha / rank,
            fan_in_fan_out=False,
            a_key=f"base_model.model.{name}.lora_A.weight",
            b_key=f"base_model.model.{name}.lora_B.weight",
            a_shape=(rank, in_features),
            b_shape=(out_features, rank),
            a_dtype="F32",
            b_dtype="F32",
        )
        for name, (out_features, in_features) in llama.modules().items()
    )
    return Adapter("LORA", rank, alpha, False, False, ("q_proj",), None, "F32", 0, modules, (), None, "", None)


def merge_of(
    llama: Llama, adapters: int, rank: int, alpha: int, weight: float, method: Method
) -> tuple[Callable[[], None], Callable[[Sequence[str]], dict[str, Tensor]]]:
    """(the merge from store to store, durable when it returns; some of the tensors that it has written)."""
    folder = Path(tempfile.mkdtemp())
    store = LocalStore(folder / "store")
    members: list[Member] = []
    files: dict[UUID, MemberFiles] = {}
    for seed, one in enumerate(save_all(folder, llama, adapters, rank, alpha)):
        weights = stored(store, one / "adapter_model.safetensors")
        members.append(
            Member(version := uuid4(), f"a/{seed}@1.0.0", weights.digest, weights.digest, Role.BRANCH, weight)
        )
        files[version] = MemberFiles(adapter_of(llama, rank, alpha), weights)
    base_files = [stored(store, folder / "base" / name) for name in ("config.json", "model.safetensors")]
    tensors = read_facts(store, base_files[1])
    placed = tuple(("model.safetensors", tensors[name]) for name in sorted(tensors))
    checkpoint = Checkpoint((), None, False, "BF16", 0, ("model.safetensors",), placed)
    base = BasePart(uuid4(), "org/base@1.0.0", base_files[1].digest, base_files[1].digest)
    output = Output(OutputKind.MODEL, dtype=None)
    plan = Plan(None, (), tuple(members), (), (), (), method, output, base, 0, 0, 0, True, 0, 0, 0)
    results: list[Digest] = []

    def work() -> None:
        made = execute(plan, files, BaseFiles(checkpoint, tuple(base_files)), store, "cpu", lambda *fact: None)
        results[:] = [file.digest for file in made.files if file.path == "model.safetensors"]

    def made(names: Sequence[str]) -> dict[str, Tensor]:
        path = folder / "result.safetensors"
        path.write_bytes(b"".join(store.read(results[0])))
        found = load_file(path)
        shutil.rmtree(folder)
        return {name: found[f"{name}.weight"] for name in names}

    return work, made


def stored(store: LocalStore, path: Path) -> WeightFile:
    if path.name == "config.json":
        return place_file(store, path.name, path.read_bytes())
    with store.stage() as staged, path.open("rb") as source:
        while chunk := source.read(1 << 20):
            staged.write(chunk)
        file = WeightFile(path.name, staged.place(), staged.size_bytes)
    path.unlink()
    return file
