"""Planning, as one caller may: references resolved, lineage applied, cost and digest computed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from app.domain.adapter import Adapter, Checkpoint
from app.domain.caller import Caller, Scope
from app.domain.digest import Digest
from app.domain.lineage import Kind
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.plan import BasePart, Plan, Resolution
from app.domain.recipe import OutputKind, Recipe, ResolvedLayer, ResolvedPin, Trunk, WeightFile
from app.domain.reference import Selector
from app.domain.repository import Repository
from app.domain.version import File, Version
from app.errors import (
    BaseNotStored,
    InvalidName,
    InvalidReference,
    MalformedRequest,
    ModelExpected,
    NotAnAdapter,
    PlanTooLarge,
    ScopeMissing,
    VersionExists,
)
from app.lineage import graph, merges, repositories, versions
from app.lineage.engine import Connection
from app.merge import kernel_revision
from app.merge.digesting import recipe_digest
from app.merge.methods import methods
from app.merge.planning import Limits
from app.merge.planning import plan as plan_merge
from app.merge.publication import check_result
from app.merge.resolution import check_referable, resolve
from app.services import finding
from app.services.masking import masked


@dataclass(frozen=True, slots=True)
class Planned:
    """A recipe, planned for one caller."""

    plan: Plan
    target: Repository | None
    digest: Digest
    """The recipe's."""
    published_before: UUID | None
    """The version that this recipe with this publication became already."""

    @property
    def inputs(self) -> set[UUID]:
        """The versions whose bytes go into the result."""
        members = self.plan.branches
        if self.plan.output.trunk is Trunk.INCLUDED:
            members += self.plan.trunk
        base = set() if self.plan.base is None else {self.plan.base.version}
        return base | {member.version for member in members}


class Planning:
    """From a recipe to its plan; everything is read in the caller's transaction."""

    def __init__(self, limits: Limits, device_class: str) -> None:
        self.limits = limits
        self.device_class = device_class

    def plan(self, tx: Connection, caller: Caller, recipe: Recipe, stack: Repository | None = None) -> Planned:
        """Resolved with the caller's rights, by the rules of lineage, costed, and named by its digest.

        `stack`: where the result goes, of a recipe that is a lock of it.

        Raises: NotFound and Deleted with a pointer, every RefusedPlan, Forbidden, ScopeMissing, VersionExists.
        """
        layers = [
            ResolvedLayer(self._layer(tx, caller, layer.adapter, index).id, layer.weight, layer.adapter)
            for index, layer in enumerate(recipe.layers)
        ]
        pins = self._pins(tx, caller, recipe)
        target = stack or self._target(tx, caller, recipe)
        roots = [*(layer.version for layer in layers), *(pin.version for pin in pins)]
        catalogue = graph.catalogue(tx, roots, caller)
        aliases = repositories.base_model_aliases(tx)
        with masked(tx, caller):
            resolution = resolve(
                layers,
                pins,
                catalogue,
                aliases,
                linear=methods[recipe.method.name].is_sum,
                overlaps=recipe.overlaps,
                ancestors=recipe.ancestors,
            )
            found = len(resolution.branches) + len(resolution.trunk)
            if self.limits.members is not None and found > self.limits.members:
                raise PlanTooLarge("members of the sum", self.limits.members, found)
            if recipe.output.trunk is Trunk.REFERENCED:
                check_referable(resolution, catalogue)
            base = self._base(tx, caller, resolution, aliases) if recipe.output.kind is OutputKind.MODEL else None
            if base is not None:
                catalogue |= graph.catalogue(tx, [base.id], caller)
            plan = self._costed(tx, recipe, resolution, base, catalogue)
        plan = replace(plan, pins=tuple((name, pin.version) for name, pin in zip(recipe.conflicts, pins, strict=True)))
        digest = recipe_digest(plan, kernel_revision, self.device_class)
        if target is None or recipe.publish is None:
            return Planned(plan, target, digest, None)
        result = uuid4()
        with masked(tx, caller, {result: f"{target.full_name}@{recipe.publish.version or 'new'}"}):
            check_result(plan, target.id, catalogue, aliases, result)
        before = merges.published_before(tx, digest, target.id, recipe.publish.version, caller)
        if before is None:
            check_number(tx, target, recipe.publish.version)
        return Planned(plan, target, digest, before)

    def _layer(self, tx: Connection, caller: Caller, reference: str, index: int) -> Version:
        pointer = f"/layers/{index}/adapter"
        found = finding.referenced(tx, reference, caller, pointer)
        if found.kind is Kind.MODEL:
            raise NotAnAdapter(reference, pointer)
        return found

    def _pins(self, tx: Connection, caller: Caller, recipe: Recipe) -> list[ResolvedPin]:
        pins = [self._pin(tx, caller, name, ref) for name, ref in recipe.conflicts.items()]
        held: dict[UUID, ResolvedPin] = {}
        for pin in pins:
            if held.setdefault(pin.repository, pin) is not pin:
                raise MalformedRequest("a repository is pinned twice", pointer=pin.pointer)
        return pins

    def _pin(self, tx: Connection, caller: Caller, name: str, ref: str) -> ResolvedPin:
        pointer = "/conflicts/" + name.replace("~", "~0").replace("/", "~1")
        asked = f"{name}@{ref}"
        try:
            repository, selector = RepositoryName.parse(name), Selector.parse(ref)
        except (InvalidName, InvalidReference) as error:
            raise InvalidReference(asked, error.facts["reason"], pointer) from error
        found = finding.tombstone_or_version(tx, repository, selector, asked, caller, pointer)
        finding.living(found, asked, pointer)
        return ResolvedPin(found.repository_id, found.id, asked, pointer)

    def _target(self, tx: Connection, caller: Caller, recipe: Recipe) -> Repository | None:
        """Where the result is to go: of the right kind, and writable with this token."""
        if recipe.publish is None:
            return None
        if Scope.WRITE not in caller.scopes:
            raise ScopeMissing(Scope.WRITE.value)
        target = finding.writable(tx, RepositoryName.parse(recipe.publish.repository), caller, "/publish/repository")
        if recipe.output.kind is OutputKind.MODEL and target.kind is not Kind.MODEL:
            raise ModelExpected(target.full_name, "/publish/repository")
        if recipe.output.kind is OutputKind.ADAPTER and target.kind is not Kind.ADAPTER:
            raise NotAnAdapter(target.full_name, "/publish/repository")
        return target

    def _base(self, tx: Connection, caller: Caller, resolution: Resolution, aliases: Mapping[str, str]) -> Version:
        """The stored model that the adapters stand on. Raises: BaseNotStored."""
        wanted = resolution.base_model
        if wanted is None:
            raise BaseNotStored(None)
        canonical = wanted.canonical(aliases)
        names = [
            canonical.name,
            *(name for name, target in aliases.items() if target.lower() == canonical.name.lower()),
        ]
        candidates = versions.models_of_base(tx, canonical, names, caller)
        if canonical.digest is None and canonical.revision not in {None, "main"}:
            meant = versions_named(tx, {found.repository_id for found in candidates}, canonical.revision or "", caller)
            candidates = [found for found in candidates if found.id in meant]
        if not candidates:
            raise BaseNotStored(wanted.as_json())
        return candidates[0]

    def _costed(
        self,
        tx: Connection,
        recipe: Recipe,
        resolution: Resolution,
        base: Version | None,
        catalogue: Mapping[UUID, Any],
    ) -> Plan:
        members = resolution.branches
        if recipe.output.trunk is Trunk.INCLUDED:
            members += resolution.trunk
        ids = [member.version for member in members] + ([] if base is None else [base.id])
        facts = versions.facts_of(tx, ids)
        files = versions.files_of(tx, ids)
        adapters = {id: found for id, found in facts.items() if isinstance(found, Adapter)}
        weight_files = {id: weights_of(facts[id], files[id]) for id in ids}
        part = None
        if base is not None:
            checkpoint = facts[base.id]
            if not isinstance(checkpoint, Checkpoint):
                raise ModelExpected(base.reference, "/output")
            part = (BasePart(base.id, base.reference, base.digest, base.content_digest), checkpoint)
        return plan_merge(
            resolution, adapters, weight_files, recipe.method, recipe.output, part, catalogue, self.limits
        )


def weights_of(facts: Adapter | Checkpoint, files: Iterable[File]) -> tuple[WeightFile, ...]:
    paths = {facts.weight_file} if isinstance(facts, Adapter) else set(facts.weight_files)
    return tuple(WeightFile(file.path, file.digest, file.size_bytes) for file in files if file.path in paths)


def versions_named(tx: Connection, repositories: Iterable[UUID], revision: str, caller: Caller) -> set[UUID]:
    """What a base's revision names in each of the repositories: a number, a commit or an alias."""
    try:
        selector = Selector.parse(revision)
    except InvalidReference:
        return set()
    found = (versions.find(tx, repository, selector, caller) for repository in repositories)
    return {version.id for version in found if version is not None}


def check_number(tx: Connection, target: Repository, version: str | None) -> None:
    """The number of a publication is free, or the newest version's own, which the result may turn out to be.

    Raises: VersionExists.
    """
    if version is None:
        return
    number = VersionNumber.parse(version)
    newest = versions.newest(tx, target.id)
    is_newest = newest is not None and newest[0] == number and not versions.is_deleted(tx, newest[2])
    if versions.is_taken(tx, target.id, number) and not is_newest:
        raise VersionExists(f"{target.full_name}@{number}")
