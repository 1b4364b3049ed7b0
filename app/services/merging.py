"""Merging, as callers see it: a recipe is planned, refused or queued, watched, withdrawn, and its result read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from app.domain.caller import Caller
from app.domain.merge import Merge, MergeState, Progress
from app.domain.plan import Plan
from app.domain.recipe import Recipe
from app.domain.repository import Repository
from app.domain.version import File, Version
from app.errors import NotFinished, NotFound, ResultEvicted
from app.lineage import audit, evidence, idempotency, merges, queue, recalls, versions
from app.lineage.engine import Connection, Database
from app.lineage.queue import TaskName
from app.objects.store import ObjectStore
from app.services import results
from app.services.evidence import recalled
from app.services.masking import Mask, mask_for, names_for
from app.services.planning import Planning
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


class Merging:
    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        publishing: Publishing,
        planning: Planning,
    ) -> None:
        self.database = database
        self.store = store
        self.publishing = publishing
        self.planning = planning

    def plan(self, caller: Caller, recipe: Recipe) -> PlanView:
        """What would be executed; nothing is queued.

        Raises: NotFound and Deleted with a pointer, every RefusedPlan, Forbidden, VersionExists.
        """
        with self.database.read() as tx:
            plan = self.planning.plan(tx, caller, recipe).plan
            return PlanView(plan, mask_for(tx, versions_in(plan), caller))

    def submit(self, caller: Caller, recipe: Recipe) -> MergeView:
        """Plan a recipe and queue it, or join the execution that has the same outcome.

        Raises: as `plan`.
        """
        id = uuid4()
        with self.database.begin() as tx:
            if (made := idempotency.made(tx, caller)) is not None:
                return self._view(tx, caller, self._own(tx, caller, UUID(made)))
            view = self.request(tx, caller, id, recipe)
            idempotency.note(tx, caller, str(id))
            return view

    def request(
        self, tx: Connection, caller: Caller, id: UUID, recipe: Recipe, stack: Repository | None = None
    ) -> MergeView:
        """As `submit`, in the caller's transaction; `stack`: the recipe is a lock of it, and the result a version of it.

        Raises: as `plan`.
        """
        # what is recalled from here on is cancelled, and what was recalled before is seen
        recalls.hold_lineage(tx)
        planned = self.planning.plan(tx, caller, recipe, stack)
        execution, state, is_new = merges.find_or_insert_execution(tx, uuid4(), planned.digest, planned.plan)
        is_done = state is MergeState.SUCCEEDED
        is_known = is_new or merges.is_known_to(tx, execution, caller)
        merges.insert_request(
            tx,
            id,
            execution,
            caller.user,
            recipe,
            planned.plan,
            inputs=planned.inputs,
            is_cached=is_done and is_known,
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
        made = self._own(tx, caller, id)
        # that somebody else asked before is nobody's business: the answer is the one to a new recipe
        return self._view(tx, caller, made if is_known else as_new(made))

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

        Raises: NotFound, NotFinished, Recalled, ResultEvicted.
        """
        view = self.get(caller, id)
        if view.merge.state is not MergeState.SUCCEEDED:
            raise NotFinished(str(id), view.merge.state.value)
        # whoever lost the right to an input lost the right to what was made of it
        if not view.is_result_readable:
            raise NotFound(f"the result of merge {id}")
        with self.database.read() as tx:
            if pulled_out := evidence.recalled_inputs(tx, id):
                raise recalled(tx, caller, f"the result of merge {id}", pulled_out)
        if view.merge.is_evicted:
            raise ResultEvicted(str(id))
        with self.database.begin() as tx:
            merges.touch(tx, view.merge.execution)
        return view

    def file(self, caller: Caller, id: UUID, path: str) -> File:
        """Raises: NotFound, NotFinished, Recalled, ResultEvicted."""
        return file_at(self.files(caller, id).merge.files, path, f"{path} of merge {id}")

    def archive(self, caller: Caller, id: UUID) -> Archive:
        """Raises: NotFound, NotFinished, Recalled, ResultEvicted."""
        merge = self.files(caller, id).merge
        digest = merge.content_digest or merge.recipe_digest
        return archive_of(f"merge-{str(id)[:8]}", digest, merge.files, merge.finished_at or merge.created_at)


def as_new(merge: Merge) -> Merge:
    """A request as it is where nobody has asked for the same before."""
    return replace(
        merge,
        state=MergeState.QUEUED,
        progress=Progress(0, merge.plan.modules, "modules"),
        content_digest=None,
        files=(),
        report={},
        error=None,
        published=None,
        is_evicted=False,
        started_at=None,
        finished_at=None,
    )


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
