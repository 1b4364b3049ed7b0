"""The digest of a recipe: two requests with one digest are one execution."""

from collections.abc import Iterable
from typing import Any

from app.domain.digest import Digest, digest_of_json
from app.domain.plan import Member, Plan
from app.merge.methods import methods


def recipe_digest(plan: Plan, kernel_revision: str, device_class: str) -> Digest:
    """Covers what decides a bit of the result: not where it is published, nor who asked, nor under which names.

    Args:
        device_class: `cpu` or the family of the GPU; the same recipe may round differently elsewhere.
    """
    branches = _weighted(plan.branches)
    return digest_of_json(
        {
            "schema": 1,
            "branches": sorted(branches) if methods[plan.method.name].ignores_order else branches,
            "trunk": sorted(_weighted(plan.trunk)),
            "base": _base(plan),
            "task_type": plan.task_type,
            "method": {"name": plan.method.name, "parameters": plan.method.parameters},
            "output": plan.output.as_json(),
            "kernel_revision": kernel_revision,
            "device_class": device_class,
        }
    )


def _weighted(members: Iterable[Member]) -> list[list[Any]]:
    return [[member.content_digest, member.weight] for member in members]


def _base(plan: Plan) -> Any:
    """A stored base by its version digest, since all of its files go into the result; else what the result's configuration says."""
    if plan.base is not None:
        return plan.base.digest
    return None if plan.base_model is None else plan.base_model.as_json()
