"""Merging, as callers see it: a recipe is planned, refused or queued, watched, withdrawn, and its result read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.domain.adapter import Adapter, Checkpoint
from app.domain.caller import Caller, Scope
from app.domain.digest import Digest
from app.domain.lineage import Kind
from app.domain.merge import Merge, MergeState, Progress
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
    NotFinished,
    NotFound,
    PlanTooLarge,
    ResultEvicted,
    ScopeMissing,
    VersionExists,
)
from app.lineage import audit, graph, idempotency, merges, queue, repositories, versions
from app.lineage.engine import Connection, Database
from app.lineage.queue import TaskName
from app.merge import kernel_revision
from app.merge.digesting import recipe_digest
from app.merge.methods import methods
from app.merge.planning import Limits
from app.merge.planning import plan as plan_merge
from app.merge.publication import check_result
from app.merge.resolution import check_referable, resolve
from app.objects.store import ObjectStore
from app.services import finding, results
from app.services.masking import Mask, mask_for, masked, names_for
from app.services.publishing import Publishing
from app.services.reading import Archive, archive_of, file_at


@dataclass(frozen=True, slots=True)
class MergeView:
    """A merge as one reader may see it."""

    merge: Merge
    mask: Mask
    published: Version | None
    """The version that the result became, if the reader may read it."""
    is_result_readable: bool


@dataclass(frozen=True, slots=True)
class PlanView:
    plan: Plan
    mask: Mask


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


class Merging:
    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        publishing: Publishing,
        *,
        max_members: int,
        device_class: str,
    ) -> None:
        self.database = database
        self.store = store
        self.publishing = publishing
        self.limits = Limits(members=max_members)
        self.device_class = device_class

    def plan(self, caller: Caller, recipe: Recipe) -> PlanView:
        """What would be executed; nothing is queued.

        Raises: NotFound and Deleted with a pointer, every RefusedPlan, Forbidden, VersionExists.
        """
        with self.database.read() as tx:
            plan = self._plan(tx, caller, recipe).plan
            return PlanView(plan, mask_for(tx, versions_in(plan), caller))

    def submit(self, caller: Caller, recipe: Recipe) -> MergeView:
        """Plan a recipe and queue it, or join the execution that has the same outcome.

        Raises: as `plan`.
        """
        id = uuid4()
        with self.database.begin() as tx:
            if (made := idempotency.made(tx, caller)) is not None:
                return self._view(tx, caller, self._own(tx, caller, UUID(made)))
            planned = self._plan(tx, caller, recipe)
            execution, state, is_new = merges.find_or_insert_execution(tx, uuid4(), planned.digest, planned.plan)
            is_done = state is MergeState.SUCCEEDED
            merges.insert_request(
                tx,
                id,
                execution,
                caller.user,
                recipe,
                planned.plan,
                inputs=planned.inputs,
                # that somebody else asked before is nobody's business
                is_cached=is_done and merges.is_known_to(tx, execution, caller),
                target=None if planned.target is None else planned.target.id,
                target_version=None if recipe.publish is None else recipe.publish.version,
            )
            if planned.published_before is not None:
                merges.record_publication(tx, id, planned.published_before)
            if is_new:
                queue.defer(tx, TaskName.EXECUTE_MERGE, execution=str(execution))
            elif is_done:
                results.publish_waiting(tx, self.publishing, execution, id)
            target = None if planned.target is None else planned.target.namespace_id
            audit.record(
                tx, caller, "merge.requested", str(id), namespace=target or caller.user, recipe_digest=planned.digest
            )
            idempotency.note(tx, caller, str(id))
            return self._view(tx, caller, self._own(tx, caller, id))

    def _plan(self, tx: Connection, caller: Caller, recipe: Recipe) -> Planned:
        layers = [
            ResolvedLayer(self._layer(tx, caller, layer.adapter, index).id, layer.weight, layer.adapter)
            for index, layer in enumerate(recipe.layers)
        ]
        pins = self._pins(tx, caller, recipe)
        target = self._target(tx, caller, recipe)
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

    def _own(self, tx: Connection, caller: Caller, id: UUID) -> Merge:
        found = merges.find(tx, id, caller)
        if found is None:
            raise NotFound(f"merge {id}")
        return found

    def _view(self, tx: Connection, caller: Caller, merge: Merge) -> MergeView:
        return self._views(tx, caller, [merge])[0]

    def _views(self, tx: Connection, caller: Caller, found: Sequence[Merge]) -> list[MergeView]:
        names = names_for(tx, {version for merge in found for version in versions_in(merge.plan)}, caller)
        unreadable = merges.unreadable(tx, [merge.id for merge in found], caller)
        published = {
            version.id: version
            for version in versions.get_many(tx, [merge.published for merge in found if merge.published], caller)
        }
        return [
            MergeView(
                merge,
                Mask(*names),
                published.get(merge.published) if merge.published else None,
                merge.id not in unreadable,
            )
            for merge in found
        ]

    def get(self, caller: Caller, id: UUID) -> MergeView:
        """Raises: NotFound, also for somebody else's merge."""
        with self.database.read() as tx:
            return self._view(tx, caller, self._own(tx, caller, id))

    def state(self, caller: Caller, id: UUID) -> tuple[MergeState, Progress]:
        """How far a merge is, for those who watch. Raises: NotFound."""
        with self.database.read() as tx:
            found = merges.state_of(tx, id, caller)
            if found is None:
                raise NotFound(f"merge {id}")
            return found

    def list_merges(
        self, caller: Caller, state: MergeState | None, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[MergeView]:
        """The caller's own, newest first."""
        with self.database.read() as tx:
            found = merges.list_merges(tx, caller, None if state is None else state.value, after, limit)
            return self._views(tx, caller, found)

    def cancel(self, caller: Caller, id: UUID) -> None:
        """Withdraw a request; the execution stops when none is left. What has ended stays as it ended.

        Raises: NotFound.
        """
        with self.database.begin() as tx:
            found = self._own(tx, caller, id)
            merges.cancel(tx, id)
            audit.record(tx, caller, "merge.cancelled", str(id), namespace=found.user)

    def files(self, caller: Caller, id: UUID) -> MergeView:
        """A merge whose files may be read now.

        Raises: NotFound, NotFinished, ResultEvicted.
        """
        view = self.get(caller, id)
        if view.merge.state is not MergeState.SUCCEEDED:
            raise NotFinished(str(id), view.merge.state.value)
        # whoever lost the right to an input lost the right to what was made of it
        if not view.is_result_readable:
            raise NotFound(f"the result of merge {id}")
        if view.merge.is_evicted:
            raise ResultEvicted(str(id))
        return view

    def file(self, caller: Caller, id: UUID, path: str) -> File:
        """Raises: NotFound, NotFinished, ResultEvicted."""
        return file_at(self.files(caller, id).merge.files, path, f"{path} of merge {id}")

    def archive(self, caller: Caller, id: UUID) -> Archive:
        """Raises: NotFound, NotFinished, ResultEvicted."""
        merge = self.files(caller, id).merge
        digest = merge.content_digest or merge.recipe_digest
        return archive_of(f"merge-{str(id)[:8]}", digest, merge.files, merge.finished_at or merge.created_at)


def versions_in(plan: Plan) -> Iterable[UUID]:
    """Every version that a plan names."""
    for member in plan.branches + plan.trunk + plan.covered:
        yield member.version
    for substitution in plan.substitutions:
        yield from (substitution.replaced, substitution.replacement, *substitution.because)
    for warning in plan.warnings:
        yield from warning.versions
    for _, pin in plan.pins:
        yield pin
    if plan.base is not None:
        yield plan.base.version


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
