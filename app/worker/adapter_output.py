"""An adapter as the result of a merge: exact, or the best of a rank or an energy."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from app.domain.adapter import ModuleKind
from app.domain.plan import Plan
from app.domain.recipe import Dtype, Energy, Output, WeightFile
from app.errors import NoExactAdapter
from app.kernel.convolutions import gather
from app.kernel.experts import join
from app.kernel.factors import Factors
from app.kernel.sketch import best_of_tiles
from app.kernel.threads import alone, in_order
from app.kernel.vectorized import LowRank, best_rank, concatenate
from app.merge.methods import methods
from app.objects.store import ByteStore
from app.worker.adapter_config import adapter_config, places_of
from app.worker.beside import Beside
from app.worker.dependents import Dependent
from app.worker.progress import Meter
from app.worker.stacks import ModuleStack, batches
from app.worker.tensors import Entry, bytes_of, check_finite, place_file, stored_names, torch_dtypes, write_tensors

batch_bytes = 256 << 20
"""Joined float64 factors of the modules that are decomposed in one call."""


@dataclass(frozen=True, slots=True)
class Summed:
    """A module's sum as one pair of factors."""

    stack: ModuleStack
    a: Tensor
    b: Tensor


def write_adapter(
    plan: Plan,
    stacks: Sequence[ModuleStack],
    dependents: Sequence[Dependent],
    store: ByteStore,
    device: torch.device,
    meter: Meter,
) -> tuple[list[WeightFile], dict[str, Any]]:
    """adapter_model.safetensors and adapter_config.json, placed; and what to report.

    The same plan gives the same bytes, and nothing of a caller is in them. Memory holds one batch of modules, but for
    an energy the whole result, since its ranks decide the header that comes before the first tensor.
    Raises: NoExactAdapter, BaseNeeded, UnsupportedFeature, ResultOverflow, BlobDamaged, StoreFull.
    """
    if plan.output.rank is None and not methods[plan.method.name].is_low_rank:
        raise NoExactAdapter(plan.method.name)
    dtype = stored_names[plan.output.dtype or Dtype.FLOAT32]
    beside = Beside(stacks, dependents, dtype, store, device)
    report: dict[str, Any] = {}
    results: Iterable[Summed]
    if isinstance(plan.output.rank, Energy):
        results = list(best_sums(stacks, plan.output, dtype, store, device, report))
        stacks = [result.stack for result in results]
        ranks = {result.stack.name: len(result.a) // result.stack.module.experts for result in results}
    else:
        if plan.output.rank is None:
            results = exact_sums(stacks, dtype, store, device)
        else:
            stacks = [stack for batch in batches(stacks, plan.output, batch_bytes) for stack in batch]
            results = best_sums(stacks, plan.output, dtype, store, device, report)
        ranks = {stack.name: rank for stack in stacks if (rank := stack.rank_of(plan.output)) is not None}
    places = places_of([stack.module for stack in stacks])
    entries = [
        entry
        for stack in stacks
        for entry in entries_of(stack, places[stack.name], ranks[stack.name], dtype, beside.has_bias)
    ]
    with store.stage() as staged:
        # the widest first, so that each is aligned
        parts = chain(beside.parts(wide=True), parts_of(results, beside, meter), beside.parts(wide=False))
        write_tensors(staged, [*beside.entries(wide=True), *entries, *beside.entries(wide=False)], parts)
        weights = WeightFile("adapter_model.safetensors", staged.place(), staged.size_bytes)
    config = adapter_config(
        [stack.module for stack in stacks], ranks, plan.base_model, plan.task_type, beside.settings()
    )
    report |= {"modules": len(stacks), "rank": {"min": min(ranks.values()), "max": max(ranks.values())}}
    if beside.whole:
        report["replaced_tensors"] = [dependent.tensor for dependent in beside.whole]
    return [place_file(store, "adapter_config.json", config), weights], report


def entries_of(stack: ModuleStack, place: str, rank: int, dtype: str, has_bias: bool) -> list[Entry]:
    """A and B, and B's bias where the adapter has such, under PEFT's names; a convolution's in its own dimensions."""
    module = stack.module
    prefix = f"base_model.model.{place}"
    kernel = module.a_shape[2:]
    a_shape = (rank * module.experts, *module.a_shape[1:])
    b_shape = (stack.shape[0], rank * module.experts // module.groups, *(1 for _ in kernel))
    if module.kind is ModuleKind.EMBEDDING:
        return [
            Entry(f"{prefix}.lora_embedding_A", dtype, a_shape),
            Entry(f"{prefix}.lora_embedding_B", dtype, b_shape),
        ]
    entries = [Entry(f"{prefix}.lora_A.weight", dtype, a_shape), Entry(f"{prefix}.lora_B.weight", dtype, b_shape)]
    if has_bias:
        entries.insert(1, Entry(f"{prefix}.lora_B.bias", dtype, b_shape[:1]))
    return entries


def parts_of(results: Iterable[Summed], beside: Beside, meter: Meter) -> Iterator[memoryview]:
    for result in results:
        check_finite(result.a, result.stack.name)
        check_finite(result.b, result.stack.name)
        yield bytes_of(result.a)
        if beside.has_bias:
            yield beside.bias_of(result.stack)
        yield bytes_of(result.b)
        meter.advance(1)
        meter.tell()


def exact_sums(stacks: Sequence[ModuleStack], dtype: str, store: ByteStore, device: torch.device) -> Iterator[Summed]:
    for stack in stacks:
        matrices = alone(partial(factors_of, stack, store, device))
        a, b = join([concatenate(factors, torch_dtypes[dtype]) for factors in matrices])
        if stack.module.groups > 1:
            (factors,) = matrices
            a, b = gather(a, b, [one.rank for one in factors], stack.module.groups)
        yield Summed(stack, a, b)


def factors_of(stack: ModuleStack, store: ByteStore, device: torch.device) -> list[list[Factors]]:
    """Of each of the module's matrices. Raises: BlobDamaged."""
    return [matrix.factors() for matrix in stack.load(store, device)]


def best_sums(
    stacks: Sequence[ModuleStack],
    output: Output,
    dtype: str,
    store: ByteStore,
    device: torch.device,
    report: dict[str, Any],
) -> Iterator[Summed]:
    """The best factors in the order of the batches. The report fills as they come."""
    modules: dict[str, Any] = {}
    kept = total = 0.0
    for batch in batches(stacks, output, batch_bytes):
        found = iter(best_of(batch, output, torch_dtypes[dtype], store, device))
        for stack in batch:
            matrices = list(islice(found, stack.module.experts))
            spectra = [spectrum_of(matrix) for matrix in matrices]
            modules[stack.name] = spectra[0] if stack.module.experts == 1 else {"experts": spectra}
            kept += sum(matrix.energy_kept * matrix.energy for matrix in matrices)
            total += sum(matrix.energy for matrix in matrices)
            a, b = join([(matrix.a, matrix.b) for matrix in matrices])
            yield Summed(stack, a.cpu(), b.cpu())
    report |= {"energy_kept": kept / total if total > 0 else 1.0, "per_module": dict(sorted(modules.items()))}


def best_of(
    batch: Sequence[ModuleStack], output: Output, dtype: torch.dtype, store: ByteStore, device: torch.device
) -> list[LowRank]:
    """Of all matrices of a batch: factors are decomposed together, what is there in tiles is alone."""
    rank = output.rank_of(batch[0].name)
    energy = output.rank.energy if isinstance(output.rank, Energy) else None
    if batch[0].is_low_rank:
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        loaded = in_order(lambda stack: factors_of(stack, store, device), batch, threads)
        return best_rank([factors for matrices in loaded for factors in matrices], dtype, rank=rank, energy=energy)
    (stack,) = batch
    matrices = stack.load(store, device)
    if not stack.module.is_transposed:
        return [best_of_tiles(matrix.tiled(), dtype, rank=rank, energy=energy) for matrix in matrices]
    found = [best_of_tiles(matrix.transposed().tiled(), dtype, rank=rank, energy=energy) for matrix in matrices]
    return [low_rank.transposed() for low_rank in found]


def spectrum_of(low_rank: LowRank) -> dict[str, Any]:
    return {
        "rank": low_rank.rank,
        "energy_kept": low_rank.energy_kept,
        "singular_values": low_rank.singular_values.tolist(),
    }
