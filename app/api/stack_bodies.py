"""Stacks, locks and proposals as JSON."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from app.api.bodies import Answer, BaseModelBody, Body, Weight, example
from app.api.merge_bodies import OutputBody, because, member_json, method_json
from app.api.problems import by_name, problem
from app.domain.recipe import Ancestors, Overlaps
from app.domain.repository import Visibility
from app.domain.stack import Because, Outcome, Proposal, ProposalState, Update
from app.merge.methods import parse_method
from app.services.masking import Mask
from app.services.stack_views import LayerView, LockDifference, LockView, OutcomeView, StackView, layer_json
from app.services.stacking import LayerAsked, StackAsked


class StackLayerBody(Body):
    adapter: Annotated[str, StringConstraints(min_length=3, max_length=500)] = Field(
        description="`ns/name`, or `ns/name@` and a range, a version, an alias or a digest"
    )
    range: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="Such as `>=1,<2`; every version unless said"
    )
    weight: Weight = 1.0


class StackAskedBody(Body):
    model_config = example(
        {"layers": [{"adapter": "alice/dialogue", "range": ">=1,<2"}, {"adapter": "alice/reasoning@prod"}]}
    )

    layers: Annotated[list[StackLayerBody], Field(min_length=1, max_length=64)]
    method: dict[str, Any] = {"name": "linear"}
    output: OutputBody = OutputBody()
    overlaps: Overlaps = Overlaps.REFUSE
    ancestors: Ancestors = Ancestors.REFUSE
    update: Update = Update.AUTO
    visibility: Visibility | None = Field(None, description="Of a stack that is made by this")

    def to_value(self) -> StackAsked:
        """Raises: UnknownMethod, MalformedRequest."""
        return StackAsked(
            # adding zero makes −0 the 0 that it equals
            layers=tuple(LayerAsked(layer.adapter, layer.range, layer.weight + 0.0) for layer in self.layers),
            method=parse_method(self.method),
            output=self.output.to_value(),
            overlaps=self.overlaps,
            ancestors=self.ancestors,
            update=self.update,
            visibility=self.visibility,
        )


class RollbackBody(Body):
    lock: Annotated[int, Field(ge=1, lt=2**31)]


def layers_json(layers: tuple[LayerView, ...]) -> list[dict[str, Any]]:
    return [{**layer_json(layer), "weight": layer.weight} for layer in layers]


def locked_json(seen: OutcomeView) -> list[dict[str, Any]]:
    """The layers, each with the version that it came to."""
    branches = seen.outcome.resolution.branches
    return [
        {**asked, "version": member_json(branch, seen.mask)}
        for asked, branch in zip(layers_json(seen.layers), branches, strict=True)
    ]


def trunk_json(outcome: Outcome, mask: Mask, *, covered: bool = False) -> list[dict[str, Any]]:
    resolution = outcome.resolution
    members = resolution.covered if covered else resolution.trunk
    return [member_json(member, mask) | {"because": because(member, resolution.branches, mask)} for member in members]


class OutcomeAnswer(Answer):
    digest: str = Field(description="Of what would be merged; two locks with one digest are one outcome")
    layers: list[dict[str, Any]]
    trunk: list[dict[str, Any]]
    covered: list[dict[str, Any]]
    base_model: BaseModelBody | None
    method: dict[str, Any]
    output: dict[str, Any]
    overlaps: Overlaps
    ancestors: Ancestors
    warnings: list[dict[str, Any]]


def outcome_members(seen: OutcomeView, digest: str) -> dict[str, Any]:
    outcome = seen.outcome
    return {
        "digest": digest,
        "layers": locked_json(seen),
        "trunk": trunk_json(outcome, seen.mask),
        "covered": trunk_json(outcome, seen.mask, covered=True),
        "base_model": BaseModelBody.of(seen.base_model),
        "method": method_json(outcome.recipe.method),
        "output": outcome.recipe.output.as_json(),
        "overlaps": outcome.recipe.overlaps,
        "ancestors": outcome.recipe.ancestors,
        "warnings": [
            {"name": warning.name, "detail": warning.detail, "versions": seen.mask.apply(warning.versions)}
            for warning in outcome.resolution.warnings
            # what is said of a hidden version is as hidden as what it holds
            if seen.mask.readable.issuperset(warning.versions)
        ],
    }


class LockBody(OutcomeAnswer):
    stack: str
    number: int
    because: Because
    created_by: str
    created_at: datetime
    version: str | None = Field(description="The number of its merged adapter in the stack; null: not merged yet")
    reference: str | None

    @classmethod
    def of(cls, view: LockView) -> "LockBody":
        return cls(
            **outcome_members(view.seen, view.lock.digest),
            stack=view.repository.full_name,
            number=view.lock.number,
            because=view.lock.because,
            created_by=view.lock.created_by,
            created_at=view.lock.created_at,
            version=None if view.merged is None else str(view.merged.number),
            reference=None if view.merged is None else view.merged.reference,
        )


class ProposalBody(OutcomeAnswer):
    number: int
    because: Because
    state: ProposalState
    created_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    lock: int | None = Field(description="The lock that it became")

    @classmethod
    def of(cls, proposal: Proposal, seen: OutcomeView) -> "ProposalBody":
        return cls(
            **outcome_members(seen, proposal.digest),
            number=proposal.number,
            because=proposal.because,
            state=proposal.state,
            created_at=proposal.created_at,
            decided_by=proposal.decided_by,
            decided_at=proposal.decided_at,
            lock=proposal.lock,
        )


class StackBody(Answer):
    uuid: UUID
    stack: str
    layers: list[dict[str, Any]]
    method: dict[str, Any]
    output: dict[str, Any]
    overlaps: Overlaps
    ancestors: Ancestors
    update: Update
    visibility: Visibility
    updated_at: datetime
    lock: LockBody | None = Field(description="The last one")
    problem: dict[str, Any] | None = Field(
        description="Why the last resolution had no outcome, or its merge was refused"
    )

    @classmethod
    def of(cls, view: StackView) -> "StackBody":
        definition, found = view.stack.definition, view.problem
        return cls(
            uuid=view.repository.id,
            stack=view.repository.full_name,
            layers=layers_json(view.layers),
            method=method_json(definition.method),
            output=definition.output.as_json(),
            overlaps=definition.overlaps,
            ancestors=definition.ancestors,
            update=view.stack.update,
            visibility=view.repository.visibility,
            updated_at=view.stack.updated_at,
            lock=None if view.lock is None else LockBody.of(view.lock),
            problem=None if found is None else problem_seen(found),
        )


def problem_seen(found: dict[str, Any]) -> dict[str, Any]:
    """A stack's problem; without a sentence of its own it says what every problem of its name says."""
    _, title = by_name[found["name"]]
    return problem(found["name"], found["detail"] or title, found["facts"])


class DifferenceBody(Answer):
    first: int
    second: int
    layers: list[dict[str, Any]] = Field(description="Layers that differ: `from` and `to`, null where there is none")
    trunk: list[dict[str, Any]] = Field(
        description="Trunk members that differ: `from` and `to`, null where there is none"
    )
    changed: list[str] = Field(description="Members of the recipe that differ: method, output, overlaps, ancestors")

    @classmethod
    def of(cls, difference: LockDifference) -> "DifferenceBody":
        first, second = difference.first.seen, difference.second.seen
        before, after = (outcome_members(view.seen, "") for view in (difference.first, difference.second))
        longest = max(len(before["layers"]), len(after["layers"]))
        pairs = [(entry_at(before["layers"], place), entry_at(after["layers"], place)) for place in range(longest)]
        trunks = [
            {
                member.version: (member.weight, member_json(member, seen.mask))
                for member in seen.outcome.resolution.trunk
            }
            for seen in (first, second)
        ]
        moved = [
            {"from": left and left[1], "to": right and right[1]}
            for version in dict.fromkeys([*trunks[0], *trunks[1]])
            for left, right in [(trunks[0].get(version), trunks[1].get(version))]
            if (left and left[0]) != (right and right[0])
        ]
        return cls(
            first=difference.first.lock.number,
            second=difference.second.lock.number,
            layers=[
                {"layer": place, "from": left, "to": right}
                for place, (left, right) in enumerate(pairs)
                if left != right
            ],
            trunk=moved,
            changed=[name for name in ("method", "output", "overlaps", "ancestors") if before[name] != after[name]],
        )


def entry_at(entries: list[dict[str, Any]], place: int) -> dict[str, Any] | None:
    return entries[place] if place < len(entries) else None
