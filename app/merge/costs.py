"""What a merge reads, writes and holds in memory, from shapes alone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import prod

from app.domain.adapter import Checkpoint
from app.domain.recipe import Dtype, Energy, Output
from app.merge.methods import Space

working_bytes = 8
"""The kernel computes in float64, or in float32 at half of it."""
value_bytes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""The floating dtypes that are merged; others are refused or copied as they are."""
output_bytes = {Dtype.FLOAT32: 4, Dtype.BFLOAT16: 2, Dtype.FLOAT16: 2}
batch_bytes = 256 << 20
"""Joined float64 factors of the modules that the worker decomposes in one call."""
tile_values = 1 << 20
tiles_at_once = 32
"""Of a base model, in the threads of one worker and waiting to be written."""
element_tile_values = 1 << 18
"""Of one tile of an element-wise method, or one row."""
element_tiles_at_once = 16
"""Of each delta, in the threads of one worker."""
gathered_share = 0.064
"""Of a delta's elements, set aside by a sweep that looks for its threshold, also when its first guess missed."""
sampled_share = 1 / 64
sketch_oversampling = 16
header_bytes_per_tensor = 160
"""Beside its name, in a safetensors header: dtype, shape and offsets at their longest, in JSON."""


@dataclass(frozen=True, slots=True)
class ModuleSum:
    """One module of the result: what is summed, and what the method makes of the branches."""

    name: str
    out_features: int
    in_features: int
    space: Space
    summed_rank: int
    """The sum of the ranks of all that is added linearly."""
    branch_rank: int
    """The sum of the ranks of what the method takes."""
    branches: int
    factor_bytes: int
    """Of the members' A and B as they are stored."""
    experts: int = 1
    """Matrices of this shape in the module."""

    @property
    def is_low_rank(self) -> bool:
        return self.space is not Space.ELEMENTS or self.branches == 0

    @property
    def exact_rank(self) -> int:
        """Of the exact result as it is written."""
        return self.space.rank(self.summed_rank, self.branch_rank, self.out_features, self.in_features)

    @property
    def sides(self) -> int:
        return self.out_features + self.in_features

    @property
    def joined_bytes(self) -> int:
        """Of all that is added as factors, joined along the rank in float64, of all experts."""
        rank = self.exact_rank if self.is_low_rank else self.summed_rank
        return working_bytes * rank * self.sides * self.experts

    @property
    def method_bytes(self) -> int:
        """What the method holds beside that, in float64.

        A combination copies the factors. The joint space takes them joined, orthogonal factors and the result, and two cores
        for each delta with a dozen for singular vectors; coordinates are R × in for each delta, three times, and for the
        election. An element-wise method copies the factors and holds for each delta a sample and what its sweep sets aside,
        and some tiles for each delta in every thread.
        """
        factors, rank = self.branch_rank * self.sides * self.experts, self.branch_rank
        if self.branches == 0:
            return 0
        match self.space:
            case Space.SUM:
                return 0
            case Space.COMBINATION:
                return working_bytes * factors
            case Space.JOINT:
                return working_bytes * (4 * factors + (2 * self.branches + 12) * rank**2)
            case Space.COORDINATES:
                coordinates = (3 * self.branches + 8) * rank * self.in_features
                return working_bytes * (4 * factors + coordinates + 12 * rank**2)
            case Space.ELEMENTS:
                gathered = int((2 * gathered_share + 3 * sampled_share) * self.out_features * self.in_features)
                tiles = element_tiles_at_once * max(element_tile_values, self.in_features, self.out_features)
                return working_bytes * (factors + self.branches * gathered + (10 + 2 * self.branches) * tiles)

    def rank(self, output: Output) -> int:
        """Of the result: as it is for an exact one, an upper bound for a truncated one."""
        if output.rank is None:
            return self.exact_rank
        bound = min(self.exact_rank, self.out_features, self.in_features)
        asked = output.rank_of(self.name)
        return bound if asked is None else min(asked, bound)

    def sketch_bytes(self, output: Output) -> int:
        """Of a randomized range finder: its width is the rank and some more; for an energy it may grow to the whole side."""
        width = min(self.rank(output) + sketch_oversampling, self.out_features, self.in_features)
        return working_bytes * width * (6 * self.sides + tiles_at_once * max(self.out_features, self.in_features))


@dataclass(frozen=True, slots=True)
class DependentSum:
    """A tensor that is more than a sum of products: what it costs to know it, and to bring it whole."""

    tensor: str
    values: int
    """Of the tensor, or of the rows that are replaced."""
    columns: int
    """Of one row."""
    factor_values: int
    """Of the shares' A and B."""
    held_values: int
    """Of vectors and of trained rows, which are held as a whole."""
    normed: int
    """Shares with DoRA, of which a tile each is held at once beside the base's, the sum and two on the way."""
    is_one_tile: bool
    """Its outputs are columns, and their lengths are needed: the tensor is taken at once."""

    @property
    def peak_bytes(self) -> int:
        tiles = self.values if self.is_one_tile else tiles_at_once * max(tile_values, self.columns)
        return working_bytes * (2 * self.factor_values + self.held_values + (self.normed + 4) * tiles)


def adapter_bytes(sums: Iterable[ModuleSum], output: Output, dependents: Iterable[DependentSum] = ()) -> int:
    """An upper bound of the result's weight file; a copied tensor of whole numbers has eight bytes a value."""
    size = output_bytes[output.dtype or Dtype.FLOAT32]
    of_modules = sum(
        summed.rank(output) * (summed.out_features + summed.in_features) * summed.experts * size
        + 2 * (len(summed.name) + header_bytes_per_tensor)
        for summed in sums
    )
    return of_modules + sum(
        dependent.values * working_bytes + len(dependent.tensor) + header_bytes_per_tensor for dependent in dependents
    )


def adapter_peak_bytes(sums: Sequence[ModuleSum], output: Output) -> int:
    """An upper bound of what a merge into an adapter holds at once.

    An exact one goes module by module: the factors as stored, what the method holds, and joined in float64 with a working
    copy. A truncated one takes modules of one shape and rank together, up to `batch_bytes` of joined factors or one module:
    held are the factors as stored, the joined ones, their orthogonal factors, the singular vectors, a working copy and the
    result, each R·(out + in) values in float64, and the core with its three factors, each R². What is there in tiles only is
    sketched, one module at a time. For an energy the whole result waits, since its ranks decide the header.
    """
    if output.rank is None:
        return max((summed.factor_bytes + summed.method_bytes + 3 * summed.joined_bytes for summed in sums), default=0)
    groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    largest = 0
    for summed in sums:
        each = summed.factor_bytes + summed.method_bytes
        if summed.is_low_rank:
            each += 6 * summed.joined_bytes + 4 * working_bytes * summed.experts * summed.exact_rank**2
            groups[summed.out_features, summed.in_features, summed.exact_rank * summed.experts].append(each)
        else:
            largest = max(largest, each + 2 * summed.joined_bytes + summed.sketch_bytes(output))
    for (out_features, in_features, rank), held in groups.items():
        joined_bytes = working_bytes * rank * (out_features + in_features)
        of_batch = max(1, batch_bytes // joined_bytes)
        largest = max(largest, sum(nlargest(of_batch, held)))
    return largest + (adapter_bytes(sums, output) if isinstance(output.rank, Energy) else 0)


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

    `tiles_at_once` tiles of `tile_values` values (or one row), each as stored, summed in float64, and rounded; but never
    more than all tensors. Beside them two modules at a border: the factors as stored, joined twice in float64, and the method's.
    """
    row = max((tensor.shape[-1] for _, tensor in checkpoint.tensors if tensor.shape), default=0)
    values = min(tiles_at_once * max(tile_values, row), checkpoint.parameters)
    joined = max((summed.factor_bytes + summed.method_bytes + 2 * summed.joined_bytes for summed in sums), default=0)
    return 3 * working_bytes * values + 2 * joined
