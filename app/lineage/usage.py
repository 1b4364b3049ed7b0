"""How many bytes a namespace holds."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, text

lock_namespace_usage = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('usage of ' || CAST(:namespace AS text), 0))"
)
held_bytes = text(
    """
    SELECT coalesce(sum(size_bytes), 0)::bigint FROM (
        SELECT digest, max(size_bytes) AS size_bytes FROM (
            SELECT blobs.digest, blobs.size_bytes
            FROM repositories
            JOIN commits ON commits.repository_id = repositories.id
            JOIN tree_entries ON tree_entries.tree = commits.tree
            JOIN blobs ON blobs.digest = tree_entries.digest
            WHERE repositories.namespace_id = :namespace
            AND NOT EXISTS (SELECT FROM versions WHERE versions.commit_id = commits.id AND versions.state = 'deleted')
            UNION ALL
            SELECT blobs.digest, blobs.size_bytes
            FROM repositories
            JOIN xorbs ON xorbs.repository_id = repositories.id
            JOIN blobs ON blobs.digest = xorbs.digest
            WHERE repositories.namespace_id = :namespace
            UNION ALL
            SELECT blobs.digest, blobs.size_bytes FROM receipts JOIN blobs ON blobs.digest = receipts.digest
            WHERE receipts.user_id = :namespace AND receipts.expires_at > now()
            UNION ALL
            SELECT digest, size_bytes FROM leases WHERE namespace_id = :namespace AND expires_at > now()
            UNION ALL
            SELECT digest, size_bytes FROM uploads WHERE user_id = :namespace AND expires_at > now()
            UNION ALL
            SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:sizes AS bigint[]))
        ) AS held GROUP BY digest
    ) AS files
    """
)


def lock(tx: Connection, namespace: UUID) -> None:
    """Until the transaction ends nobody else adds to what the namespace holds. After every other lock."""
    tx.execute(lock_namespace_usage, {"namespace": namespace})


def of(tx: Connection, namespace: UUID, further: Mapping[str, int]) -> int:
    """Bytes of the different files that a namespace would hold with these further ones (size in bytes by digest).

    Counted are the files of its commits that are no deleted versions, also in repositories that may still be reopened, and
    what Xet clients sent and may refer to again; of a user also what was uploaded and has a receipt, is being uploaded, or is
    to be uploaded in parts.
    """
    values = {"namespace": namespace, "digests": list(further), "sizes": list(further.values())}
    return int(tx.execute(held_bytes, values).scalar_one())
