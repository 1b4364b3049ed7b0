"""Recalls: what they reach, and what follows from that for versions, merges and aliases.

A version is recalled while any recall that stands reaches it, and an alias names what it was last pointed at, or while that
is recalled the last thing before that is not. Both are computed anew, so that to undo a recall is to compute once more.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Connection,
    Row,
    TextClause,
    Uuid,
    any_,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.event import EventType
from app.domain.number import VersionNumber
from app.domain.recall import Recall, Severity
from app.lineage import event_tables as e
from app.lineage import events
from app.lineage import merge_tables as mt
from app.lineage import tables as t
from app.lineage.access import can_read_version
from app.lineage.prepared import Prepared

hold = Prepared(text("SELECT pg_advisory_xact_lock_shared(hashtextextended('lineage', 0))"))
freeze = text("SELECT pg_advisory_xact_lock(hashtextextended('lineage', 0))")

mark_reached = text(
    """
    WITH RECURSIVE reached(id) AS (
        SELECT id FROM unnest(CAST(:versions AS uuid[])) AS found(id)
        UNION
        SELECT edges.child_id FROM reached JOIN edges ON edges.parent_id = reached.id
    )
    INSERT INTO recall_marks (recall_id, version_id) SELECT CAST(:recall AS uuid), id FROM reached
    ON CONFLICT DO NOTHING
    """
)
"""Everything that holds a version, stands on it, or continues it."""
trained_on_marked = text(
    """
    SELECT DISTINCT trained.id
    FROM recall_marks marks
    JOIN versions base ON base.id = marks.version_id
    JOIN repositories ON repositories.id = base.repository_id AND repositories.kind = 'model'
    JOIN versions trained ON trained.base_model ->> 'digest' = base.content_digest
    WHERE marks.recall_id = :recall AND NOT EXISTS (
        SELECT FROM recall_marks already WHERE already.recall_id = :recall AND already.version_id = trained.id
    )
    """
)
"""What names a marked model as its base, and is not marked yet."""
mark_new = Prepared(
    text(
        """
        INSERT INTO recall_marks (recall_id, version_id)
        SELECT DISTINCT recall_id, CAST(:version AS uuid) FROM recall_marks
        WHERE version_id = ANY(CAST(:parents AS uuid[]))
        UNION
        SELECT marks.recall_id, CAST(:version AS uuid)
        FROM recall_marks marks
        JOIN versions base ON base.id = marks.version_id AND base.content_digest = :base
        JOIN repositories ON repositories.id = base.repository_id AND repositories.kind = 'model'
        RETURNING recall_id
        """
    )
)
change_and_tell = """
    WITH changed AS (
        UPDATE versions SET state = '{state}' FROM recall_marks marks
        WHERE marks.recall_id = :recall AND marks.version_id = versions.id AND {condition}
        RETURNING versions.id, versions.repository_id, versions.created_at, major, minor, patch
    ), named AS (
        SELECT changed.id, repository_id, changed.created_at, repositories.namespace_id,
            namespaces.name || '/' || repositories.name || '@' || major || '.' || minor || '.' || patch AS reference
        FROM changed
        JOIN repositories ON repositories.id = changed.repository_id
        JOIN namespaces ON namespaces.id = repositories.namespace_id
    ), noted AS (
        INSERT INTO audit_events (actor_id, action, subject, namespace_id, request_id, details)
        SELECT CAST(:actor AS uuid), CAST(:type AS text), reference, namespace_id, CAST(:request AS text),
            jsonb_build_object('recall', CAST(CAST(:recall AS uuid) AS text))
        FROM named
    ), told AS (
        INSERT INTO events (type, repository_id, version_id, details)
        SELECT CAST(:type AS text), repository_id, id, jsonb_build_object('recall', CAST(CAST(:recall AS uuid) AS text))
        FROM named ORDER BY created_at, id
    )
    SELECT DISTINCT changed.repository_id FROM changed JOIN aliases ON aliases.repository_id = changed.repository_id
"""
"""Those whose versions change their state are told in the audit log of each namespace and by events. Returns: the repositories
with aliases among theirs."""
turn_recalled = text(change_and_tell.format(state="recalled", condition="versions.state = 'published'"))
turn_published = text(
    change_and_tell.format(
        state="published",
        condition="""versions.state = 'recalled' AND NOT EXISTS (
            SELECT FROM recall_marks other WHERE other.version_id = versions.id AND other.recall_id <> :recall
        )""",
    )
)
running_merges = text(
    """
    SELECT executions.id AS execution, requests.id AS request
    FROM recall_marks marks
    JOIN request_inputs inputs ON inputs.version_id = marks.version_id
    JOIN merge_requests requests ON requests.id = inputs.request_id AND requests.cancelled_at IS NULL
    JOIN merge_executions executions ON executions.id = requests.execution_id
    WHERE marks.recall_id = :recall AND executions.state IN ('queued', 'running')
    ORDER BY executions.id
    """
)
move_wrong_aliases = text(
    """
    WITH wrong AS (
        SELECT aliases.repository_id, repositories.created_at, aliases.key, aliases.name,
            coalesce(clean.version_id, wanted.version_id) AS target
        FROM aliases
        JOIN repositories ON repositories.id = aliases.repository_id
        CROSS JOIN LATERAL (
            SELECT by_recall FROM alias_events
            WHERE repository_id = aliases.repository_id AND key = aliases.key
            ORDER BY id DESC LIMIT 1
        ) AS last
        CROSS JOIN LATERAL (
            SELECT id, version_id FROM alias_events
            WHERE repository_id = aliases.repository_id AND key = aliases.key AND NOT by_recall
            ORDER BY id DESC LIMIT 1
        ) AS wanted
        LEFT JOIN LATERAL (
            SELECT earlier.version_id FROM alias_events earlier JOIN versions ON versions.id = earlier.version_id
            WHERE earlier.repository_id = aliases.repository_id AND earlier.key = aliases.key AND NOT earlier.by_recall
            AND (versions.state = 'published' OR (earlier.id = wanted.id AND versions.state = 'deleted'))
            ORDER BY earlier.id DESC LIMIT 1
        ) AS clean ON true
        WHERE aliases.repository_id = ANY(CAST(:repositories AS uuid[]))
        AND (repositories.on_recall = 'move' OR (:is_undone AND last.by_recall))
        AND aliases.version_id <> coalesce(clean.version_id, wanted.version_id)
    ), moved AS (
        UPDATE aliases SET version_id = wrong.target, updated_by = :by, updated_at = now() FROM wrong
        WHERE aliases.repository_id = wrong.repository_id AND aliases.key = wrong.key
    ), kept AS (
        INSERT INTO alias_events (repository_id, key, version_id, moved_by, by_recall)
        SELECT repository_id, key, target, :by, true FROM wrong
    )
    INSERT INTO events (type, repository_id, version_id, details)
    SELECT :type, repository_id, target, jsonb_build_object('alias', name) FROM wrong
    ORDER BY created_at, repository_id, key
    """
)
"""What a recall moved comes back when it is undone, whatever its repository says of recalls by then."""


def hold_lineage(tx: Connection) -> None:
    """Until the transaction ends no recall comes between what is read of lineage and what is written. Before every other lock."""
    hold.run(tx)


def freeze_lineage(tx: Connection) -> None:
    """Until the transaction ends nobody publishes and nobody asks for a merge. Before every other lock."""
    tx.execute(freeze)


def insert_recall(tx: Connection, id: UUID, version: UUID, reason: str, severity: Severity, by: UUID) -> bool:
    """False if a recall of this version stands already."""
    r = e.Recall
    statement = (
        insert(r)
        .values(id=id, version_id=version, reason=reason, severity=severity.value, recalled_by=by)
        .on_conflict_do_nothing(index_elements=["version_id"], index_where=r.undone_at.is_(None))
        .returning(r.id)
    )
    return tx.execute(statement).first() is not None


def mark(tx: Connection, recall: UUID, version: UUID) -> None:
    """Mark all that a recall reaches."""
    found = [version]
    while found:
        tx.execute(mark_reached, {"recall": recall, "versions": found})
        found = list(tx.execute(trained_on_marked, {"recall": recall}).scalars())


def pull_out(tx: Connection, recall: UUID, caller: Caller) -> None:
    """What a recall has marked is recalled from now on, and aliases name something else."""
    _change(tx, turn_recalled, recall, EventType.VERSION_RECALLED, caller)


def put_back(tx: Connection, recall: UUID, caller: Caller) -> None:
    """Undo a recall: what no other one has marked is published again, and aliases name what they named."""
    m, r = e.RecallMark, e.Recall
    _change(tx, turn_published, recall, EventType.VERSION_RESTORED, caller)
    tx.execute(m.__table__.delete().where(m.recall_id == recall))  # type: ignore[attr-defined]  # Declarative types it as FromClause
    tx.execute(update(r).where(r.id == recall).values(undone_by=caller.user, undone_at=func.clock_timestamp()))


def _change(tx: Connection, change: TextClause, recall: UUID, type: EventType, caller: Caller) -> None:
    values = {"recall": recall, "type": type.value, "actor": caller.user_id, "request": caller.request_id}
    repositories = list(tx.execute(change, values).scalars())
    if repositories:
        r = t.Repository
        # aliases move under this lock; in one order for everybody
        held = select(r.id).where(r.id == any_(bindparam(None, repositories, ARRAY(Uuid)))).order_by(r.id)
        tx.execute(held.with_for_update(key_share=True))
        tx.execute(
            move_wrong_aliases,
            {
                "repositories": repositories,
                "is_undone": type is EventType.VERSION_RESTORED,
                "by": caller.user,
                "type": EventType.ALIAS_MOVED.value,
            },
        )
    events.tell(tx)


def mark_published(tx: Connection, version: UUID, parents: Iterable[UUID], base: BaseModel | None) -> bool:
    """A version that stands on something recalled is recalled from the start; whether it is."""
    values = {"version": version, "parents": list(parents), "base": None if base is None else base.digest}
    if not mark_new.all(tx, values):
        return False
    tx.execute(update(t.Version).where(t.Version.id == version).values(state="recalled"))
    return True


def cancel_merges(tx: Connection, recall: UUID) -> None:
    """Withdraw every request whose result would hold a recalled version; an execution stops when none is left."""
    q, x = mt.MergeRequest, mt.MergeExecution
    found = tx.execute(running_merges, {"recall": recall}).all()
    executions = sorted({row.execution for row in found})
    if not executions:
        return
    # in one order for everybody, and as they are once they are held
    held = select(x.id).where(x.id.in_(executions), x.state.in_(["queued", "running"])).order_by(x.id).with_for_update()
    living = list(tx.execute(held).scalars())
    requests = [row.request for row in found if row.execution in set(living)]
    tx.execute(
        update(q).where(q.id.in_(requests), q.cancelled_at.is_(None)).values(cancelled_at=func.clock_timestamp())
    )
    is_wanted = exists().where(q.execution_id == x.id, q.cancelled_at.is_(None))
    tx.execute(
        update(x).where(x.id.in_(living), ~is_wanted).values(state="cancelled", finished_at=func.clock_timestamp())
    )


# -- reading --


def selection() -> Any:
    v, r, n = t.Version, t.Repository, t.Namespace
    recaller, undoer = aliased(n), aliased(n)
    return (
        select(
            e.Recall.id,
            e.Recall.version_id,
            (n.name + "/" + r.name).label("repository"),
            v.major,
            v.minor,
            v.patch,
            v.digest,
            r.namespace_id,
            e.Recall.reason,
            e.Recall.severity,
            recaller.name.label("recalled_by"),
            e.Recall.recalled_at,
            undoer.name.label("undone_by"),
            e.Recall.undone_at,
        )
        .select_from(e.Recall)
        .join(v, v.id == e.Recall.version_id)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .join(recaller, recaller.id == e.Recall.recalled_by)
        .outerjoin(undoer, undoer.id == e.Recall.undone_by)
    )


def recall_of(row: Row[Any]) -> Recall:
    return Recall(
        id=row.id,
        version=row.version_id,
        reference=f"{row.repository}@{VersionNumber(row.major, row.minor, row.patch)}",
        digest=row.digest,
        namespace=row.namespace_id,
        reason=row.reason,
        severity=Severity(row.severity),
        recalled_by=row.recalled_by,
        recalled_at=row.recalled_at,
        undone_by=row.undone_by,
        undone_at=row.undone_at,
    )


def find(tx: Connection, id: UUID, caller: Caller) -> Recall | None:
    """A recall of a version that the caller may read, or that stands in a namespace of theirs."""
    is_own = t.Repository.namespace_id.in_(list(caller.roles))
    row = tx.execute(selection().where(e.Recall.id == id, or_(can_read_version(caller), is_own))).first()
    return None if row is None else recall_of(row)


def list_recalls(
    tx: Connection, caller: Caller, *, active: bool | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[Recall]:
    """Of versions that the caller may read, newest first."""
    statement = selection().where(can_read_version(caller))
    if active is not None:
        statement = statement.where(e.Recall.undone_at.is_(None) if active else e.Recall.undone_at.is_not(None))
    if after is not None:
        statement = statement.where(tuple_(e.Recall.recalled_at, e.Recall.id) < after)
    statement = statement.order_by(e.Recall.recalled_at.desc(), e.Recall.id.desc()).limit(limit)
    return [recall_of(row) for row in tx.execute(statement)]
