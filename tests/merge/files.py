"""Adapters and checkpoints as their headers would tell them."""

from collections.abc import Mapping

from app.domain.adapter import Adapter, Checkpoint, Module, ModuleKind, Replacement, ReplacementKind, TensorFact
from app.domain.digest import digest_of_bytes
from app.domain.recipe import WeightFile


def module(
    name: str,
    rank: int,
    out_features: int = 6,
    in_features: int = 5,
    *,
    kind: ModuleKind = ModuleKind.LINEAR,
    fan_in_fan_out: bool = False,
    dtype: str = "F32",
    kernel: tuple[int, ...] = (),
    groups: int = 1,
    has_bias: bool = False,
    is_dora: bool = False,
) -> Module:
    return Module(
        name=name,
        kind=kind,
        rank=rank,
        alpha=rank,
        scaling=1.0,
        fan_in_fan_out=fan_in_fan_out,
        a_key=f"{name}.lora_A.weight",
        b_key=f"{name}.lora_B.weight",
        a_shape=(rank, in_features, *kernel),
        b_shape=(out_features, rank // groups, *(1 for _ in kernel)),
        a_dtype=dtype,
        b_dtype=dtype,
        bias_key=f"{name}.lora_B.bias" if has_bias else None,
        magnitude_key=f"{name}.lora_magnitude_vector" if is_dora else None,
    )


def saved(tensor: str, *shape: int, dtype: str = "F32") -> Replacement:
    return Replacement(tensor, ReplacementKind.MODULE, tensor, shape, dtype)


def tokens(tensor: str, width: int, *rows: int) -> Replacement:
    return Replacement(tensor, ReplacementKind.TOKENS, tensor, (len(rows), width), "F32", rows)


def adapter(*modules: Module, unsupported: tuple[str, ...] = (), replacements: tuple[Replacement, ...] = ()) -> Adapter:
    return Adapter(
        peft_type="LORA",
        rank=max((module.rank for module in modules), default=0),
        alpha=1.0,
        use_rslora=False,
        use_dora=False,
        target_modules=tuple(module.name for module in modules),
        target_pattern=None,
        dtype="F32",
        parameters=sum(module.rank * (module.in_features + module.out_features) for module in modules),
        modules=tuple(sorted(modules, key=lambda module: module.name)),
        unsupported=unsupported,
        base_model=None,
        weight_file="adapter_model.safetensors",
        replacements=replacements,
    )


def weight_files(size_bytes: int) -> tuple[WeightFile, ...]:
    return (WeightFile("adapter_model.safetensors", digest_of_bytes(b"weights"), size_bytes),)


def checkpoint(shapes: Mapping[str, tuple[int, ...]], *, dtype: str = "BF16", tied: bool = False) -> Checkpoint:
    tensors, start, parameters = [], 0, 0
    for name, shape in sorted(shapes.items()):
        values = 1
        for extent in shape:
            values *= extent
        tensors.append(("model.safetensors", TensorFact(name, dtype, shape, start, start + 2 * values)))
        start += 2 * values
        parameters += values
    return Checkpoint(("Tiny",), "tiny", tied, dtype, parameters, ("model.safetensors",), tuple(tensors))
