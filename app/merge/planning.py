"""From a resolution and the headers of the files to the plan and its cost; no tensor is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from uuid import UUID

from app.domain.adapter import Adapter, Checkpoint, Module, ModuleKind, TensorFact
from app.domain.lineage import Role
from app.domain.plan import BasePart, Member, Plan, Resolution
from app.domain.recipe import Method, Output, OutputKind, Ranks, Trunk, WeightFile
from app.errors import (
    BaseNeeded,
    ModuleNotInBase,
    ModuleNotInResult,
    NoExactAdapter,
    PlanTooLarge,
    RecalledInPlan,
    ShapeMismatch,
    TooManyLayers,
    UnsupportedFeature,
)
from app.merge.composition import Composition, compose
from app.merge.costs import ModuleSum, adapter_bytes, adapter_peak_bytes, model_bytes, model_peak_bytes, value_bytes
from app.merge.dependents import check_dependent, check_for_adapter, check_for_model, cost_of, tied_to_embedding
from app.merge.methods import Space, methods
from app.merge.orientation import shape_in_base
from app.merge.publication import foundation
from app.merge.published import Catalogue
from app.merge.rules import path_to_recalled


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

    Raises: NoExactAdapter, TooManyLayers, UnsupportedFeature, ShapeMismatch, ReplacementConflict, BaseNeeded, ModuleNotInBase,
        ModuleNotInResult, RecalledInPlan, PlanTooLarge.
    """
    is_model = output.kind is OutputKind.MODEL
    is_exact = is_model or output.rank is None
    if not is_model and is_exact and not methods[method.name].is_low_rank:
        raise NoExactAdapter(method.name)
    _check_branches(resolution, method)
    is_referenced = output.trunk is Trunk.REFERENCED
    branches = _standing(resolution.branches, adapters, catalogue)
    trunk = resolution.trunk if is_referenced else _standing(resolution.trunk, adapters, catalogue)
    members = branches if is_referenced else branches + trunk
    for member in members:
        adapter = adapters[member.version]
        for feature in adapter.unsupported:
            raise UnsupportedFeature(feature, member.version)
        if is_referenced and trunk and adapter.stands_on_values:
            # what of the trunk's it would have to hold is in files that a referring result does not read
            raise UnsupportedFeature(f"{adapter.features[0]} with a referenced trunk", member.version)
    compositions = compose(members, adapters)
    sums = [_module_sum(one, methods[method.name].space) for one in compositions if one.is_plain]
    dependents = [one for one in compositions if not one.is_plain]
    for composition in dependents:
        check_dependent(composition, [member.content_digest for member in members], method, attrgetter("version"))
    bytes_read = sum(file.size_bytes for member in members for file in weight_files[member.version])
    costs = [cost_of(composition) for composition in dependents]
    dependent_bytes = max((cost.peak_bytes for cost in costs), default=0)
    if base is None:
        _check_adapter(compositions, members, method, output)
        _check_ranks(sums, output)
        bytes_written, peak_bytes = adapter_bytes(sums, output, costs), adapter_peak_bytes(sums, output)
    else:
        part, checkpoint = base
        if (recalled := path_to_recalled(catalogue, [part.version])) is not None:
            raise RecalledInPlan(recalled[-1], [recalled])
        _check_base(members, adapters, checkpoint)
        tensors = {tensor.name: tensor for _, tensor in checkpoint.tensors}
        for composition in dependents:
            check_for_model(composition, checkpoint, tensors.get(composition.tensor), attrgetter("version"))
        bytes_read += sum(file.size_bytes for file in weight_files[part.version])
        bytes_written, peak_bytes = model_bytes(checkpoint, output), model_peak_bytes(checkpoint, sums)

    ranks = [summed.exact_rank if is_model else summed.rank(output) for summed in sums]
    result = Plan(
        base_model=resolution.base_model,
        trunk=trunk,
        branches=branches,
        covered=resolution.covered,
        substitutions=resolution.substitutions,
        warnings=resolution.warnings,
        method=method,
        output=output,
        base=None if base is None else base[0],
        modules=len({composition.owner for composition in compositions}),
        rank_min=min(ranks, default=0),
        rank_max=max(ranks, default=0),
        is_exact=is_exact,
        bytes_read=bytes_read,
        bytes_written=bytes_written,
        peak_bytes=max(peak_bytes, dependent_bytes),
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


def _standing(members: Sequence[Member], adapters: Mapping[UUID, Adapter], catalogue: Catalogue) -> tuple[Member, ...]:
    """The members, with what they stand on where it decides what they change."""
    return tuple(
        replace(member, foundation=foundation(catalogue[member.version].edges, catalogue))
        if adapters[member.version].stands_on_values
        else member
        for member in members
    )


def _module_sum(composition: Composition, space: Space) -> ModuleSum:
    """A module of the result; a branch at weight 0 has no vote: it is summed, at weight 0.

    Raises: ShapeMismatch, UnsupportedFeature.
    """
    held = [(share.member, share.module) for share in composition.shares if share.module is not None]
    first_member, first = held[0]
    for member, module in held[1:]:
        if _delta_shape(module) != _delta_shape(first):
            raise ShapeMismatch(module.name, _delta_shape(first), _delta_shape(module), first_member.reference)
        if module.kind is not first.kind or module.groups != first.groups:
            what = f"a {module.kind} of {module.groups} groups beside a {first.kind} of {first.groups}"
            raise UnsupportedFeature(what, member.version, module.name)
    branches = [
        module.rank
        for member, module in held
        if space is not Space.SUM and member.role is Role.BRANCH and member.weight != 0
    ]
    return ModuleSum(
        name=first.name,
        out_features=first.out_features,
        in_features=first.in_features,
        space=space,
        summed_rank=sum(module.rank for _, module in held) - sum(branches),
        branch_rank=sum(branches),
        branches=len(branches),
        factor_bytes=sum(_factor_bytes(module) for _, module in held),
        experts=first.experts,
    )


def _check_adapter(
    compositions: Sequence[Composition], members: Sequence[Member], method: Method, output: Output
) -> None:
    """What PEFT can read as one LoRA.

    Raises: UnsupportedFeature, BaseNeeded.
    """
    targets = {one.owner: share for one in compositions if one.is_plain for share in one.shares[:1]}
    for composition in compositions:
        if composition.is_plain:
            continue
        check_for_adapter(composition, attrgetter("version"))
        if composition.is_added and composition.owner not in targets:
            # the weight is brought whole, and has no B whose bias it could be
            raise BaseNeeded("lora_bias", composition.shares[0].member.version, composition.tensor)
    if not targets:
        raise UnsupportedFeature("an adapter that holds no product of factors", members[0].version)
    has_bias = any(composition.is_added for composition in compositions)
    is_turned = any(share.module is not None and share.module.fan_in_fan_out for share in targets.values())
    is_joined = output.rank is None and methods[method.name].space in (Space.SUM, Space.COMBINATION)
    for name, share in targets.items():
        if share.module is not None and has_bias and share.module.kind is ModuleKind.EMBEDDING:
            raise UnsupportedFeature("lora_bias beside an embedding", share.member.version, name)
        if share.module is not None and share.module.kind is ModuleKind.EXPERTS and (has_bias or is_turned):
            raise UnsupportedFeature("target_parameters beside lora_bias or fan_in_fan_out", share.member.version, name)
        if share.module is not None and share.module.groups > 1 and not is_joined:
            what = f"{method.name} of a convolution with groups, or at a rank"
            raise UnsupportedFeature(what, share.member.version, name)


def _check_ranks(sums: Sequence[ModuleSum], output: Output) -> None:
    """Raises: ModuleNotInResult."""
    if isinstance(output.rank, Ranks):
        used = {entry for summed in sums for entry, _ in output.rank.entries_of(summed.name)}
        for entry, _ in output.rank.modules:
            if entry not in used:
                raise ModuleNotInResult(entry)


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
            _check_fits(member, module, tensors.get(module.tensor), checkpoint.model_type)


def _check_fits(member: Member, module: Module, tensor: TensorFact | None, model_type: str | None) -> None:
    if tensor is None:
        raise ModuleNotInBase(member.version, module.name, f"there is no tensor {module.tensor}")
    if module.groups > 1:
        reason = "of a convolution with groups the adapter takes the inputs of all groups, the base's weight those of its own"
        raise ModuleNotInBase(member.version, module.name, reason)
    expected, _ = shape_in_base(module, tensor.shape, model_type)
    if tensor.shape != expected:
        reason = f"the adapter's delta is {list(expected)}, the base's weight {list(tensor.shape)}"
        raise ModuleNotInBase(member.version, module.name, reason)
    if tensor.dtype not in value_bytes:
        raise UnsupportedFeature(f"a base weight of dtype {tensor.dtype}", member.version, module.name)


def _delta_shape(module: Module) -> tuple[int, ...]:
    experts = (module.experts,) if module.kind is ModuleKind.EXPERTS else ()
    return *experts, module.out_features, *module.a_shape[1:]


def _factor_bytes(module: Module) -> int:
    """Of A and B as stored; dtypes that are unknown here are refused as unsupported before."""
    ranks = module.rank * module.experts
    a, b = ranks * module.in_features, ranks * module.out_features
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
