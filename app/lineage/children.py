"""Children: what was made of a version directly, as a caller may see it, with a bound."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from app.domain.caller import Caller
from app.domain.lineage import Kind, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.lineage import tables as t
from app.lineage.access import can_read_version


@dataclass(frozen=True, slots=True)
class Child:
    """A version with one of its edges to the parent."""

    reference: str
    kind: Kind
    state: VersionState
    relation: Relation
    weight: float
    role: Role | None


def children(tx: Connection, parent: UUID, caller: Caller, limit: int, most_counted: int) -> tuple[list[Child], int]:
    """The newest of those that the caller may read and that live, and how many there are, counted as far as `most_counted`."""
    e, v, r, n = t.Edge, t.Version, t.Repository, t.Namespace
    edges = (
        select(e.child_id, e.relation, e.weight, e.role)
        .join(v, v.id == e.child_id)
        .join(r, r.id == v.repository_id)
        .where(e.parent_id == parent, can_read_version(caller), v.state != "deleted", r.deleted_at.is_(None))
        .limit(most_counted)
        .subquery()
    )
    statement = (
        select(
            (n.name + "/" + r.name).label("repository"),
            v.major,
            v.minor,
            v.patch,
            r.kind,
            v.state,
            edges.c.relation,
            edges.c.weight,
            edges.c.role,
        )
        .join(v, v.id == edges.c.child_id)
        .join(r, r.id == v.repository_id)
        .join(n, n.id == r.namespace_id)
        .order_by(v.created_at.desc(), v.id)
    )
    rows = tx.execute(statement).all()
    shown = [
        Child(
            f"{row.repository}@{VersionNumber(row.major, row.minor, row.patch)}",
            Kind(row.kind),
            VersionState(row.state),
            Relation(row.relation),
            row.weight,
            None if row.role is None else Role(row.role),
        )
        for row in rows[:limit]
    ]
    return shown, len(rows)
