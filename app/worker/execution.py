"""A plan carried out: files in the store, and a report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import torch

from app.domain.plan import MergeReport, Plan
from app.domain.recipe import OutputKind, WeightFile
from app.errors import BaseNotStored
from app.objects.store import ByteStore
from app.worker.adapter_output import write_adapter
from app.worker.dependents import dependents_of
from app.worker.model_output import BaseFiles, write_model
from app.worker.progress import Meter, Progress
from app.worker.stacks import MemberFiles, stacks_of

largest_shard_bytes = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of a plan."""

    files: tuple[WeightFile, ...]
    """Sorted by path; all of them are in the store."""
    report: MergeReport


def execute(
    plan: Plan,
    members: Mapping[UUID, MemberFiles],
    base: BaseFiles | None,
    store: ByteStore,
    device: str,
    progress: Progress,
    max_shard_bytes: int = largest_shard_bytes,
) -> Execution:
    """Merge the plan's members and write the result.

    Args:
        members: by version, for every member of the plan.
        base: for a model output.
        device: `cpu`, `cuda`, `cuda:1`, …; the same plan gives the same bytes on one kind of device, whatever the
            number of threads.
        progress: told after each module (unit `modules`) or tensor of the base (unit `bytes`), and every second within
            a large one; an exception of it ends the work and comes out of here.

    Raises: UnknownMethod, NoExactAdapter, UnsupportedFeature, ShapeMismatch, ModuleNotInBase, BaseNeeded, BaseNotStored,
        ResultOverflow, BlobDamaged, StoreFull. What was placed before is left to collection.
    """
    started_at = time.monotonic()
    stacks, dependents = stacks_of(plan, members, store), dependents_of(plan, members, store)
    if plan.output.kind is OutputKind.ADAPTER:
        meter = Meter(progress, len(stacks), "modules")
        files, values = write_adapter(plan, stacks, dependents, store, torch.device(device), meter)
    elif base is None:
        raise BaseNotStored(None if plan.base_model is None else plan.base_model.as_json())
    else:
        files, values = write_model(
            plan,
            stacks,
            dependents,
            base,
            store,
            torch.device(device),
            lambda total: Meter(progress, total, "bytes"),
            max_shard_bytes,
        )
    values["elapsed_seconds"] = round(time.monotonic() - started_at, 3)
    return Execution(tuple(sorted(files, key=lambda file: file.path)), MergeReport(values))
