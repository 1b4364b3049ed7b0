"""Recalls: what they reach, and what follows from that for versions, merges and aliases.

A version is recalled while any recall that stands reaches it, and an alias names what it was last pointed at, or while that
is recalled the last thing before that is not. Both are computed anew, so that to undo a recall is to compute once more.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.number import VersionNumber
from app.domain.recall import Recall, Severity
from app.lineage import event_tables as e
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
turn_recalled = text(
    """
    UPDATE versions SET state = 'recalled'
    WHERE state = 'published' AND id IN (SELECT version_id FROM recall_marks WHERE recall_id = :recall)
    RETURNING id
    """
)
turn_published = text(
    """
    UPDATE versions SET state = 'published'
    WHERE state = 'recalled'
    AND id IN (SELECT version_id FROM recall_marks WHERE recall_id = :recall)
    AND NOT EXISTS (
        SELECT FROM recall_marks other WHERE other.version_id = versions.id AND other.recall_id <> :recall
    )
    RETURNING id
    """
)
tell_owners = text(
    """
    WITH changed AS (
        SELECT versions.id, versions.repository_id, repositories.namespace_id,
            namespaces.name || '/' || repositories.name || '@' || major || '.' || minor || '.' || patch AS reference
        FROM versions
        JOIN repositories ON repositories.id = versions.repository_id
        JOIN namespaces ON namespaces.id = repositories.namespace_id
        WHERE versions.id = ANY(CAST(:versions AS uuid[]))
    ), told AS (
        INSERT INTO audit_events (actor_id, action, subject, namespace_id, request_id, details)
        SELECT CAST(:actor AS uuid), :type, reference, namespace_id, :request,
            jsonb_build_object('recall', CAST(:recall AS text))
        FROM changed
    )
    INSERT INTO events (type, repository_id, version_id, details)
    SELECT :type, repository_id, id, jsonb_build_object('recall', CAST(:recall AS text)) FROM changed
    """
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
alias_repositories = text(
    """
    SELECT DISTINCT versions.repository_id
    FROM versions
    JOIN aliases ON aliases.repository_id = versions.repository_id
    WHERE versions.id = ANY(CAST(:versions AS uuid[]))
    ORDER BY versions.repository_id
    """
)
alias_moves = text(
    """
    SELECT aliases.repository_id, aliases.key, aliases.name, coalesce(clean.version_id, wanted.version_id) AS target
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
    ORDER BY aliases.repository_id, aliases.key
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


def mark(tx: Connection, recall: UUID, version: UUID) -> list[UUID]:
    """Mark all that a recall reaches. Returns: the versions that were published until now."""
    found = [version]
    while found:
        tx.execute(mark_reached, {"recall": recall, "versions": found})
        found = list(tx.execute(trained_on_marked, {"recall": recall}).scalars())
    return list(tx.execute(turn_recalled, {"recall": recall}).scalars())


def unmark(tx: Connection, recall: UUID, by: UUID) -> list[UUID]:
    """Undo a recall. Returns: the versions that are published again."""
    restored = list(tx.execute(turn_published, {"recall": recall}).scalars())
    m, r = e.RecallMark, e.Recall
    tx.execute(m.__table__.delete().where(m.recall_id == recall))  # type: ignore[attr-defined]  # Declarative types it as FromClause
    tx.execute(update(r).where(r.id == recall).values(undone_by=by, undone_at=func.clock_timestamp()))
    return restored


def mark_published(tx: Connection, version: UUID, parents: Iterable[UUID], base: BaseModel | None) -> bool:
    """A version that stands on something recalled is recalled from the start; whether it is."""
    values = {"version": version, "parents": list(parents), "base": None if base is None else base.digest}
    if not mark_new.all(tx, values):
        return False
    tx.execute(update(t.Version).where(t.Version.id == version).values(state="recalled"))
    return True


def tell(tx: Connection, recall: UUID, type: str, versions: Iterable[UUID], caller: Caller) -> None:
    """Those whose versions changed their state, in the audit log of each namespace and as events."""
    tx.execute(
        tell_owners,
        {
            "recall": recall,
            "type": type,
            "versions": list(versions),
            "actor": caller.user_id,
            "request": caller.request_id,
        },
    )


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


def move_aliases(
    tx: Connection, versions: Iterable[UUID], by: UUID, *, is_undone: bool
) -> list[tuple[UUID, str, UUID]]:
    """Let the aliases in the repositories of these versions name what they ought to. Returns: (repository, alias, version)."""
    a = t.Alias
    repositories = list(tx.execute(alias_repositories, {"versions": list(versions)}).scalars())
    for repository in repositories:
        # aliases move under this lock
        tx.execute(select(t.Repository.id).where(t.Repository.id == repository).with_for_update(key_share=True))
    moves = tx.execute(alias_moves, {"repositories": repositories, "is_undone": is_undone}).all()
    for move in moves:
        tx.execute(
            update(a)
            .where(a.repository_id == move.repository_id, a.key == move.key)
            .values(version_id=move.target, updated_by=by, updated_at=func.now())
        )
        tx.execute(
            insert(t.AliasEvent).values(
                repository_id=move.repository_id, key=move.key, version_id=move.target, moved_by=by, by_recall=True
            )
        )
    return [(move.repository_id, move.name, move.target) for move in moves]


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


def recalls_of(tx: Connection, versions: Iterable[UUID]) -> dict[UUID, UUID]:
    """The recalls that reach any of these versions: recall → recalled version, oldest first."""
    m, r = e.RecallMark, e.Recall
    statement = (
        select(r.id, r.version_id)
        .join(m, m.recall_id == r.id)
        .where(m.version_id.in_(list(versions)))
        .distinct()
        .order_by(r.version_id)
    )
    return {row.id: row.version_id for row in tx.execute(statement)}


evidence = text(
    """
    WITH RECURSIVE walked(child, parent) AS (
        SELECT CAST(NULL AS uuid), id FROM unnest(CAST(:versions AS uuid[])) AS asked(id)
        UNION
        SELECT walked.parent, step.id FROM walked CROSS JOIN LATERAL (
            SELECT edges.parent_id AS id FROM edges
            JOIN recall_marks ON recall_marks.version_id = edges.parent_id AND recall_marks.recall_id = :recall
            WHERE edges.child_id = walked.parent
            UNION ALL
            SELECT base.id FROM versions trained
            JOIN versions base ON base.content_digest = trained.base_model ->> 'digest'
            JOIN repositories ON repositories.id = base.repository_id AND repositories.kind = 'model'
            JOIN recall_marks ON recall_marks.version_id = base.id AND recall_marks.recall_id = :recall
            WHERE trained.id = walked.parent
        ) AS step
    )
    SELECT child, parent FROM walked WHERE child IS NOT NULL ORDER BY child, parent LIMIT 20000
    """
)


def steps_towards(tx: Connection, recall: UUID, versions: Iterable[UUID]) -> Mapping[UUID, list[UUID]]:
    """What leads from versions towards what was recalled: each marked version above them, with its marked parents."""
    steps: dict[UUID, list[UUID]] = {}
    for row in tx.execute(evidence, {"recall": recall, "versions": list(versions)}):
        steps.setdefault(row.child, []).append(row.parent)
    return steps


recalled_holders = text(
    """
    SELECT versions.id FROM versions
    WHERE versions.repository_id = :repository AND versions.state = 'recalled' AND (
        versions.commit_id = :commit
        OR NOT EXISTS (SELECT FROM versions named WHERE named.commit_id = :commit)
        AND EXISTS (
            SELECT FROM commits JOIN tree_entries ON tree_entries.tree = commits.tree
            WHERE commits.id = versions.commit_id AND tree_entries.digest = :digest
        )
    )
    ORDER BY versions.id
    """
)


def recalled_at(tx: Connection, repository: UUID, commit: str, digest: str) -> list[UUID]:
    """The recalled versions that a file at a commit belongs to: the one that the commit is, or where it has no number
    those of its repository that hold the same bytes."""
    values = {"repository": repository, "commit": commit, "digest": digest}
    return list(tx.execute(recalled_holders, values).scalars())


def recalled_inputs(tx: Connection, request: UUID) -> list[UUID]:
    """The versions that went into a merge request's result and are recalled now."""
    i, v = mt.RequestInput, t.Version
    statement = select(v.id).join(i, i.version_id == v.id).where(i.request_id == request, v.state == "recalled")
    return list(tx.execute(statement.order_by(v.id)).scalars())
