"""What a merge reads, writes and holds in memory, from shapes alone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from app.domain.adapter import Checkpoint, TensorFact
from app.domain.recipe import Dtype, Energy, Output

working_bytes = 8
"""The kernel computes in float64."""
value_bytes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""The floating dtypes that are merged; others are refused or copied as they are."""
output_bytes = {Dtype.FLOAT32: 4, Dtype.BFLOAT16: 2, Dtype.FLOAT16: 2}
header_bytes_per_tensor = 160
"""Beside its name, in a safetensors header: dtype, shape and offsets at their longest, in JSON."""


@dataclass(frozen=True, slots=True)
class ModuleSum:
    """One module of the result: the sum of the members that have it."""

    name: str
    out_features: int
    in_features: int
    joined_rank: int
    """The sum of the members' ranks: the rank of the exact result as it is written."""
    factor_bytes: int
    """Of the members' A and B as they are stored."""

    def rank(self, output: Output) -> int:
        """Of the result: as it is for an exact one, an upper bound for a truncated one."""
        if output.rank is None:
            return self.joined_rank
        bound = min(self.joined_rank, self.out_features, self.in_features)
        return bound if isinstance(output.rank, Energy) else min(output.rank, bound)


def adapter_bytes(sums: Iterable[ModuleSum], output: Output) -> int:
    """An upper bound of the result's weight file."""
    size = output_bytes[output.dtype or Dtype.FLOAT32]
    return sum(
        summed.rank(output) * (summed.out_features + summed.in_features) * size
        + 2 * (len(summed.name) + header_bytes_per_tensor)
        for summed in sums
    )


def adapter_peak_bytes(sums: Iterable[ModuleSum]) -> int:
    """An upper bound of what a merge into an adapter holds at once.

    Modules of one shape go through one call, the groups one after the other. Of a group are held: the factors as stored;
    the joined A and B, their orthogonal factors, and the result, each R·(out + in) values in float64; and the core with its
    three factors, each R² values.
    """
    groups: dict[tuple[int, int], int] = defaultdict(int)
    for summed in sums:
        joined = 3 * summed.joined_rank * (summed.out_features + summed.in_features)
        core = 4 * summed.joined_rank**2
        groups[summed.out_features, summed.in_features] += summed.factor_bytes + working_bytes * (joined + core)
    return max(groups.values(), default=0)


def model_bytes(checkpoint: Checkpoint, output: Output) -> int:
    """An upper bound of the result's weight files; tensors that are no numbers to merge keep their bytes."""
    total = 0
    for _, tensor in checkpoint.tensors:
        size = tensor.size_bytes
        if output.dtype is not None and tensor.dtype in value_bytes:
            size = prod(tensor.shape) * output_bytes[output.dtype]
        total += size + len(tensor.name) + header_bytes_per_tensor
    return total


def model_peak_bytes(checkpoint: Checkpoint, sums: Sequence[ModuleSum]) -> int:
    """An upper bound of what a merge into a model holds at once; it does not grow with the number of tensors.

    Tensor by tensor are held: the base's as stored, its sum in float64, and the result in at most the larger of the
    two; beside the factors of the one module, as stored and joined in float64.
    """

    def held(tensor: TensorFact) -> int:
        return tensor.size_bytes + 2 * working_bytes * prod(tensor.shape)

    tensors = max((held(tensor) for _, tensor in checkpoint.tensors), default=0)
    joined = (
        summed.factor_bytes + 2 * working_bytes * summed.joined_rank * (summed.out_features + summed.in_features)
        for summed in sums
    )
    return tensors + max(joined, default=0)
