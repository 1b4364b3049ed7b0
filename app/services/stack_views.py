"""What a reader may see of stacks: of private layers and versions only that they are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.repository import Repository
from app.domain.stack import Lock, Outcome, Stack, StackLayer
from app.domain.version import Version
from app.lineage import graph, repositories, stacks
from app.lineage.engine import Connection
from app.merge.bases import most_specific
from app.services.masking import Mask, mask_for


@dataclass(frozen=True, slots=True)
class LayerView:
    """One layer as a reader may see it; `repository` None: the reader may not read what it names."""

    repository: str | None
    requirement: str
    weight: float


@dataclass(frozen=True, slots=True)
class StackView:
    repository: Repository
    stack: Stack
    layers: tuple[LayerView, ...]
    problem: dict[str, Any] | None
    """Why the last resolution had no outcome, in full for its maintainer, whose rights it was resolved with; for anybody
    else its name alone: the sentence and the facts may name what the maintainer alone may read."""
    lock: "LockView | None"
    """The last one."""


@dataclass(frozen=True, slots=True)
class OutcomeView:
    outcome: Outcome
    layers: tuple[LayerView, ...]
    mask: Mask
    base_model: BaseModel | None
    """As the versions say it that the reader may see: a hidden one may be the only one that names a revision."""


@dataclass(frozen=True, slots=True)
class LockView:
    repository: Repository
    lock: Lock
    seen: OutcomeView
    merged: Version | None
    """What it became, if the reader may read that."""


@dataclass(frozen=True, slots=True)
class LockDifference:
    first: LockView
    second: LockView


def outcome_seen(tx: Connection, caller: Caller, outcome: Outcome) -> OutcomeView:
    mask = mask_for(tx, outcome.versions, caller)
    aliases = repositories.base_model_aliases(tx)
    bases = [base.canonical(aliases) for base in graph.bases_of(tx, outcome.versions & mask.readable)]
    return OutcomeView(outcome, layers_seen(tx, caller, outcome.layers), mask, most_specific(bases))


def layers_seen(tx: Connection, caller: Caller, layers: Iterable[StackLayer]) -> tuple[LayerView, ...]:
    """The layers of a stack; of what the reader may not read only the weight."""
    wanted = tuple(layers)
    names: Mapping[UUID, tuple[str, bool]] = stacks.names_of_repositories(
        tx, {layer.repository for layer in wanted}, caller
    )
    return tuple(
        LayerView(name if is_readable else None, layer.requirement if is_readable else "", layer.weight)
        for layer in wanted
        for name, is_readable in [names[layer.repository]]
    )


def layer_json(layer: LayerView) -> dict[str, Any]:
    if layer.repository is None:
        return {"hidden": True}
    return {"adapter": layer.repository, "range": layer.requirement}
