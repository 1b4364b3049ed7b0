"""Objects on their way into the store: leased from before they are placed until their row is written.

A store has no transactions, so that "is it needed?" and "delete it" cannot be one step there. Here they are: whoever
places an object leases its digest first, whoever deletes one writes a `Deletion` first, and both do so under a lock of
the digest, each only where the other has not.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, text
from sqlalchemy.orm import InstrumentedAttribute

from app.lineage import tables as t
from app.lineage.prepared import Prepared

abandoned_after = timedelta(minutes=10)
"""A deletion that was noted so long ago and is not done never will be: no request to the store can be under way any more."""

lock_digests = Prepared(
    text(
        "SELECT pg_advisory_xact_lock(hashtextextended(digest, 0))"
        " FROM (SELECT unnest(CAST(:digests AS text[])) AS digest ORDER BY 1) AS sorted"
    )
)

# one statement, which every upload waits for
take_leases = Prepared(
    text(
        """
        WITH wanted AS (
            SELECT * FROM unnest(CAST(:digests AS text[]), CAST(:sizes AS bigint[])) AS wanted (digest, size_bytes)
        ), abandoned AS (
            DELETE FROM deletions USING wanted
            WHERE deletions.digest = wanted.digest AND claimed_at < now() - CAST(:abandoned_after AS interval)
        ), going AS (
            SELECT deletions.digest FROM deletions JOIN wanted ON wanted.digest = deletions.digest
            WHERE claimed_at >= now() - CAST(:abandoned_after AS interval) LIMIT 1
        ), leased AS (
            INSERT INTO leases (holder, digest, size_bytes, namespace_id, expires_at)
            SELECT :holder, digest, size_bytes, CAST(:namespace AS uuid), clock_timestamp() + CAST(:duration AS interval)
            FROM wanted WHERE NOT EXISTS (SELECT FROM going)
            ON CONFLICT (holder, digest) DO UPDATE SET expires_at = excluded.expires_at
        )
        SELECT digest FROM going
        """
    )
)
end_leases = Prepared(
    delete(t.Lease)
    .where(t.Lease.holder == bindparam("ending"))
    .returning(t.Lease.digest, (t.Lease.expires_at > func.clock_timestamp()).label("is_running"))
)


def lock(tx: Connection, digests: Collection[str]) -> None:
    """Until the transaction ends nobody else leases or condemns these; in one order for everybody."""
    lock_digests.run(tx, {"digests": list(digests)})


def take(
    tx: Connection, holder: UUID, sizes: Mapping[str, int], namespace: UUID | None, duration: timedelta
) -> str | None:
    """Lease digests (with their sizes in bytes) to a holder, one of them anew too; the namespace pays for them meanwhile.

    None when all are leased; else one that is being deleted at this moment, and then nothing is leased.
    """
    lock(tx, sizes.keys())
    values = {
        "holder": holder,
        "namespace": namespace,
        "digests": list(sizes),
        "sizes": list(sizes.values()),
        "duration": duration,
        "abandoned_after": abandoned_after,
    }
    going = take_leases.first(tx, values)
    return None if going is None else going.digest


def end(tx: Connection, holder: UUID) -> set[str]:
    """The holder's leases end with this transaction. Returns what was leased until now: the rows of these may be written."""
    return {row.digest for row in end_leases.all(tx, {"ending": holder}) if row.is_running}


def expire(tx: Connection) -> int:
    x = t.Lease
    return tx.execute(delete(x).where(x.expires_at <= func.now())).rowcount


def is_leased(digest: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether anybody holds a lease of this digest."""
    x = t.Lease
    return exists().where(x.digest == digest, x.expires_at > func.clock_timestamp())
