"""What an adapter's files say, module by module; read from header and config, without a tensor loaded."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.base_model import BaseModel


class ModuleKind(StrEnum):
    """The kind of layer in the base model that a module's delta is for."""

    LINEAR = "linear"
    EMBEDDING = "embedding"
    CONV1D = "conv1d"
    CONV2D = "conv2d"
    CONV3D = "conv3d"
    EXPERTS = "target_parameters"
    """A parameter, as a rule the weights of all experts in one tensor: each is a matrix with factors of its own."""


@dataclass(frozen=True, slots=True)
class Module:
    """One adapted module: ΔW = scaling · B·A, transposed where the base stores its weight as [in, out].

    `a_shape` and `b_shape` are the file's own: [r, in] and [out, r]; of an embedding [r, vocabulary] and [width, r];
    of a convolution [r, in, height, width] and [out, r, 1, 1] (one extent fewer in one dimension, one more in three), where
    ΔW is B·A with A as [r, in·height·width]. With groups B is [out, r / groups, 1, 1], and A takes all inputs. Of experts A is
    [experts·r, in], one expert's ranks after another's, and B [out, r·experts], one rank of all experts after another.
    """

    name: str
    """As in the base model, without PEFT's prefix: `model.layers.0.self_attn.q_proj`; of experts the parameter's."""
    kind: ModuleKind
    rank: int
    """Of one expert, where there are such."""
    alpha: float
    scaling: float
    """alpha / rank, or alpha / √rank for rsLoRA; no unit."""
    fan_in_fan_out: bool
    """The base stores this weight as [in, out] (GPT-2's Conv1D)."""
    a_key: str
    """Name of A in the safetensors file."""
    b_key: str
    a_shape: tuple[int, ...]
    b_shape: tuple[int, ...]
    a_dtype: str
    """safetensors' own name: F32, BF16, F16, …"""
    b_dtype: str
    bias_key: str | None = None
    """Name of B's own bias (`lora_bias`), [out]: scaling · bias is added to the base's bias."""
    magnitude_key: str | None = None
    """Name of DoRA's magnitudes, one for each output: the length that each row of W + ΔW is given."""

    @property
    def in_features(self) -> int:
        size = 1
        for extent in self.a_shape[1:]:
            size *= extent
        return size

    @property
    def out_features(self) -> int:
        return self.b_shape[0]

    @property
    def tensor(self) -> str:
        """Of the base, to which the delta is added."""
        return self.name if self.kind is ModuleKind.EXPERTS else f"{self.name}.weight"

    @property
    def experts(self) -> int:
        """Matrices with factors of their own: 1, but for experts in one tensor."""
        return self.a_shape[0] // self.rank

    @property
    def groups(self) -> int:
        """Of a convolution: each of so many parts of the outputs has its own share of the ranks."""
        return self.rank * self.experts // self.b_shape[1]

    @property
    def is_transposed(self) -> bool:
        """The base's weight is [in, out], so that the delta to add is (B·A)ᵀ."""
        return self.fan_in_fan_out or self.kind is ModuleKind.EMBEDDING


class ReplacementKind(StrEnum):
    """Why an adapter brings a tensor whole."""

    MODULE = "modules_to_save"
    TOKENS = "trainable_tokens"
    BIAS = "bias"
    EMBEDDING = "saved_embeddings"
    """PEFT saves an embedding, unasked, beside a LoRA on it, or when the vocabulary was resized."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A tensor of the base, or some rows of it, that stands in the adapter's file as it was trained, and not as a delta."""

    tensor: str
    """As in the base model: `lm_head.weight`."""
    kind: ReplacementKind
    key: str
    """Name in the safetensors file."""
    shape: tuple[int, ...]
    """Of what the file holds: of rows, [rows, width]."""
    dtype: str
    rows: tuple[int, ...] | None = None
    """Of trained tokens: the rows of the base's tensor that are replaced, in the order of the file; None for all."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as its files describe it."""

    peft_type: str
    rank: int
    """Of the configuration: `r`."""
    alpha: float
    use_rslora: bool
    use_dora: bool
    target_modules: tuple[str, ...]
    """Literal names, sorted; empty when the configuration gives a pattern (`target_pattern`)."""
    target_pattern: str | None
    dtype: str
    """The dtype of the weights (safetensors' name), or `mixed`."""
    parameters: int
    """Number of values in all tensors of the weights file."""
    modules: tuple[Module, ...]
    """Sorted by name."""
    unsupported: tuple[str, ...]
    """What is stored and served, and not merged yet: `pissa`, `alora`, `loha`, …; sorted."""
    base_model: BaseModel | None
    """What the configuration names."""
    weight_file: str
    """Path of the weights in the version: `adapter_model.safetensors`."""
    task_type: str | None = None
    replacements: tuple[Replacement, ...] = ()
    """Sorted by tensor."""

    @property
    def features(self) -> tuple[str, ...]:
        """What there is beyond B·A in linear layers and embeddings, merged or not; sorted."""
        found = {*self.unsupported, *(replacement.kind.value for replacement in self.replacements)}
        for module in self.modules:
            if module.kind not in (ModuleKind.LINEAR, ModuleKind.EMBEDDING):
                found.add(module.kind.value)
            if module.bias_key is not None:
                found.add("lora_bias")
            if module.magnitude_key is not None:
                found.add("dora")
        return tuple(sorted(found))

    @property
    def stands_on_values(self) -> bool:
        """What it changes depends on the values that it was trained upon, so that its delta is known only beside them."""
        return bool(self.replacements) or any(module.magnitude_key is not None for module in self.modules)


@dataclass(frozen=True, slots=True)
class TensorFact:
    """One tensor of a safetensors file, from its header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """Offset of the first byte in the file (header included)."""
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A full model as its files describe it: config.json and one or more weight files."""

    architectures: tuple[str, ...]
    model_type: str | None
    tie_word_embeddings: bool
    dtype: str
    """The dtype of most weights (safetensors' name)."""
    parameters: int
    weight_files: tuple[str, ...]
    """Paths, in the order of their names."""
    tensors: tuple[tuple[str, TensorFact], ...]
    """(path of the weight file, tensor), sorted by tensor name."""
