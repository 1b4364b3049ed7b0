"""From a resolution and the headers of the files to the plan and its cost; no tensor is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.adapter import Adapter, Checkpoint, Module, ModuleKind, TensorFact
from app.domain.lineage import Role
from app.domain.plan import BasePart, Member, Plan, Resolution
from app.domain.recipe import Method, Output, OutputKind, Trunk, WeightFile
from app.errors import (
    ModuleNotInBase,
    NoExactAdapter,
    PlanTooLarge,
    RecalledInPlan,
    ShapeMismatch,
    TooManyLayers,
    UnsupportedFeature,
)
from app.merge.costs import ModuleSum, adapter_bytes, adapter_peak_bytes, model_bytes, model_peak_bytes, value_bytes
from app.merge.methods import Space, methods
from app.merge.published import Catalogue
from app.merge.rules import path_to_recalled

tied_to_embedding = "lm_head"
"""The last part of the module's name that shares its weight with the embedding, in the libraries whose adapters are read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one merge may cost in this registry; None is no limit."""

    members: int | None = None
    rank: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    peak_bytes: int | None = None


def plan(
    resolution: Resolution,
    adapters: Mapping[UUID, Adapter],
    weight_files: Mapping[UUID, tuple[WeightFile, ...]],
    method: Method,
    output: Output,
    base: tuple[BasePart, Checkpoint] | None,
    catalogue: Catalogue,
    limits: Limits = Limits(),
) -> Plan:
    """What will be executed, refused here if it cannot be.

    Args:
        adapters: of every member that is summed; those of a referenced trunk are not needed.
        weight_files: of the same, and of the base of a model output.
        base: of a model output; None for an adapter.

    Raises: NoExactAdapter, TooManyLayers, UnsupportedFeature, ShapeMismatch, ModuleNotInBase, RecalledInPlan, PlanTooLarge.
    """
    is_model = output.kind is OutputKind.MODEL
    is_exact = is_model or output.rank is None
    if not is_model and is_exact and not methods[method.name].is_low_rank:
        raise NoExactAdapter(method.name)
    _check_branches(resolution, method)
    members = resolution.branches
    if output.trunk is Trunk.INCLUDED:
        members += resolution.trunk
    for member in members:
        for feature in adapters[member.version].unsupported:
            raise UnsupportedFeature(feature, member.version)
    sums = _module_sums(members, adapters, methods[method.name].space)
    bytes_read = sum(file.size_bytes for member in members for file in weight_files[member.version])
    if base is None:
        bytes_written, peak_bytes = adapter_bytes(sums, output), adapter_peak_bytes(sums, output)
    else:
        part, checkpoint = base
        if (recalled := path_to_recalled(catalogue, [part.version])) is not None:
            raise RecalledInPlan(recalled[-1], [recalled])
        _check_base(members, adapters, checkpoint)
        bytes_read += sum(file.size_bytes for file in weight_files[part.version])
        bytes_written, peak_bytes = model_bytes(checkpoint, output), model_peak_bytes(checkpoint, sums)

    ranks = [summed.exact_rank if is_model else summed.rank(output) for summed in sums]
    result = Plan(
        base_model=resolution.base_model,
        trunk=resolution.trunk,
        branches=resolution.branches,
        covered=resolution.covered,
        substitutions=resolution.substitutions,
        warnings=resolution.warnings,
        method=method,
        output=output,
        base=None if base is None else base[0],
        modules=len(sums),
        rank_min=min(ranks, default=0),
        rank_max=max(ranks, default=0),
        is_exact=is_exact,
        bytes_read=bytes_read,
        bytes_written=bytes_written,
        peak_bytes=peak_bytes,
        task_type=_task_type([adapters[member.version] for member in members]),
    )
    _check_limits(result, len(members), limits)
    return result


def _task_type(adapters: Sequence[Adapter]) -> str | None:
    task_types = {adapter.task_type for adapter in adapters}
    return task_types.pop() if len(task_types) == 1 else None


def _check_branches(resolution: Resolution, method: Method) -> None:
    """Raises: TooManyLayers."""
    most = methods[method.name].most_branches
    found = sum(branch.weight != 0 for branch in resolution.branches)
    if most is not None and found > most:
        raise TooManyLayers(method.name, most, found)


def _module_sums(members: Sequence[Member], adapters: Mapping[UUID, Adapter], space: Space) -> list[ModuleSum]:
    """The modules of the result by name; a member without a module adds nothing to it.

    A branch at weight 0 has no vote: it is summed, at weight 0.

    Raises: ShapeMismatch, UnsupportedFeature.
    """
    holders: dict[str, list[tuple[Member, Module]]] = {}
    for member in members:
        for module in adapters[member.version].modules:
            holders.setdefault(module.name, []).append((member, module))
    sums = []
    for name, held in sorted(holders.items()):
        first_member, first = held[0]
        for member, module in held[1:]:
            if _delta_shape(module) != _delta_shape(first):
                raise ShapeMismatch(name, _delta_shape(first), _delta_shape(module), first_member.reference)
            if module.kind is not first.kind:
                raise UnsupportedFeature(f"a {module.kind} beside a {first.kind} delta", member.version, name)
        branches = [
            module.rank
            for member, module in held
            if space is not Space.SUM and member.role is Role.BRANCH and member.weight != 0
        ]
        sums.append(
            ModuleSum(
                name=name,
                out_features=first.out_features,
                in_features=first.in_features,
                space=space,
                summed_rank=sum(module.rank for _, module in held) - sum(branches),
                branch_rank=sum(branches),
                branches=len(branches),
                factor_bytes=sum(_factor_bytes(module) for _, module in held),
            )
        )
    return sums


def _check_base(members: Sequence[Member], adapters: Mapping[UUID, Adapter], checkpoint: Checkpoint) -> None:
    """Raises: ModuleNotInBase, UnsupportedFeature."""
    tensors = {tensor.name: tensor for _, tensor in checkpoint.tensors}
    is_transposed: dict[str, bool] = {}
    for member in members:
        for module in adapters[member.version].modules:
            if module.is_transposed is not is_transposed.setdefault(module.name, module.is_transposed):
                raise UnsupportedFeature("mixed fan_in_fan_out", member.version, module.name)
            is_shared = module.kind is ModuleKind.EMBEDDING or module.name.split(".")[-1] == tied_to_embedding
            if checkpoint.tie_word_embeddings and is_shared:
                # the delta is meant for one of the two places where the base uses this weight
                raise UnsupportedFeature("an embedding with tied weights", member.version, module.name)
            _check_fits(member, module, tensors.get(f"{module.name}.weight"))


def _check_fits(member: Member, module: Module, tensor: TensorFact | None) -> None:
    if tensor is None:
        raise ModuleNotInBase(member.version, module.name, f"there is no tensor {module.name}.weight")
    out_shape, in_shape = module.b_shape[:1], module.a_shape[1:]
    expected = in_shape + out_shape if module.is_transposed else out_shape + in_shape
    if tensor.shape != expected:
        reason = f"the adapter's delta is {list(expected)}, the base's weight {list(tensor.shape)}"
        raise ModuleNotInBase(member.version, module.name, reason)
    if tensor.dtype not in value_bytes:
        raise UnsupportedFeature(f"a base weight of dtype {tensor.dtype}", member.version, module.name)


def _delta_shape(module: Module) -> tuple[int, ...]:
    return module.out_features, *module.a_shape[1:]


def _factor_bytes(module: Module) -> int:
    """Of A and B as stored; dtypes that are unknown here are refused as unsupported before."""
    a, b = module.rank * module.in_features, module.rank * module.out_features
    return a * value_bytes[module.a_dtype] + b * value_bytes[module.b_dtype]


def _check_limits(result: Plan, members: int, limits: Limits) -> None:
    """Raises: PlanTooLarge."""
    figures = [
        ("members of the sum", limits.members, members),
        ("rank of a module of the result", limits.rank, result.rank_max),
        ("bytes to read", limits.read_bytes, result.bytes_read),
        ("bytes to write", limits.written_bytes, result.bytes_written),
        ("bytes of memory", limits.peak_bytes, result.peak_bytes),
    ]
    for what, limit, found in figures:
        if limit is not None and found > limit:
            raise PlanTooLarge(what, limit, found)
