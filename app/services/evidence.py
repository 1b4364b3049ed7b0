"""Why something is not given out: the way from a version to what was recalled, as far as its reader may see it."""

from collections import deque
from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain.caller import Caller
from app.errors import Recalled
from app.lineage import evidence, recalls
from app.lineage.engine import Connection
from app.services.masking import Mask, mask_for


def recalled(tx: Connection, caller: Caller, subject: str, versions: Sequence[UUID]) -> Recalled:
    """The refusal: for every recall that reaches one of the versions the chain that leads there, and what it says."""
    chains: list[list[object]] = []
    told: list[dict[str, object]] = []
    for recall, culprit in evidence.recalls_of(tx, versions).items():
        steps = evidence.steps_towards(tx, recall, versions)
        names = mask_for(
            tx, {culprit, *versions, *steps, *(above for found in steps.values() for above in found)}, caller
        )
        for chain in [shortest(steps, version, culprit, names) for version in versions]:
            if chain is None:
                continue
            chains.append([names.name(version) for version in chain])
            found = recalls.find(tx, recall, caller) if chain[-1] == culprit else None
            if found is not None:
                entry = {"id": str(found.id), "version": found.reference, "reason": found.reason}
                told.append({**entry, "severity": found.severity.value, "recalled_at": found.recalled_at.isoformat()})
    return Recalled(subject, chains, list({entry["id"]: entry for entry in told}.values()))


def shortest(steps: Mapping[UUID, Sequence[UUID]], version: UUID, culprit: UUID, names: Mask) -> list[UUID] | None:
    """The way from a version to what was recalled, over what the reader may see; else as far as the first thing that they
    may not, since nothing is told of what stands behind it. None if there is no way."""
    came_from: dict[UUID, UUID | None] = {version: None}
    waiting, hidden = deque([version]), None
    while waiting:
        here = waiting.popleft()
        if here == culprit and here in names.readable:
            return back(came_from, here)
        if here not in names.readable:
            hidden = hidden or here
            continue
        for above in steps.get(here, ()):
            if above not in came_from:
                came_from[above] = here
                waiting.append(above)
    return None if hidden is None else back(came_from, hidden)


def back(came_from: Mapping[UUID, UUID | None], end: UUID) -> list[UUID]:
    path, here = [end], came_from[end]
    while here is not None:
        path.append(here)
        here = came_from[here]
    return path[::-1]
