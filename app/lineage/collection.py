"""What nothing needs any more: found, condemned under lock, and forgotten once it is gone from the store.

An object is needed while a version that is not deleted holds it, or one that is deleted but stands below such a version
or goes into a merge that waits or runs; a commit of the repository's history that is no version; the result of a merge
that is kept; what a Xet client may refer to again; or a receipt. Leases come on top: they hold what has no row yet.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, or_, select, text, update

from app.lineage import leases
from app.lineage import merge_tables as mt
from app.lineage import tables as t

needed_digests = text(
    """
    WITH RECURSIVE asked AS (
        SELECT unnest(CAST(:digests AS text[])) AS digest
    ), holders AS (
        SELECT asked.digest, commits.id AS commit_id, commits.repository_id
        FROM asked JOIN tree_entries ON tree_entries.digest = asked.digest JOIN commits ON commits.tree = tree_entries.tree
    ), standing AS (
        SELECT holders.digest, versions.id, versions.state
        FROM holders JOIN versions ON versions.commit_id = holders.commit_id
        UNION
        SELECT below.digest, child.id, child.state
        FROM standing AS below
        JOIN edges ON edges.parent_id = below.id AND edges.relation = 'builds_on'
        JOIN versions AS child ON child.id = edges.child_id
        WHERE below.state = 'deleted'
    )
    SELECT digest FROM standing WHERE state <> 'deleted'
    UNION
    SELECT standing.digest
    FROM standing
    JOIN request_inputs ON request_inputs.version_id = standing.id
    JOIN merge_requests ON merge_requests.id = request_inputs.request_id
    JOIN merge_executions ON merge_executions.id = merge_requests.execution_id
    WHERE merge_executions.state IN ('queued', 'running')
    UNION
    SELECT holders.digest
    FROM holders JOIN repositories ON repositories.id = holders.repository_id
    WHERE repositories.deleted_at IS NULL
    AND NOT EXISTS (SELECT FROM versions WHERE versions.commit_id = holders.commit_id)
    UNION
    SELECT digest FROM execution_files JOIN asked USING (digest)
    UNION
    SELECT digest FROM xorbs JOIN asked USING (digest)
    UNION
    SELECT digest FROM receipts JOIN asked USING (digest)
    """
)
mark_digests = text(
    """
    UPDATE blobs
    SET unneeded_since = CASE WHEN digest = ANY(:needed) THEN NULL ELSE clock_timestamp() END
    WHERE digest IN (
        SELECT digest FROM blobs
        WHERE digest = ANY(:digests) AND (digest = ANY(:needed)) = (unneeded_since IS NOT NULL)
        FOR NO KEY UPDATE SKIP LOCKED
    )
    """
)
condemn_digests = text(
    """
    INSERT INTO deletions (digest, collection)
    SELECT digest, :collection FROM unnest(CAST(:digests AS text[])) AS digest
    WHERE NOT EXISTS (SELECT FROM blobs WHERE blobs.digest = digest.digest)
    AND NOT EXISTS (SELECT FROM leases WHERE leases.digest = digest.digest AND expires_at > clock_timestamp())
    ON CONFLICT DO NOTHING
    RETURNING digest
    """
)
first_commits = text(
    """
    UPDATE refs SET commit_id = commits.id
    FROM commits
    WHERE refs.repository_id = ANY(:repositories) AND refs.name = 'main'
    AND commits.repository_id = refs.repository_id AND commits.parents = '{}'
    """
)
other_refs = text("DELETE FROM refs WHERE repository_id = ANY(:repositories) AND name <> 'main'")
unnumbered_commits = text(
    """
    DELETE FROM commits
    WHERE repository_id = ANY(:repositories) AND parents <> '{}'
    AND NOT EXISTS (SELECT FROM versions WHERE versions.commit_id = commits.id)
    """
)
tombstone_versions = text(
    """
    UPDATE versions SET state = 'deleted', deleted_at = repositories.deleted_at
    FROM repositories
    WHERE repositories.id = versions.repository_id AND versions.state <> 'deleted' AND repositories.id = ANY(:repositories)
    """
)


def needed(tx: Connection, digests: Collection[str]) -> set[str]:
    """Those of the digests that something needs, as every transaction that is committed by now says."""
    return set(tx.execute(needed_digests, {"digests": list(digests)}).scalars())


def known(tx: Connection, digests: Collection[str]) -> set[str]:
    """Those that have a row."""
    return set(tx.execute(select(t.Blob.digest).where(t.Blob.digest.in_(list(digests)))).scalars())


def page(tx: Connection, after: str, limit: int) -> list[str]:
    """Digests with a row, in order."""
    b = t.Blob
    return list(tx.execute(select(b.digest).where(b.digest > after).order_by(b.digest).limit(limit)).scalars())


def mark(tx: Connection, digests: Collection[str], needed: Collection[str]) -> None:
    """Since when nothing needs them, of those that are not needed; what is just being written is left for the next time."""
    tx.execute(mark_digests, {"digests": list(digests), "needed": list(needed)})


def overdue(tx: Connection, grace: timedelta) -> list[str]:
    """Digests that nothing has needed for so long."""
    b = t.Blob
    statement = select(b.digest).where(b.unneeded_since <= func.now() - grace).order_by(b.unneeded_since)
    return list(tx.execute(statement).scalars())


def condemn(tx: Connection, collection: UUID, digests: Collection[str], grace: timedelta) -> list[str]:
    """Take the rows of those that are overdue, unneeded and not leased: from this transaction on their objects may be deleted.

    What somebody is just naming or writing is left for the next time.
    """
    b = t.Blob
    free = (
        select(b.digest)
        .where(b.digest.in_(list(digests)), b.unneeded_since <= func.now() - grace)
        .order_by(b.digest)
        .with_for_update(skip_locked=True)
    )
    locked = list(tx.execute(free).scalars())
    leases.lock(tx, locked)
    # in statements of their own: they see what was committed while the locks were waited for
    unneeded = set(locked) - needed(tx, locked)
    tx.execute(delete(b).where(b.digest.in_(unneeded), ~leases.is_leased(b.digest)))
    return list(tx.execute(condemn_digests, {"digests": list(unneeded), "collection": collection}).scalars())


def condemn_orphans(tx: Connection, collection: UUID, digests: Collection[str]) -> list[str]:
    """Of objects without a row, those that nobody leases: from this transaction on they may be deleted."""
    leases.lock(tx, digests)
    return list(tx.execute(condemn_digests, {"digests": list(digests), "collection": collection}).scalars())


def take_over(tx: Connection, collection: UUID) -> list[str]:
    """What an earlier collection condemned and never finished."""
    d = t.Deletion
    statement = update(d).where(d.claimed_at < func.now() - leases.abandoned_after).returning(d.digest)
    return list(tx.execute(statement.values(collection=collection, claimed_at=func.clock_timestamp())).scalars())


def finish(tx: Connection, collection: UUID, digests: Collection[str]) -> None:
    """The objects are gone: their digests are as if they had never been stored."""
    d = t.Deletion
    tx.execute(delete(d).where(d.digest.in_(list(digests)), d.collection == collection))


def tombstone(tx: Connection, grace: timedelta) -> int:
    """Delete the versions of repositories that were deleted so long ago; how many. Whoever reopens one later finds tombstones,
    and `main` as it began: of commits that were no versions the files are going, so that they and their branches go too."""
    r, c, v = t.Repository, t.Commit, t.Version
    later = select(c.id).outerjoin(v, v.commit_id == c.id).where(c.repository_id == r.id, c.parents != [])
    gone = select(r.id).where(
        r.deleted_at <= func.now() - grace, later.where(or_(v.id.is_(None), v.state != "deleted")).exists()
    )
    locked = {"repositories": list(tx.execute(gone.with_for_update(skip_locked=True)).scalars())}
    for statement in (first_commits, other_refs, unnumbered_commits):
        tx.execute(statement, locked)
    return tx.execute(tombstone_versions, locked).rowcount


@dataclass(frozen=True, slots=True)
class KeptResult:
    """A merge's result in the cache."""

    execution: UUID
    last_used_at: datetime
    files: tuple[tuple[str, int], ...]
    """(digest, size in bytes) of each."""


is_free = text(
    """
    NOT EXISTS (
        SELECT FROM merge_requests LEFT JOIN versions ON versions.id = merge_requests.published_id
        WHERE merge_requests.execution_id = merge_executions.id
        AND (
            versions.state <> 'deleted'
            OR (target_id IS NOT NULL AND published_id IS NULL AND publish_error IS NULL AND cancelled_at IS NULL)
        )
    )
    """
)


def cached_results(tx: Connection) -> Sequence[KeptResult]:
    """Results that no version holds and none is to hold, the last used first."""
    x, f, b = mt.MergeExecution, mt.ExecutionFile, t.Blob
    statement = (
        select(x.id, x.last_used_at, f.digest, b.size_bytes)
        .join(f, f.execution_id == x.id)
        .join(b, b.digest == f.digest)
        .where(x.state == "succeeded", x.evicted_at.is_(None), is_free)
        .order_by(x.last_used_at.desc(), x.id)
    )
    found: dict[UUID, KeptResult] = {}
    for id, last_used_at, digest, size_bytes in tx.execute(statement):
        files = found[id].files if id in found else ()
        found[id] = KeptResult(id, last_used_at, (*files, (digest, size_bytes)))
    return list(found.values())


def evict(tx: Connection, result: KeptResult) -> bool:
    """Give a result up; False if it was used, or came to be held, since it was seen."""
    x, f = mt.MergeExecution, mt.ExecutionFile
    locked = select(x.id).where(x.id == result.execution, x.evicted_at.is_(None)).with_for_update()
    if tx.execute(locked).first() is None:
        return False
    statement = update(x).where(x.id == result.execution, x.last_used_at == result.last_used_at, is_free)
    if tx.execute(statement.values(evicted_at=func.now())).rowcount == 0:
        return False
    tx.execute(delete(f).where(f.execution_id == result.execution))
    return True
