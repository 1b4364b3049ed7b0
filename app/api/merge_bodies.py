"""Recipes, plans and merges as JSON."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, Strict, StringConstraints, model_validator

from app.api.bodies import Answer, BaseModelBody, Body, FileBody, Weight, files_of
from app.api.problems import problem
from app.domain.merge import MergeState, Progress
from app.domain.plan import Member, Plan
from app.domain.recipe import (
    Ancestors,
    Dtype,
    Energy,
    Layer,
    Method,
    Output,
    OutputKind,
    Overlaps,
    Publish,
    Ranks,
    Recipe,
    Trunk,
)
from app.errors import MalformedRequest
from app.merge.methods import parse_method
from app.services.masking import Mask
from app.services.merging import MergeView, PlanView

Reference = Annotated[str, StringConstraints(min_length=3, max_length=500)]


def whole(value: Any) -> Any:
    """8.0 is the number 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Rank = Annotated[int, Strict(), BeforeValidator(whole), Field(ge=1, le=1_000_000)]


class LayerBody(Body):
    adapter: Reference
    weight: Weight = 1.0


class EnergyBody(Body):
    energy: Annotated[float, Field(gt=0, le=1)]

    def to_value(self) -> Energy:
        return Energy(self.energy)


ModuleName = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class RanksBody(Body):
    default: Rank
    modules: Annotated[
        dict[ModuleName, Rank],
        Field(min_length=1, max_length=4096, description="By the module's name, or the end of it after a dot"),
    ]

    def to_value(self) -> Ranks:
        return Ranks(self.default, tuple(sorted(self.modules.items())))


class OutputBody(Body):
    kind: OutputKind = OutputKind.ADAPTER
    rank: Rank | RanksBody | EnergyBody | None = None
    dtype: Dtype | None = Field(None, description="float32 for an adapter, the base's for a model, unless said")
    trunk: Trunk = Trunk.INCLUDED

    def to_value(self) -> Output:
        """Raises: MalformedRequest for what a model output cannot be."""
        if self.kind is OutputKind.MODEL and self.trunk is Trunk.REFERENCED:
            raise MalformedRequest("a model includes its trunk", pointer="/output/trunk")
        if self.kind is OutputKind.MODEL and self.rank is not None:
            raise MalformedRequest("a model has no rank; leave it out", pointer="/output/rank")
        rank = self.rank if self.rank is None or isinstance(self.rank, int) else self.rank.to_value()
        default = Dtype.FLOAT32 if self.kind is OutputKind.ADAPTER else None
        return Output(self.kind, rank, self.dtype or default, self.trunk)


class PublishBody(Body):
    repository: Annotated[str, StringConstraints(min_length=3, max_length=200)]
    version: Annotated[str, StringConstraints(max_length=40)] | None = None


def describe_recipe(schema: dict[str, Any]) -> None:
    """An example; and what may be left out may be null."""
    schema["examples"] = [
        {
            "layers": [{"adapter": "alice/dialogue@1.0.0"}, {"adapter": "alice/reasoning@prod", "weight": 0.7}],
            "method": {"name": "linear"},
            "output": {"kind": "adapter", "rank": 64},
        }
    ]
    for name, entry in schema["properties"].items():
        if name not in schema["required"]:
            schema["properties"][name] = {"anyOf": [entry, {"type": "null"}]}


class RecipeBody(Body):
    model_config = ConfigDict(json_schema_extra=describe_recipe)

    layers: Annotated[list[LayerBody], Field(min_length=1, max_length=64)]
    method: dict[str, Any] = {"name": "linear"}
    output: OutputBody = OutputBody()
    conflicts: Annotated[dict[str, str], Field(max_length=64, description="Pins: repository → version")] = {}
    overlaps: Overlaps = Overlaps.REFUSE
    ancestors: Ancestors = Ancestors.REFUSE
    publish: PublishBody | None = None

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, value: Any) -> Any:
        """A member that is null is one that was not sent."""
        if isinstance(value, dict):
            return {key: entry for key, entry in value.items() if entry is not None}
        return value

    def to_recipe(self) -> Recipe:
        """Raises: UnknownMethod, MalformedRequest."""
        return Recipe(
            # adding zero makes −0 the 0 that it equals
            layers=tuple(Layer(layer.adapter, layer.weight + 0.0) for layer in self.layers),
            method=parse_method(self.method),
            output=self.output.to_value(),
            conflicts=self.conflicts,
            overlaps=self.overlaps,
            ancestors=self.ancestors,
            publish=None if self.publish is None else Publish(self.publish.repository, self.publish.version),
        )


def method_json(method: Method) -> dict[str, Any]:
    return {"name": method.name, **method.parameters}


def recipe_json(recipe: Recipe, plan: Plan, mask: Mask) -> dict[str, Any]:
    """The recipe as it was asked, without what its reader may no longer see."""
    layers = []
    for layer, branch in zip(recipe.layers, plan.branches, strict=True):
        is_readable = branch.version in mask.readable
        layers.append({"adapter": layer.adapter if is_readable else mask.name(branch.version), "weight": layer.weight})
    return {
        "layers": layers,
        "method": method_json(recipe.method),
        "output": recipe.output.as_json(),
        "conflicts": {name: recipe.conflicts[name] for name, version in plan.pins if version in mask.readable},
        "overlaps": recipe.overlaps.value,
        "ancestors": recipe.ancestors.value,
        "publish": None
        if recipe.publish is None
        else {"repository": recipe.publish.repository, "version": recipe.publish.version},
    }


def named(facts: dict[str, Any], plan: Plan, mask: Mask) -> dict[str, Any]:
    """An execution's facts name its members by content digest: each reader knows them by the names in their own plan."""
    names: dict[str, Any] = {member.content_digest: mask.name(member.version) for member in plan.members}
    return {key: names.get(value, value) if isinstance(value, str) else value for key, value in facts.items()}


class PlanBody(Answer):
    base_model: BaseModelBody | None
    base: Any = Field(description="The stored base of a model output")
    trunk: list[dict[str, Any]]
    branches: list[dict[str, Any]]
    covered: list[dict[str, Any]]
    substitutions: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    method: dict[str, Any]
    output: dict[str, Any]
    modules: int
    rank: dict[str, int]
    exact: bool
    bytes_read: int
    bytes_written: int
    peak_bytes: int

    @classmethod
    def of(cls, plan: Plan, mask: Mask) -> "PlanBody":
        return cls(
            base_model=BaseModelBody.of(plan.base_model),
            base=None if plan.base is None else mask.name(plan.base.version),
            trunk=[
                member_json(member, mask) | {"because": because(member, plan.branches, mask)} for member in plan.trunk
            ],
            branches=[member_json(member, mask) for member in plan.branches],
            covered=[
                member_json(member, mask) | {"because": because(member, plan.branches, mask)} for member in plan.covered
            ],
            substitutions=[
                {
                    "from": mask.name(entry.replaced),
                    "to": mask.name(entry.replacement),
                    "because": mask.apply(entry.because),
                }
                for entry in plan.substitutions
            ],
            warnings=[
                {"name": warning.name, "detail": warning.detail, "versions": mask.apply(warning.versions)}
                for warning in plan.warnings
            ],
            method=method_json(plan.method),
            output=plan.output.as_json(),
            modules=plan.modules,
            rank={"min": plan.rank_min, "max": plan.rank_max},
            exact=plan.is_exact,
            bytes_read=plan.bytes_read,
            bytes_written=plan.bytes_written,
            peak_bytes=plan.peak_bytes,
        )

    @classmethod
    def of_view(cls, view: PlanView) -> "PlanBody":
        return cls.of(view.plan, view.mask)


def member_json(member: Member, mask: Mask) -> dict[str, Any]:
    if member.version not in mask.readable:
        return {**mask.name(member.version), "weight": member.weight}
    return {
        "reference": member.reference,
        "digest": member.digest,
        "content_digest": member.content_digest,
        "weight": member.weight,
    }


def because(member: Member, branches: Iterable[Member], mask: Mask) -> list[str]:
    """The version digests of the branches that need a trunk member; of a hidden branch its number."""
    by_digest = {branch.digest: branch.version for branch in branches}
    return [
        digest if by_digest[digest] in mask.readable else mask.name(by_digest[digest])["id"]
        for digest in member.because
    ]


class MergeBody(Answer):
    id: UUID
    state: MergeState
    recipe: dict[str, Any]
    recipe_digest: str
    plan: PlanBody
    progress: dict[str, Any]
    cached: bool
    result: dict[str, Any] | None
    report: dict[str, Any]
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, view: MergeView) -> "MergeBody":
        merge = view.merge
        is_done = merge.state is MergeState.SUCCEEDED and view.is_result_readable
        result: dict[str, Any] | None = None
        if is_done and merge.content_digest is not None:
            files: list[FileBody] = [] if merge.is_evicted else files_of(merge.files)
            result = {
                "content_digest": merge.content_digest,
                "files": [file.model_dump(exclude={"pickle"}) for file in files],
            }
            if view.published is not None:
                result |= {"digest": view.published.digest, "reference": view.published.reference}
                result["content_digest"] = view.published.content_digest
        error = merge.error if merge.state is MergeState.FAILED else None
        return cls(
            id=merge.id,
            state=merge.state,
            recipe=recipe_json(merge.recipe, merge.plan, view.mask),
            recipe_digest=merge.recipe_digest,
            plan=PlanBody.of(merge.plan, view.mask),
            progress=progress_json(merge.progress),
            cached=merge.is_cached,
            result=result,
            report=merge.report if is_done else {},
            error=None
            if error is None
            else problem(error["name"], error["detail"], named(error["facts"], merge.plan, view.mask)),
            created_at=merge.created_at,
            started_at=merge.started_at,
            finished_at=merge.finished_at,
        )


def progress_json(progress: Progress) -> dict[str, Any]:
    return {"done": progress.done, "total": progress.total, "unit": progress.unit}
