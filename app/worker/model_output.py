"""A full model as the result of a merge: the base streamed through, tile by tile."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import prod
from operator import attrgetter
from typing import Any

import torch

from app.domain.adapter import Checkpoint, ModuleKind, TensorFact
from app.domain.digest import Digest
from app.domain.plan import Plan
from app.domain.recipe import Dtype, WeightFile
from app.errors import ModuleNotInBase, UnsupportedFeature
from app.formats.header import size_of_dtype
from app.kernel.addition import Addition
from app.kernel.rounding import round_once
from app.kernel.threads import alone, in_order
from app.merge.dependents import check_for_model
from app.merge.orientation import shape_in_base
from app.objects.store import ByteStore
from app.worker.dependents import Dependent, bounds_of, matrix_of
from app.worker.progress import Meter
from app.worker.stacks import Matrix, ModuleStack
from app.worker.tensors import (
    Entry,
    bytes_of,
    check_finite,
    place_file,
    read_values,
    stored_names,
    torch_dtypes,
    write_tensors,
)

tile_values = 1 << 20
"""Values of one piece of work: small enough for a processor's caches, large enough for its matrix product."""

copied_suffixes = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".py")
copied_names = ("license", "notice", "use_policy")
"""What goes with a model besides its weights: configuration, tokenizer, code, terms. Its README tells of the base alone."""


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The base model: what its files say, and all of them."""

    checkpoint: Checkpoint
    files: tuple[WeightFile, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One tensor of the result: where the base has it, what it becomes, and what is added to it."""

    digest: Digest
    fact: TensorFact
    entry: Entry
    stack: ModuleStack | Dependent | None
    is_transposed: bool = False
    """The base has the inputs of a stack's matrices before the outputs."""

    @property
    def is_copy(self) -> bool:
        return self.stack is None and self.entry.dtype == self.fact.dtype


def write_model(
    plan: Plan,
    stacks: Sequence[ModuleStack],
    dependents: Sequence[Dependent],
    base: BaseFiles,
    store: ByteStore,
    device: torch.device,
    progress_of: Callable[[int], Meter],
    max_shard_bytes: int,
) -> tuple[list[WeightFile], dict[str, Any]]:
    """config.json, the weights in shards of at most `max_shard_bytes` (or one tensor), and the base's other files.

    Memory holds a few tiles for each thread and the factors of a module or two, however large the base is.
    Raises: ModuleNotInBase, UnsupportedFeature, ResultOverflow, BlobDamaged, StoreFull.
    """
    targets = targets_of(plan, stacks, dependents, base)
    shards = shards_of(targets, max_shard_bytes)
    meter = progress_of(sum(target.entry.size_bytes for target in targets))
    files: list[WeightFile] = []
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        path = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with store.stage() as staged:
            write_tensors(staged, [target.entry for target in shard], parts_of(shard, store, device, meter))
            files.append(WeightFile(path, staged.place(), staged.size_bytes))
        weight_map |= {target.entry.name: path for target in shard}
    if len(shards) > 1:
        index = {"metadata": {"total_size": meter.total}, "weight_map": dict(sorted(weight_map.items()))}
        files.append(place_file(store, "model.safetensors.index.json", (json.dumps(index, indent=2) + "\n").encode()))
    carried, left_out = carried_files(plan, base, store)
    report = {
        "modules": len({stack.name for stack in stacks} | {dependent.composition.owner for dependent in dependents}),
        "tensors": len(targets),
        "changed_tensors": len(stacks) + len(dependents),
        "carried": [file.path for file in carried],
        "left_out": left_out,
    }
    return files + carried, report


def targets_of(
    plan: Plan, stacks: Sequence[ModuleStack], dependents: Sequence[Dependent], base: BaseFiles
) -> list[Target]:
    """Every tensor of the result in the order in which it is written: widest first, so that each is aligned, then as
    the base's files hold them, so that each is read from front to back.

    Raises: ModuleNotInBase, UnsupportedFeature.
    """
    digests = {file.path: file.digest for file in base.files}
    asked = None if plan.output.dtype is None else stored_names[plan.output.dtype]
    remaining: dict[str, ModuleStack | Dependent] = {stack.module.tensor: stack for stack in stacks}
    remaining |= {dependent.tensor: dependent for dependent in dependents}
    targets: list[tuple[str, Target]] = []
    for path, fact in base.checkpoint.tensors:
        stack = remaining.pop(fact.name, None)
        dtype = fact.dtype if asked is None or fact.dtype not in torch_dtypes else asked
        entry, place = Entry(fact.name, dtype, fact.shape), (digests[path], fact)
        is_transposed = False
        if isinstance(stack, ModuleStack):
            is_transposed = check_fit(stack, fact, base.checkpoint)
        elif isinstance(stack, Dependent):
            check_for_model(stack.composition, base.checkpoint, fact, attrgetter("content_digest"))
            if (copied := stack.copied) is not None:
                # no value of the base's is left in it
                stack, place = None, copied
        targets.append((path, Target(*place, entry, stack, is_transposed)))
    for name, stack in remaining.items():
        first = (
            stack.parts[0].member
            if isinstance(stack, ModuleStack)
            else stack.composition.shares[0].member.content_digest
        )
        raise ModuleNotInBase(first, name.rpartition(".")[0], f"it has no tensor {name}")
    targets.sort(key=lambda placed: (-size_of_dtype[placed[1].entry.dtype], placed[0], placed[1].fact.start))
    return [target for _, target in targets]


def check_fit(stack: ModuleStack, fact: TensorFact, checkpoint: Checkpoint) -> bool:
    """Whether the base has the inputs before the outputs. Raises: ModuleNotInBase, UnsupportedFeature."""
    first = stack.parts[0]
    for part in stack.parts:
        if part.module.is_transposed != first.module.is_transposed:
            raise UnsupportedFeature("fan_in_fan_out in some of the adapters", part.member, stack.name)
    expected, is_transposed = shape_in_base(first.module, fact.shape, checkpoint.model_type)
    if fact.shape != expected or first.module.groups > 1:
        raise ModuleNotInBase(first.member, stack.name, f"the base has {list(fact.shape)}, not {list(expected)}")
    if fact.dtype not in torch_dtypes:
        raise UnsupportedFeature(f"a base weight of dtype {fact.dtype}", first.member, stack.name)
    is_embedding = first.module.kind is ModuleKind.EMBEDDING or stack.name.rpartition(".")[2] == "lm_head"
    if is_embedding and checkpoint.tie_word_embeddings:
        # one tensor would be changed in two places, and only one of them was trained that way
        raise UnsupportedFeature("an embedding that the base shares with its output layer", first.member, stack.name)
    return is_transposed


def shards_of(targets: Sequence[Target], max_shard_bytes: int) -> list[list[Target]]:
    shards: list[list[Target]] = [[]]
    size_bytes = 0
    for target in targets:
        if shards[-1] and size_bytes + target.entry.size_bytes > max_shard_bytes:
            shards.append([])
            size_bytes = 0
        shards[-1].append(target)
        size_bytes += target.entry.size_bytes
    return shards


Work = Callable[[], memoryview]


def parts_of(shard: Sequence[Target], store: ByteStore, device: torch.device, meter: Meter) -> Iterator[memoryview]:
    """The bytes of a shard's tensors, made by some threads while another part is written."""
    threads = torch.get_num_threads() if device.type == "cpu" else 2
    works = (work for target in shard for work in works_of(target, store, device))
    ends_of_tensors = set(accumulate(target.entry.size_bytes for target in shard))
    written = 0
    for part in in_order(lambda work: work(), works, threads):
        yield part
        written += part.nbytes
        meter.advance(part.nbytes)
        if written in ends_of_tensors:
            meter.tell()


def works_of(target: Target, store: ByteStore, device: torch.device) -> Iterator[Work]:
    """The pieces of one tensor, front to back."""
    if isinstance(target.stack, ModuleStack):
        yield from merges_of(target, target.stack, store, device)
        return
    if isinstance(target.stack, Dependent):
        yield from values_of(target, target.stack, store, device)
        return
    values = prod(target.fact.shape)
    for start in range(0, values, tile_values):
        count = min(tile_values, values - start)
        yield copy_of(target, store, start, count) if target.is_copy else cast_of(target, store, start, count)


def copy_of(target: Target, store: ByteStore, start: int, count: int) -> Work:
    width = size_of_dtype[target.fact.dtype]

    def copy() -> memoryview:
        part = memoryview(bytearray(count * width))
        store.read_into(target.digest, target.fact.start + start * width, part)
        return part

    return copy


def cast_of(target: Target, store: ByteStore, start: int, count: int) -> Work:
    width = size_of_dtype[target.fact.dtype]

    def cast() -> memoryview:
        values = read_values(store, target.digest, target.fact.dtype, target.fact.start + start * width, count)
        rounded = round_once(values, torch_dtypes[target.entry.dtype])
        check_finite(rounded, target.entry.name)
        return bytes_of(rounded)

    return cast


Merge = Callable[[torch.Tensor, int, int], torch.Tensor]
"""(rows of the base, first row, last row) → the rows of the result."""


def merges_of(target: Target, stack: ModuleStack, store: ByteStore, device: torch.device) -> Iterator[Work]:
    dtype = torch_dtypes[target.entry.dtype]
    matrices = alone(partial(stack.load, store, device))
    rows, columns = shape_of_each(stack, target.fact)
    width = size_of_dtype[target.fact.dtype]

    def merge(merge_rows: Merge, start: int, first: int, last: int) -> memoryview:
        offset = target.fact.start + (start + first) * columns * width
        base = read_values(store, target.digest, target.fact.dtype, offset, (last - first) * columns)
        tile = base.reshape(last - first, columns).to(device)
        merged = merge_rows(tile, first, last)
        check_finite(merged, target.entry.name)
        return bytes_of(merged)

    for number, matrix in enumerate(matrices):
        merge_rows, rows_at_once = merge_of(stack, matrix, target.is_transposed, dtype)
        for first in range(0, rows, rows_at_once):
            yield partial(merge, merge_rows, number * rows, first, min(first + rows_at_once, rows))


def values_of(target: Target, dependent: Dependent, store: ByteStore, device: torch.device) -> Iterator[Work]:
    values = alone(partial(dependent.load, store, device))
    rows, columns = matrix_of(target.fact.shape)
    width = size_of_dtype[target.fact.dtype]

    def compute(first: int, last: int) -> memoryview:
        offset = target.fact.start + first * columns * width
        base = read_values(store, target.digest, target.fact.dtype, offset, (last - first) * columns)
        tile = values.tile(base.reshape(last - first, columns).to(device), first, last, columns)
        rounded = round_once(tile, torch_dtypes[target.entry.dtype])
        check_finite(rounded, target.entry.name)
        return bytes_of(rounded)

    for first, last in bounds_of(rows, values.rows_at_once(rows, columns)):
        yield partial(compute, first, last)


def shape_of_each(stack: ModuleStack, fact: TensorFact) -> tuple[int, int]:
    """Rows and columns of a matrix as the base stores it."""
    if stack.module.kind is ModuleKind.EXPERTS:
        rows, columns = fact.shape[-2:]
        return rows, columns
    return matrix_of(fact.shape)


def merge_of(stack: ModuleStack, matrix: Matrix, is_transposed: bool, dtype: torch.dtype) -> tuple[Merge, int]:
    """What is done to rows of a matrix of the base, for a result of `dtype`, and how many rows are taken at once."""
    if not stack.is_low_rank:
        # beside a rounding to bfloat16 that of float32 is next to nothing
        oriented = matrix.transposed() if is_transposed else matrix
        tiled = oriented.tiled(torch.float32 if dtype is torch.bfloat16 else torch.float64)
        return partial(tiled.add_to_base, dtype=dtype), tiled.tiles.rows_at_once
    factors = alone(matrix.factors)
    if is_transposed:
        # after the method: in the joint space of inputs not all of them do what they do in that of outputs
        factors = [pair.transposed() for pair in factors]
    return Addition(factors, dtype).add_to_base, max(1, tile_values // factors[0].shape[1])


def carried_files(plan: Plan, base: BaseFiles, store: ByteStore) -> tuple[list[WeightFile], list[str]]:
    """config.json and what else of the base goes with the result, by digest; and the paths of what does not."""
    carried: list[WeightFile] = []
    left_out: list[str] = []
    for file in sorted(base.files, key=lambda file: file.path):
        name = file.path.rpartition("/")[2].lower()
        if file.path == "config.json":
            carried.append(corrected_config(file, plan.output.dtype, store))
        elif file.path in base.checkpoint.weight_files or file.path == "model.safetensors.index.json":
            continue  # the result has its own
        elif (name.endswith(copied_suffixes) and not name.endswith(".index.json")) or name.startswith(copied_names):
            carried.append(file)
        else:
            left_out.append(file.path)
    return carried, left_out


def corrected_config(file: WeightFile, dtype: Dtype | None, store: ByteStore) -> WeightFile:
    """The base's config.json, with the dtype that was asked for in the place of its own."""
    if dtype is None:
        return file
    config = json.loads(b"".join(store.read(file.digest)))
    corrected = with_dtype(config, dtype)
    if "dtype" not in corrected and "torch_dtype" not in corrected:
        corrected["torch_dtype"] = dtype.value
    if corrected == config:
        return file
    return place_file(store, file.path, (json.dumps(corrected, indent=2, ensure_ascii=False) + "\n").encode())


def with_dtype(config: Mapping[str, Any], dtype: Dtype) -> dict[str, Any]:
    """Also in the configurations of parts: `text_config`, `vision_config`."""
    corrected: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("dtype", "torch_dtype") and isinstance(value, str):
            corrected[key] = dtype.value
        else:
            corrected[key] = with_dtype(value, dtype) if isinstance(value, dict) else value
    return corrected
