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


@dataclass(frozen=True, slots=True)
class Module:
    """One adapted module: ΔW = scaling · B·A, transposed where the base stores its weight as [in, out].

    `a_shape` and `b_shape` are the file's own: [r, in] and [out, r]; of an embedding [r, vocabulary] and [width, r];
    of a convolution [r, in, height, width] and [out, r, 1, 1] (one extent fewer in one dimension, one more in three).
    """

    name: str
    """As in the base model, without PEFT's prefix: `model.layers.0.self_attn.q_proj`."""
    kind: ModuleKind
    rank: int
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
    def is_transposed(self) -> bool:
        """The base's weight is [in, out], so that the delta to add is (B·A)ᵀ."""
        return self.fan_in_fan_out or self.kind is ModuleKind.EMBEDDING


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
    """What is stored and served, and not merged yet: `dora`, `bias`, `modules_to_save`, `conv2d`, `loha`, …; sorted."""
    base_model: BaseModel | None
    """What the configuration names."""
    weight_file: str
    """Path of the weights in the version: `adapter_model.safetensors`."""
    task_type: str | None = None


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
