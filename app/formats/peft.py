"""A PEFT adapter: its configuration and the header of its weights, made into one description of every module.

Tensor names are `base_model.model.<module>.lora_A.weight`, with the adapter's name before `.weight` in files that other
tools wrote; of an embedding `…lora_embedding_A`; of DoRA `…lora_magnitude_vector`.
Source: PEFT 0.21.2, `utils/save_and_load.py` and `tuners/lora/layer.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import prod, sqrt

from app.domain.adapter import Adapter, Module, ModuleKind, Replacement, TensorFact
from app.errors import EmptyAdapter, FactorShape, RankMismatch, StrayTensor, UnpairedFactor, UnsafePattern
from app.formats.adapter_config import AdapterConfig, LoraConfig, config_path, read_config
from app.formats.inspection import Inspection
from app.formats.parameters import by_depth, targeted, unwrapped, wrapper
from app.formats.patterns import most_work
from app.formats.replacements import read_replacement

prefix = "base_model.model."
vectors = ("bias", "lora_magnitude_vector")
"""What a module may have beside its factors, with a value for each output."""
factor_names = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector")
merged_dtypes = frozenset({"F64", "F32", "F16", "BF16"})
kind_of_dimensions = {2: ModuleKind.LINEAR, 3: ModuleKind.CONV1D, 4: ModuleKind.CONV2D, 5: ModuleKind.CONV3D}
features_with_tensors = frozenset({"arrow", "bdlora", "kasa", "monteclora", "velora"})
"""Unmerged features that bring `lora_…` tensors of their own."""


@dataclass(slots=True)
class Sorting:
    """The tensors of a file, sorted by what they are."""

    modules: dict[str, dict[str, TensorFact]] = field(default_factory=dict)
    """By module, then by factor; `bias` is B's."""
    replacements: dict[str, Replacement] = field(default_factory=dict)
    """By the base's tensor."""
    features: set[str] = field(default_factory=set)
    """Unmerged features that were found among the tensors."""
    dtypes: set[str] = field(default_factory=set)
    """Of the modules' tensors."""


def read_adapter(config: bytes, weights: Inspection, weight_path: str) -> Adapter:
    """The adapter that an adapter_config.json and the inspected weights at `weight_path` make.

    Raises: what `Inspection.check_weights` and `read_config` raise; StrayTensor, UnpairedFactor, RankMismatch, FactorShape,
    EmptyAdapter. Nothing is guessed: a tensor that fits nowhere refuses the adapter.
    """
    weights.check_weights(weight_path)
    description = read_config(config, config_path)
    modules: tuple[Module, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    unsupported = set(description.unsupported)
    if description.lora is not None:
        sorting = sort_tensors(description.lora, description.unsupported, weights.tensors, weight_path)
        modules = read_modules(description.lora, sorting, weight_path)
        replacements = tuple(sorting.replacements[name] for name in sorted(sorting.replacements))
        unsupported |= sorting.features | {f"dtype_{dtype.lower()}" for dtype in sorting.dtypes - merged_dtypes}
        if not modules and not replacements and not unsupported:
            raise EmptyAdapter(weight_path)
    return adapter_of(description, modules, replacements, unsupported, weights.tensors, weight_path)


def adapter_of(
    description: AdapterConfig,
    modules: tuple[Module, ...],
    replacements: tuple[Replacement, ...],
    unsupported: Iterable[str],
    tensors: tuple[TensorFact, ...],
    weight_path: str,
) -> Adapter:
    dtypes = {tensor.dtype for tensor in tensors}
    return Adapter(
        peft_type=description.peft_type,
        rank=description.rank,
        alpha=description.alpha,
        use_rslora=description.lora is not None and description.lora.use_rslora,
        use_dora=description.lora is not None and description.lora.use_dora,
        target_modules=description.target_modules,
        target_pattern=description.target_pattern,
        dtype=dtypes.pop() if len(dtypes) == 1 else "mixed",
        parameters=sum(prod(tensor.shape) for tensor in tensors),
        modules=modules,
        unsupported=tuple(sorted(unsupported)),
        base_model=description.base_model,
        weight_file=weight_path,
        task_type=description.task_type,
        replacements=replacements,
    )


def sort_tensors(
    config: LoraConfig, unsupported: frozenset[str], tensors: tuple[TensorFact, ...], path: str
) -> Sorting:
    """Every tensor to its module, or to the unmerged feature that explains it.

    Raises: StrayTensor, UnsafePattern.
    """
    if len(config.modules_to_save) * len(tensors) > most_work:
        raise UnsafePattern(config_path, "modules_to_save", f"too many names for {len(tensors)} tensors")
    sorting = Sorting()
    adapter_names: set[str] = set()
    for tensor in tensors:
        if not tensor.name.startswith(prefix):
            raise StrayTensor(path, tensor.name, f"its name does not begin with {prefix}")
        name = tensor.name.removeprefix(prefix)
        module, factor, rest = split_name(name)
        if factor in factor_names:
            leaf, adapter_name = read_rest(tensor, factor, rest, path)
            adapter_names.add(adapter_name)
            if len(adapter_names) > 1:
                raise StrayTensor(path, tensor.name, "the file holds the tensors of several adapters")
            if leaf == "bias":
                if not config.has_bias:
                    raise StrayTensor(path, tensor.name, "lora_bias is not set")
                factor = "bias"
            factors = sorting.modules.setdefault(module, {})
            if factor in factors:
                raise StrayTensor(path, tensor.name, "the module has this factor twice")
            factors[factor] = tensor
            continue
        feature = feature_of(unsupported, name)
        if feature is not None:
            sorting.features.add(feature)
            continue
        replacement = read_replacement(config, tensor, name, path)
        if sorting.replacements.setdefault(replacement.tensor, replacement) is not replacement:
            raise StrayTensor(path, tensor.name, "the file replaces this tensor twice")
    return sorting


def split_name(name: str) -> tuple[str, str, list[str]]:
    """Module, the last part that begins with `lora_` (or an empty text), and the parts behind it."""
    parts = name.split(".")
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].startswith("lora_"):
            return ".".join(parts[:index]), parts[index], parts[index + 1 :]
    return name, "", []


def read_rest(tensor: TensorFact, factor: str, rest: list[str], path: str) -> tuple[str, str]:
    """Leaf (`weight` or `bias`) and the adapter's name, from what stands behind the factor.

    Raises: StrayTensor.
    """
    has_leaf = factor in ("lora_A", "lora_B")
    leaf = "weight"
    if rest and (has_leaf or (factor == "lora_magnitude_vector" and rest[-1] == "weight")):
        leaf, rest = rest[-1], rest[:-1]
    elif has_leaf:
        leaf = ""
    allowed = ("weight", "bias") if factor == "lora_B" else ("weight",)
    if leaf not in allowed or len(rest) > 1:
        raise StrayTensor(path, tensor.name, f"{factor} is followed by something that PEFT does not write")
    return leaf, rest[0] if rest else ""


def feature_of(unsupported: frozenset[str], name: str) -> str | None:
    """The unmerged feature that a tensor which is no factor belongs to; None for one that replaces a tensor of the base."""
    if split_name(name)[1] and features_with_tensors & unsupported:
        return min(features_with_tensors & unsupported)
    return None


def read_modules(config: LoraConfig, sorting: Sorting, path: str) -> tuple[Module, ...]:
    """Raises: StrayTensor, UnpairedFactor, RankMismatch, FactorShape, UnsafePattern."""
    for table in (config.ranks, config.alphas):
        table.check_work(len(sorting.modules))
    if len(config.target_parameters) * len(sorting.modules) > most_work:
        raise UnsafePattern(config_path, "target_parameters", f"too many names for {len(sorting.modules)} modules")
    modules = []
    names = names_of(config, sorting)
    for found, tensors in sorted(sorting.modules.items()):
        if found not in names:
            continue
        name, is_parameter = names[found]
        if not is_parameter and not config.targets.takes(name):
            raise StrayTensor(path, next(iter(tensors.values())).name, "the configuration does not target its module")
        a, b = pair_of(name, tensors, path)
        if ("lora_magnitude_vector" in tensors) != config.use_dora:
            if config.use_dora:
                raise UnpairedFactor(path, name, "lora_magnitude_vector")
            raise StrayTensor(path, tensors["lora_magnitude_vector"].name, "use_dora is not set")
        if config.has_bias and "bias" not in tensors and "lora_B" in tensors:
            raise UnpairedFactor(path, name, "lora_B.bias")
        if is_parameter:
            module = read_experts(config, name, a, b, path)
        else:
            module = read_module(config, name, a, b, "lora_embedding_A" in tensors, path)
        for factor, dimensions in (("bias", 1), ("lora_magnitude_vector", len(a.shape))):
            check_vector(tensors.get(factor), module, dimensions, path)
        sorting.dtypes |= {tensor.dtype for tensor in tensors.values()}
        modules.append(module_with(module, tensors))
    return tuple(sorted(modules, key=lambda module: module.name))


def names_of(config: LoraConfig, sorting: Sorting) -> dict[str, tuple[str, bool]]:
    """By the name in the file: what the factors belong to as the base calls it, and whether that is a parameter.

    What is wrapped in a way that the file does not tell is left out, and named among the features.
    """
    names: dict[str, tuple[str, bool]] = {}
    wrapped: dict[str, dict[int, str]] = {}
    for name in sorting.modules:
        owner, depth = unwrapped(name)
        if wrapper.removeprefix(".") in owner.split("."):
            # a layer inside one that PEFT wrapped twice: attention of one piece
            sorting.features.add("wrapped_layers")
        elif depth == 0 and (config.targets.takes(name) or not targeted(owner, config.target_parameters)):
            names[name] = (name, False)
        else:
            wrapped.setdefault(owner, {})[depth] = name
    for owner, by_level in wrapped.items():
        parameters = by_depth(targeted(owner, config.target_parameters))
        if parameters is None or sorted(by_level) != list(range(len(parameters))):
            sorting.features.add("nested_parameters" if config.target_parameters else "wrapped_layers")
            continue
        for depth, parameter in enumerate(parameters):
            names[by_level[depth]] = (f"{owner}.{parameter}", True)
    return names


def pair_of(name: str, tensors: dict[str, TensorFact], path: str) -> tuple[TensorFact, TensorFact]:
    """A and B of one module.

    Raises: UnpairedFactor, StrayTensor when there are the factors of a linear layer and of an embedding.
    """
    kinds = {factor.startswith("lora_embedding_") for factor in tensors if factor not in vectors}
    if len(kinds) > 1:
        raise StrayTensor(path, tensors.popitem()[1].name, "the module has the factors of two kinds of layer")
    stem = "lora_embedding_" if True in kinds else "lora_"
    for letter in "AB":
        if stem + letter not in tensors:
            raise UnpairedFactor(path, name, stem + letter)
    return tensors[stem + "A"], tensors[stem + "B"]


def read_module(config: LoraConfig, name: str, a: TensorFact, b: TensorFact, is_embedding: bool, path: str) -> Module:
    """Raises: RankMismatch, FactorShape."""
    kind = ModuleKind.EMBEDDING if is_embedding else kind_of_dimensions.get(len(a.shape))
    if kind is None or (is_embedding and len(a.shape) != 2):
        raise FactorShape(path, a.name, a.shape, "A has 2 dimensions, of a convolution 3 to 5")
    if len(b.shape) != len(a.shape) or any(extent != 1 for extent in b.shape[2:]):
        raise FactorShape(
            path, b.name, b.shape, f"B of an A with {len(a.shape)} dimensions has as many, [out, r, 1, …]"
        )
    for tensor in (a, b):
        if 0 in tensor.shape:
            raise FactorShape(
                path, tensor.name, tensor.shape, "a factor is not empty: was a sharded model saved unmerged?"
            )
    rank = config.rank_of(name)
    if a.shape[0] != rank:
        raise RankMismatch(path, name, rank, a.shape[0])
    is_convolution = kind not in (ModuleKind.LINEAR, ModuleKind.EMBEDDING)
    is_grouped = is_convolution and rank % b.shape[1] == 0 and b.shape[0] % (rank // b.shape[1]) == 0
    if b.shape[1] != rank and not is_grouped:
        raise RankMismatch(path, name, rank, b.shape[1])
    return module_of(config, name, kind, a, b)


def module_of(config: LoraConfig, name: str, kind: ModuleKind, a: TensorFact, b: TensorFact) -> Module:
    rank, alpha = config.rank_of(name), config.alpha_of(name)
    return Module(
        name=name,
        kind=kind,
        rank=rank,
        alpha=alpha,
        scaling=alpha / sqrt(rank) if config.use_rslora else alpha / rank,
        fan_in_fan_out=config.fan_in_fan_out and kind is ModuleKind.LINEAR,
        a_key=a.name,
        b_key=b.name,
        a_shape=a.shape,
        b_shape=b.shape,
        a_dtype=a.dtype,
        b_dtype=b.dtype,
    )


def read_experts(config: LoraConfig, name: str, a: TensorFact, b: TensorFact, path: str) -> Module:
    """The factors of all experts in one parameter. Raises: RankMismatch, FactorShape."""
    for tensor in (a, b):
        if len(tensor.shape) != 2 or 0 in tensor.shape:
            raise FactorShape(path, tensor.name, tensor.shape, "the factors of a parameter have 2 dimensions")
    rank = config.rank_of(name)
    if a.shape[0] % rank != 0:
        raise RankMismatch(path, name, rank, a.shape[0])
    if b.shape[1] != a.shape[0]:
        raise RankMismatch(path, name, a.shape[0], b.shape[1])
    return module_of(config, name, ModuleKind.EXPERTS, a, b)


def check_vector(tensor: TensorFact | None, module: Module, dimensions: int, path: str) -> None:
    """A value for each output: [out], or among ones as PEFT keeps the magnitudes of a convolution.

    Raises: FactorShape.
    """
    if tensor is None:
        return
    if prod(tensor.shape) != module.out_features or len(tensor.shape) not in (1, dimensions):
        raise FactorShape(path, tensor.name, tensor.shape, f"it has a value for each of {module.out_features} outputs")


def module_with(module: Module, tensors: dict[str, TensorFact]) -> Module:
    bias, magnitude = (tensors.get(factor) for factor in vectors)
    return replace(
        module,
        bias_key=None if bias is None else bias.name,
        magnitude_key=None if magnitude is None else magnitude.name,
    )
