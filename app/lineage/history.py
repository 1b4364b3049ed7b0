"""Lines of commits, newest first, as a caller may see them: what they may not read, or what was deleted, was never committed."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CTE, ColumnElement, Connection, Integer, Text, any_, cast, func, literal, select
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.commit import Commit
from app.lineage import tables as t
from app.lineage.access import can_read_commit
from app.lineage.commits import Origin, Own, commit_of, get, head, main, selection

Begun, Step, Holder = aliased(t.Commit), aliased(t.Commit), aliased(t.Repository)


def at_ref(tx: Connection, repository: UUID, ref: str, caller: Caller) -> Commit | None:
    """Where a ref is to the caller; None: it is not there for them.

    Of `main` the newest commit that they may read: what they may not read, or what was deleted, is as if it had never been
    committed. Any other branch is there for whoever may read its head.
    """
    id = head(tx, repository, ref)
    found = None if id is None else get(tx, repository, id, caller)
    if found is None and id is not None and ref == main:
        return heads(tx, [repository], caller).get(repository)
    return found


def page(tx: Connection, repository: UUID, id: str, caller: Caller, limit: int) -> tuple[list[Commit], str | None]:
    """A commit and those before it that the caller may read, newest first; and where the next page begins."""
    line = line_from(caller, repository, id, limit + 1)
    statement = selection(caller).join(line, line.c.id == t.Commit.id).where(line.c.is_readable).order_by(line.c.passed)
    shown = [commit_of(row) for row in tx.execute(statement)]
    return shown[:limit], shown[limit].id if len(shown) > limit else None


def last_changes(
    tx: Connection, repository: UUID, id: str, caller: Caller, paths: Collection[str]
) -> dict[str, Commit]:
    """By path, the last commit up to this one that changed the file there, as its history is to the caller.

    What was changed by a commit that they may not read was changed, to them, by the next one that they may.
    """
    line, h = line_from(caller, repository, id), t.Change
    place = line.c.passed + cast(line.c.is_readable, Integer) - 1
    changed = (
        select(h.path, func.min(place).label("place"))
        .join(line, line.c.id == h.commit_id)
        .where(h.path == any_(literal(list(paths), ARRAY(Text))))
        .group_by(h.path)
        .subquery()
    )
    statement = (
        selection(caller)
        .add_columns(changed.c.path)
        .join(line, line.c.id == t.Commit.id)
        .join(changed, changed.c.place == line.c.passed)
        .where(line.c.is_readable)
    )
    return {row.path: commit_of(row) for row in tx.execute(statement)}


def heads(tx: Connection, repositories: Sequence[UUID], caller: Caller) -> dict[UUID, Commit]:
    """By repository, the newest commit on `main` that the caller may read."""
    line = readable_heads(caller, t.Ref.repository_id.in_(repositories))
    statement = selection(caller).join(line, line.c.id == t.Commit.id).where(line.c.is_readable)
    return {row.repository_id: commit_of(row) for row in tx.execute(statement)}


def readable_heads(caller: Caller, condition: ColumnElement[bool] | None = None) -> CTE:
    """The heads of `main` where the condition holds, and below each that the caller may not read, the commits down to the
    first that they may: columns id, repository_id, tags, parents, is_readable, passed."""
    f = t.Ref
    start = walked(caller, f, f.commit_id, literal(0))
    return continued(caller, start.where(f.name == main, *([] if condition is None else [condition])), 1)


def line_from(caller: Caller, repository: UUID, id: str, most: int | None = None) -> CTE:
    """A commit and those before it, until so many are passed that the caller may read: columns as of `readable_heads`."""
    first = walked(caller, Begun, Begun.id, literal(0)).where(Begun.id == id, Begun.repository_id == repository)
    return continued(caller, first, most)


def continued(caller: Caller, first: Any, most: int | None) -> CTE:
    line = first.cte(recursive=True)
    passed = line.c.passed + cast(line.c.is_readable, Integer)
    further = walked(caller, line, line.c.parents[1], passed)
    whole: CTE = line.union_all(further if most is None else further.where(passed < most))
    return whole


def walked(caller: Caller, above: Any, next_id: Any, passed: Any) -> Any:
    """The commits that the rows above lead to, and whether the caller may read them.

    Args:
        next_id: of the commit that each row above leads to.
        passed: how many that the caller may read stand before it.
    """
    c, r, v, origin = Step, Holder, Own, Origin
    readable = can_read_commit(caller, v, origin, r).label("is_readable")
    return (
        select(c.id, c.repository_id, c.tags, c.parents, readable, passed.label("passed"))
        .select_from(above)
        .join(c, c.id == next_id)
        .join(r, r.id == c.repository_id)
        .outerjoin(v, v.commit_id == c.id)
        .outerjoin(origin, origin.id == c.origin_id)
    )
