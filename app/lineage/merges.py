"""Merges: requests of callers, and the executions that serve them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, case, exists, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.merge import Claim, Merge, MergeState, Progress, Publication, Result
from app.domain.plan import Plan
from app.domain.recipe import Recipe
from app.domain.version import File
from app.lineage import merge_tables as mt
from app.lineage import tables as t
from app.lineage.access import can_hold_version, can_read_version
from app.lineage.codec import dump_facts, dump_plan, dump_recipe, load_facts, load_plan, load_recipe

live_states = text("state in ('queued', 'running', 'succeeded') and evicted_at is null")


def find_or_insert_execution(
    tx: Connection, id: UUID, recipe_digest: Digest, plan: Plan
) -> tuple[UUID, MergeState, bool]:
    """The living execution of a recipe, locked until the transaction ends: (id, state, whether it is new)."""
    x = mt.MergeExecution
    while True:
        statement = (
            insert(x)
            .values(
                id=id, recipe_digest=recipe_digest, plan=dump_plan(plan), state="queued", progress_total=plan.modules
            )
            .on_conflict_do_nothing(index_elements=["recipe_digest"], index_where=live_states)
            .returning(x.id)
        )
        if tx.execute(statement).first() is not None:
            return id, MergeState.QUEUED, True
        living = (
            select(x.id, x.state)
            .where(
                x.recipe_digest == recipe_digest,
                x.state.in_(["queued", "running", "succeeded"]),
                x.evicted_at.is_(None),
            )
            .with_for_update()
        )
        row = tx.execute(living).first()
        # none: it failed or was cancelled between the two statements, so that the insertion is free now
        if row is not None:
            tx.execute(update(x).where(x.id == row.id).values(last_used_at=func.now()))
            return row.id, MergeState(row.state), False


def insert_request(
    tx: Connection,
    id: UUID,
    execution: UUID,
    user: UUID,
    recipe: Recipe,
    plan: Plan,
    *,
    inputs: Iterable[UUID],
    is_cached: bool,
    target: UUID | None,
    target_version: str | None,
) -> None:
    tx.execute(
        insert(mt.MergeRequest).values(
            id=id,
            execution_id=execution,
            user_id=user,
            recipe=dump_recipe(recipe),
            plan=dump_plan(plan),
            is_cached=is_cached,
            target_id=target,
            target_version=target_version,
        )
    )
    tx.execute(insert(mt.RequestInput), [{"request_id": id, "version_id": version} for version in set(inputs)])


def is_known_to(tx: Connection, execution: UUID, caller: Caller) -> bool:
    """Whether the caller asked for this execution before, or may read a publication of it."""
    q, v, r = mt.MergeRequest, t.Version, t.Repository
    asked = exists().where(q.execution_id == execution, q.user_id == caller.user_id)
    published = (
        select(q.id)
        .join(v, v.id == q.published_id)
        .join(r, r.id == v.repository_id)
        .where(q.execution_id == execution, v.state != "deleted", r.deleted_at.is_(None), can_read_version(caller))
        .exists()
    )
    return bool(tx.execute(select(or_(asked, published))).scalar())


def selection() -> Any:
    q, x = mt.MergeRequest, mt.MergeExecution
    return select(
        q.id,
        q.execution_id,
        q.user_id,
        q.recipe,
        q.plan,
        q.is_cached,
        q.target_id,
        q.published_id,
        q.publish_error,
        q.created_at,
        q.cancelled_at,
        x.recipe_digest,
        x.state,
        x.progress_done,
        x.progress_total,
        x.progress_unit,
        x.content_digest,
        x.report,
        x.error,
        x.started_at,
        x.finished_at,
        x.evicted_at,
    ).join(x, x.id == q.execution_id)


def merge_of(row: Row[Any], files: tuple[File, ...]) -> Merge:
    state = MergeState(row.state)
    if row.cancelled_at is not None:
        state = MergeState.CANCELLED
    elif row.publish_error is not None:
        state = MergeState.FAILED
    started, finished = row.started_at, row.finished_at
    # an execution may be older than the request that it serves
    if started is not None:
        started = max(started, row.created_at)
    if state is MergeState.CANCELLED and row.cancelled_at is not None:
        finished = row.cancelled_at
    if finished is not None:
        finished = max(finished, started or row.created_at)
    return Merge(
        id=row.id,
        execution=row.execution_id,
        user=row.user_id,
        state=state,
        recipe=load_recipe(row.recipe),
        plan=load_plan(row.plan),
        recipe_digest=row.recipe_digest,
        progress=Progress(row.progress_done, row.progress_total, row.progress_unit),
        is_cached=row.is_cached,
        content_digest=row.content_digest,
        files=files,
        report=row.report or {},
        error=row.publish_error or row.error,
        published=row.published_id,
        is_evicted=row.evicted_at is not None,
        created_at=row.created_at,
        started_at=started,
        finished_at=finished,
    )


def find(tx: Connection, id: UUID, caller: Caller) -> Merge | None:
    """A caller's own merge; an administrator may read every one."""
    q = mt.MergeRequest
    statement = selection().where(q.id == id)
    if not caller.is_admin:
        statement = statement.where(q.user_id == caller.user_id)
    row = tx.execute(statement).first()
    return None if row is None else merge_of(row, files_of(tx, row.execution_id))


def state_of(tx: Connection, id: UUID, caller: Caller) -> tuple[MergeState, Progress] | None:
    """How far a caller's own merge is: one light statement, for those who watch."""
    q, x = mt.MergeRequest, mt.MergeExecution
    statement = (
        select(shown_state().label("state"), x.progress_done, x.progress_total, x.progress_unit)
        .select_from(q)
        .join(x, x.id == q.execution_id)
        .where(q.id == id)
    )
    if not caller.is_admin:
        statement = statement.where(q.user_id == caller.user_id)
    row = tx.execute(statement).first()
    if row is None:
        return None
    return MergeState(row.state), Progress(row.progress_done, row.progress_total, row.progress_unit)


def shown_state() -> Any:
    """A request's state: its own end, else its execution's."""
    q, x = mt.MergeRequest, mt.MergeExecution
    return case((q.cancelled_at.is_not(None), "cancelled"), (q.publish_error.is_not(None), "failed"), else_=x.state)


def list_merges(
    tx: Connection, caller: Caller, state: str | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[Merge]:
    """The caller's own, newest first."""
    q = mt.MergeRequest
    statement = selection().where(q.user_id == caller.user_id)
    if state is not None:
        statement = statement.where(shown_state() == state)
    if after is not None:
        statement = statement.where(tuple_(q.created_at, q.id) < after)
    statement = statement.order_by(q.created_at.desc(), q.id.desc()).limit(limit)
    rows = tx.execute(statement).all()
    files = files_by_execution(tx, [row.execution_id for row in rows])
    return [merge_of(row, files.get(row.execution_id, ())) for row in rows]


def files_of(tx: Connection, execution: UUID) -> tuple[File, ...]:
    return files_by_execution(tx, [execution]).get(execution, ())


def files_by_execution(tx: Connection, executions: Iterable[UUID]) -> dict[UUID, tuple[File, ...]]:
    f, b = mt.ExecutionFile, t.Blob
    statement = (
        select(f.execution_id, f.path, f.digest, b.size_bytes)
        .join(b, b.digest == f.digest)
        .where(f.execution_id.in_(list(executions)))
        .order_by(f.execution_id, func.convert_to(f.path, "UTF8"))
    )
    files: dict[UUID, tuple[File, ...]] = {}
    for row in tx.execute(statement):
        files[row.execution_id] = (*files.get(row.execution_id, ()), File(row.path, row.digest, row.size_bytes))
    return files


def unreadable(tx: Connection, requests: Iterable[UUID], caller: Caller) -> set[UUID]:
    """Those of the requests into whose result something went that the caller may not read now."""
    i, v, r = mt.RequestInput, t.Version, t.Repository
    hidden = (
        select(i.request_id)
        .join(v, v.id == i.version_id)
        .join(r, r.id == v.repository_id)
        .where(i.request_id.in_(list(requests)), ~can_hold_version(caller))
        .distinct()
    )
    return set(tx.execute(hidden).scalars())


def cancel(tx: Connection, id: UUID) -> None:
    """Withdraws a request that has not ended; the execution stops when no request is left."""
    q, x = mt.MergeRequest, mt.MergeExecution
    execution = select(q.execution_id).where(q.id == id).scalar_subquery()
    row = tx.execute(select(x.id, x.state).where(x.id == execution).with_for_update()).one()
    if MergeState(row.state).is_final:
        return
    tx.execute(update(q).where(q.id == id, q.cancelled_at.is_(None)).values(cancelled_at=func.clock_timestamp()))
    left = tx.execute(select(q.id).where(q.execution_id == row.id, q.cancelled_at.is_(None)).limit(1)).first()
    if left is None:
        tx.execute(update(x).where(x.id == row.id).values(state="cancelled", finished_at=func.clock_timestamp()))


def claim(tx: Connection, execution: UUID) -> Claim | None:
    """Takes an execution over, fencing whoever held it; None if it has ended."""
    x = mt.MergeExecution
    statement = (
        update(x)
        .where(x.id == execution, x.state.in_(["queued", "running"]))
        .values(
            state="running",
            attempt=x.attempt + 1,
            started_at=func.coalesce(x.started_at, func.clock_timestamp()),
            progress_done=0,
        )
        .returning(x.attempt, x.plan)
    )
    row = tx.execute(statement).first()
    return None if row is None else Claim(execution, row.attempt, load_plan(row.plan))


def held(claim: Claim) -> Any:
    x = mt.MergeExecution
    return (x.id == claim.execution) & (x.attempt == claim.attempt) & (x.state == "running")


def report_progress(tx: Connection, claim: Claim, progress: Progress) -> bool:
    """False if the claim was lost or the merge was cancelled: the worker stops."""
    statement = (
        update(mt.MergeExecution)
        .where(held(claim))
        .values(progress_done=progress.done, progress_total=progress.total, progress_unit=progress.unit)
    )
    return bool(tx.execute(statement).rowcount)


def succeed(tx: Connection, claim: Claim, result: Result) -> bool:
    """Records the result under the claim; False if it was lost."""
    x = mt.MergeExecution
    statement = (
        update(x)
        .where(held(claim))
        .values(
            state="succeeded",
            content_digest=result.content_digest,
            facts=dump_facts(result.facts),
            report=result.report,
            finished_at=func.clock_timestamp(),
            progress_done=x.progress_total,
        )
    )
    if tx.execute(statement).rowcount == 0:
        return False
    tx.execute(
        insert(mt.ExecutionFile),
        [{"execution_id": claim.execution, "path": file.path, "digest": file.digest} for file in result.files],
    )
    return True


def fail(tx: Connection, execution: UUID, attempt: int | None, error: dict[str, Any]) -> bool:
    """Ends an execution that has not ended yet; with an attempt, only if that is still the last one. Returns: whether it did."""
    x = mt.MergeExecution
    statement = update(x).where(x.id == execution, x.state.in_(["queued", "running"]))
    if attempt is not None:
        statement = statement.where(x.attempt == attempt)
    failed = tx.execute(statement.values(state="failed", error=error, finished_at=func.clock_timestamp()))
    return failed.rowcount > 0


def touch(tx: Connection, execution: UUID) -> None:
    """Its result is in use. Once a minute is enough for the cache to know."""
    x = mt.MergeExecution
    statement = update(x).where(x.id == execution, x.last_used_at < func.now() - timedelta(minutes=1))
    tx.execute(statement.values(last_used_at=func.now()))


def result_of(tx: Connection, execution: UUID) -> Result:
    """Of an execution that succeeded."""
    x = mt.MergeExecution
    row = tx.execute(select(x.content_digest, x.facts, x.report).where(x.id == execution, x.state == "succeeded")).one()
    return Result(row.content_digest, load_facts(row.facts), files_of(tx, execution), row.report)


def waiting_publications(tx: Connection, execution: UUID, request: UUID | None = None) -> list[Publication]:
    """Requests of an execution (or the one named) that want their result published and were not withdrawn, oldest first."""
    q = mt.MergeRequest
    statement = (
        select(q.id, q.user_id, q.target_id, q.target_version, q.plan, q.recipe)
        .where(
            q.execution_id == execution,
            q.target_id.is_not(None),
            q.published_id.is_(None),
            q.publish_error.is_(None),
            q.cancelled_at.is_(None),
        )
        .order_by(q.created_at, q.id)
    )
    if request is not None:
        statement = statement.where(q.id == request)
    return [
        Publication(
            row.id, row.user_id, row.target_id, row.target_version, load_plan(row.plan), load_recipe(row.recipe)
        )
        for row in tx.execute(statement)
    ]


def record_publication(
    tx: Connection, request: UUID, published: UUID | None, error: dict[str, Any] | None = None
) -> None:
    statement = update(mt.MergeRequest).where(mt.MergeRequest.id == request)
    tx.execute(statement.values(published_id=published, publish_error=error))


def published_before(
    tx: Connection, recipe_digest: Digest, target: UUID, target_version: str | None, caller: Caller
) -> UUID | None:
    """The version that an earlier request for the same recipe and publication became, if the caller may read it."""
    q, x, v, r = mt.MergeRequest, mt.MergeExecution, t.Version, t.Repository
    statement = (
        select(q.published_id)
        .join(x, x.id == q.execution_id)
        .join(v, v.id == q.published_id)
        .join(r, r.id == v.repository_id)
        .where(
            x.recipe_digest == recipe_digest,
            q.target_id == target,
            q.target_version.is_not_distinct_from(target_version),
            v.state != "deleted",
            can_read_version(caller),
        )
        .order_by(q.created_at.desc())
        .limit(1)
    )
    return tx.execute(statement).scalar()
