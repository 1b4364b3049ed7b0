"""Evidence: what of a version, a file or a result was recalled, and the way from there to what was pulled out."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from sqlalchemy import Connection, select, text

from app.lineage import event_tables as e
from app.lineage import merge_tables as mt
from app.lineage import tables as t


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
