"""Real adapters and bases, made here by PEFT and transformers, and plans over them."""

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from app.domain.adapter import Adapter, Checkpoint, Module, ModuleKind, TensorFact
from app.domain.base_model import BaseModel
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import BasePart, Member, Plan
from app.domain.recipe import Method, Output, OutputKind
from app.objects.local import LocalStore
from app.worker.execution import Execution, execute
from app.worker.model_output import BaseFiles
from app.worker.stacks import MemberFiles
from app.worker.tensors import place_file, read_facts

names_of_dtypes = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}


def tiny_llama(dtype: torch.dtype = torch.float32, *, layers: int = 2, tied: bool = False) -> Any:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    model: Any = LlamaForCausalLM(config)
    return model.to(dtype).eval()


def tiny_gpt2() -> Any:
    torch.manual_seed(2)
    model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=53, n_positions=32, n_embd=20, n_layer=2, n_head=4))
    return model.eval()


def logits_of(model: Any) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(torch.arange(16).reshape(2, 8)).logits
    return logits


@dataclass
class MadeAdapter:
    """An adapter that lies in the store as PEFT saved it."""

    folder: Path
    files: MemberFiles
    deltas: dict[str, Tensor]
    """Float64, as PEFT itself computes them on the live model: what has to be added to the base's weight."""
    scalings: dict[str, float]


def make_adapter(base: Any, store: LocalStore, folder: Path, seed: int, **options: Any) -> MadeAdapter:
    """A PEFT LoRA on `base` with random factors."""
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]} | options
    config: Any = LoraConfig(**settings)
    model = get_peft_model(copy.deepcopy(base), config)
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = (0.3 * torch.randn(parameter.shape, generator=random)).to(parameter.dtype)
    deltas, scalings, modules = {}, {}, []
    for full_name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            name = full_name.removeprefix("base_model.model.")
            deltas[name] = delta_of(layer)
            scalings[name] = layer.scaling["default"]
            modules.append(module_of(name, layer))
    # PEFT would write the whole embedding beside its LoRA
    model.save_pretrained(str(folder), save_embedding_layers=False)
    weights = place_file(store, "adapter_model.safetensors", (folder / "adapter_model.safetensors").read_bytes())
    adapter = Adapter(
        peft_type="LORA",
        rank=config.r,
        alpha=config.lora_alpha,
        use_rslora=config.use_rslora,
        use_dora=False,
        target_modules=tuple(sorted(config.target_modules)),
        target_pattern=None,
        dtype="F32",
        parameters=0,
        modules=tuple(sorted(modules, key=lambda module: module.name)),
        unsupported=(),
        base_model=None,
        weight_file="adapter_model.safetensors",
        task_type=config.task_type,
    )
    return MadeAdapter(folder, MemberFiles(adapter, weights), deltas, scalings)


def delta_of(layer: Any) -> Tensor:
    scaling = layer.scaling["default"]
    if "default" in layer.lora_embedding_A:
        a, b = layer.lora_embedding_A["default"].detach().double(), layer.lora_embedding_B["default"].detach().double()
        embedded: Tensor = scaling * (b @ a).T
        return embedded
    a, b = layer.lora_A["default"].weight.detach().double(), layer.lora_B["default"].weight.detach().double()
    product: Tensor = scaling * (b @ a)
    return product.T if layer.fan_in_fan_out else product


def module_of(name: str, layer: Any) -> Module:
    is_embedding = "default" in layer.lora_embedding_A
    a = layer.lora_embedding_A["default"] if is_embedding else layer.lora_A["default"].weight
    b = layer.lora_embedding_B["default"] if is_embedding else layer.lora_B["default"].weight
    key = f"base_model.model.{name}." + ("lora_embedding_{}" if is_embedding else "lora_{}.weight")
    return Module(
        name=name,
        kind=ModuleKind.EMBEDDING if is_embedding else ModuleKind.LINEAR,
        rank=layer.r["default"],
        alpha=layer.lora_alpha["default"],
        scaling=layer.scaling["default"],
        fan_in_fan_out=bool(layer.fan_in_fan_out) and not is_embedding,
        a_key=key.format("A"),
        b_key=key.format("B"),
        a_shape=tuple(a.shape),
        b_shape=tuple(b.shape),
        a_dtype=names_of_dtypes[a.dtype],
        b_dtype=names_of_dtypes[b.dtype],
    )


def make_base(model: Any, store: LocalStore, folder: Path, extra: Mapping[str, bytes] | None = None) -> BaseFiles:
    """A checkpoint in the store as transformers saved it, sharded when it is larger than 60 kB."""
    model.save_pretrained(folder, max_shard_size="60KB")
    for path, content in (extra or {}).items():
        (folder / path).write_bytes(content)
    return base_in(folder, store)


def hand_made(
    tensors: Mapping[str, Tensor], bench: "Bench", name: str, config: Mapping[str, Any] | None = None
) -> BaseFiles:
    """A checkpoint of these tensors, in one file."""
    folder = bench.folder / name
    folder.mkdir()
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config or {}))
    return base_in(folder, bench.store)


def base_in(folder: Path, store: LocalStore) -> BaseFiles:
    files = tuple(place_file(store, path.name, path.read_bytes()) for path in sorted(folder.iterdir()))
    config = json.loads((folder / "config.json").read_bytes())
    weight_files = [file for file in files if file.path.endswith(".safetensors")]
    tensors: list[tuple[str, TensorFact]] = []
    for file in weight_files:
        tensors += [(file.path, fact) for fact in read_facts(store, file).values()]
    checkpoint = Checkpoint(
        architectures=tuple(config.get("architectures", ())),
        model_type=config.get("model_type"),
        tie_word_embeddings=bool(config.get("tie_word_embeddings")),
        dtype="F32",
        parameters=0,
        weight_files=tuple(file.path for file in weight_files),
        tensors=tuple(sorted(tensors, key=lambda placed: placed[1].name)),
    )
    return BaseFiles(checkpoint, files)


@dataclass
class Bench:
    """A store, the members of a plan, and where results are written."""

    store: LocalStore
    folder: Path
    base: BaseFiles | None = None
    files: dict[UUID, MemberFiles] = field(default_factory=dict)

    def member(self, files: MemberFiles, weight: float, role: Role = Role.BRANCH) -> Member:
        """A member whose content digest is that of its weights: as fixed as the adapter."""
        version = uuid4()
        self.files[version] = files
        digest = files.weights.digest
        return Member(version, f"alice/adapter-{len(self.files)}@1.0.0", digest, digest, role, weight)

    def plan(self, members: Sequence[Member], output: Output, method: Method = Method()) -> Plan:
        nothing = Digest("sha256:" + "0" * 64)
        return Plan(
            base_model=BaseModel("org/base", revision="abc"),
            trunk=tuple(member for member in members if member.role is Role.TRUNK),
            branches=tuple(member for member in members if member.role is Role.BRANCH),
            covered=(),
            substitutions=(),
            warnings=(),
            method=method,
            output=output,
            base=None if output.kind is OutputKind.ADAPTER else BasePart(uuid4(), "org/base@1.0.0", nothing, nothing),
            modules=0,
            rank_min=0,
            rank_max=0,
            is_exact=output.rank is None,
            bytes_read=0,
            bytes_written=0,
            peak_bytes=0,
        )

    def run(self, members: Sequence[Member], output: Output, method: Method = Method(), **options: Any) -> Execution:
        options = {"progress": lambda done, total, unit: None} | options
        return execute(self.plan(members, output, method), self.files, self.base, self.store, "cpu", **options)

    def saved(self, execution: Execution, name: str = "result") -> Path:
        """The result's files in a folder, each checked against its digest and size."""
        folder = self.folder / name
        folder.mkdir()
        for file in execution.files:
            content = b"".join(self.store.read(file.digest))
            assert file.digest == "sha256:" + hashlib.sha256(content).hexdigest()
            assert file.size_bytes == len(content)
            (folder / file.path).write_bytes(content)
        return folder


def loaded_deltas(base: Any, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """An adapter as PEFT loads it on `base`, and the deltas that it then has; a missing or a stray key is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(missing|unexpected).*keys.*")
        model: Any = PeftModel.from_pretrained(copy.deepcopy(base), folder)
    deltas = {
        name.removeprefix("base_model.model."): delta_of(layer)
        for name, layer in model.named_modules()
        if isinstance(layer, LoraLayer)
    }
    return model.eval(), deltas


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Every tensor of every safetensors file in a folder, as the library reads them."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def sum_of(weighted: Sequence[tuple[MadeAdapter, float]]) -> dict[str, Tensor]:
    """Σ weight·Δ per module, in float64."""
    total: dict[str, Tensor] = {}
    for adapter, weight in weighted:
        for name, delta in adapter.deltas.items():
            total[name] = total.get(name, torch.zeros_like(delta)) + weight * delta
    return total


def loaded_model(folder: Path) -> Any:
    """A checkpoint as transformers loads it."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    return model.eval()


def with_deltas(base: Any, deltas: Mapping[str, Tensor]) -> Any:
    """A float64 copy of the base with the deltas added."""
    model = copy.deepcopy(base).double()
    for name, delta in deltas.items():
        model.get_submodule(name).weight.data += delta
    return model
