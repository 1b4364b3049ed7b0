"""Stacks, their locks and proposals."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.lineage import VersionState
from app.domain.number import VersionNumber
from app.domain.reference import Selector
from app.domain.stack import Because, Definition, Lock, Outcome, Proposal, ProposalState, Requirement, Stack, Update
from app.lineage import merge_tables as mt
from app.lineage import queue, tables, versions
from app.lineage import stack_tables as t
from app.lineage.access import can_read_repository, can_read_version
from app.lineage.queue import TaskName

definitions = TypeAdapter(Definition)
outcomes = TypeAdapter(Outcome)
Author = aliased(tables.Namespace)


def put(tx: Connection, repository: UUID, definition: Definition, update_policy: Update, maintainer: UUID) -> None:
    """Define a stack anew; what it was resolved to is forgotten, its locks stay."""
    statement = insert(t.Stack).values(
        repository_id=repository,
        definition=definitions.dump_python(definition, mode="json"),
        update_policy=update_policy.value,
        maintainer_id=maintainer,
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["repository_id"],
            set_={
                "definition": statement.excluded.definition,
                "update_policy": statement.excluded.update_policy,
                "maintainer_id": statement.excluded.maintainer_id,
                "resolved": None,
                "problem": None,
                "updated_at": func.now(),
            },
        )
    )


def find(tx: Connection, repository: UUID) -> Stack | None:
    s = t.Stack
    row = tx.execute(select(s).where(s.repository_id == repository)).mappings().first()
    if row is None:
        return None
    return Stack(
        repository=row["repository_id"],
        definition=definitions.validate_python(row["definition"]),
        update=Update(row["update_policy"]),
        maintainer=row["maintainer_id"],
        resolved=row["resolved"],
        problem=row["problem"],
        updated_at=row["updated_at"],
    )


def note_resolution(tx: Connection, stack: UUID, resolved: Digest | None, problem: dict[str, Any] | None) -> None:
    statement = update(t.Stack).where(t.Stack.repository_id == stack)
    tx.execute(statement.values(resolved=resolved, problem=problem))


def note_problem(tx: Connection, stack: UUID, problem: dict[str, Any] | None) -> None:
    """What stands in the way of a stack whose resolution has an outcome."""
    tx.execute(update(t.Stack).where(t.Stack.repository_id == stack).values(problem=problem))


def note_unmerged(tx: Connection, repository: UUID, version: str | None, problem: dict[str, Any]) -> None:
    """Why a version was not made: nothing, unless it is the one that a stack's last lock was to become."""
    last = lock(tx, repository)
    if last is not None and str(last.version) == version:
        note_problem(tx, repository, problem)


def is_merged_or_will_be(tx: Connection, lock: Lock) -> bool:
    """Whether a lock became a version of its stack, one that is deleted by now too, or is on its way there."""
    q, x = mt.MergeRequest, mt.MergeExecution
    is_on_its_way = and_(q.publish_error.is_(None), x.state.in_(["queued", "running", "succeeded"]))
    statement = select(q.id).join(x, x.id == q.execution_id)
    statement = statement.where(
        q.target_id == lock.stack,
        q.target_version == str(lock.version),
        q.cancelled_at.is_(None),
        or_(q.published_id.is_not(None), is_on_its_way),
    )
    return tx.execute(statement.limit(1)).first() is not None


def note_inputs(tx: Connection, stack: UUID, repositories: Iterable[UUID]) -> None:
    """What the stack depends on from now on: the index by which it is found when something changes there."""
    i = t.StackInput
    wanted = set(repositories)
    known = set(tx.execute(select(i.repository_id).where(i.stack_id == stack)).scalars())
    if known - wanted:
        tx.execute(delete(i).where(i.stack_id == stack, i.repository_id.in_(list(known - wanted))))
    if wanted - known:
        tx.execute(insert(i), [{"stack_id": stack, "repository_id": repository} for repository in wanted - known])


def dependents(tx: Connection, repositories: Iterable[UUID]) -> list[UUID]:
    """The stacks that look at any of the repositories, in one order for everybody: the oldest first."""
    i, r = t.StackInput, tables.Repository
    looking = select(i.stack_id).where(i.repository_id.in_(list(repositories)))
    statement = select(r.id).where(r.id.in_(looking)).order_by(r.created_at, r.id)
    return list(tx.execute(statement).scalars())


def candidates(tx: Connection, repository: UUID, requirement: Requirement, caller: Caller) -> list[UUID]:
    """The versions that a layer may be, newest first: published, readable, and of a repository that lives."""
    v, r = tables.Version, tables.Repository
    statement = (
        select(v.id, v.major, v.minor, v.patch)
        .join(r, r.id == v.repository_id)
        .where(
            v.repository_id == repository,
            v.state == VersionState.PUBLISHED.value,
            r.deleted_at.is_(None),
            r.kind.in_(["adapter", "stack"]),
            can_read_version(caller),
        )
        .order_by(v.major.desc(), v.minor.desc(), v.patch.desc())
    )
    if requirement.selector is None:
        return [
            row.id
            for row in tx.execute(statement)
            if requirement.allows(VersionNumber(row.major, row.minor, row.patch))
        ]
    named = _named(tx, repository, requirement.selector, caller)
    return list(tx.execute(statement.where(v.id == named).with_only_columns(v.id)).scalars())


def _named(tx: Connection, repository: UUID, selector: Selector, caller: Caller) -> UUID | None:
    found = versions.find(tx, repository, selector, caller)
    return None if found is None else found.id


def held_in(tx: Connection, repositories: Iterable[UUID]) -> set[UUID]:
    """The repositories of what is held by any published version of these, whoever may read it: where they change, who may
    read the version changes."""
    v, c = tables.Version, tables.VersionContent
    member = aliased(v)
    statement = (
        select(member.repository_id)
        .join(c, c.member_id == member.id)
        .join(v, v.id == c.version_id)
        .where(v.repository_id.in_(list(repositories)), v.state == VersionState.PUBLISHED.value)
        .distinct()
    )
    return set(tx.execute(statement).scalars())


def names_of_repositories(tx: Connection, ids: Iterable[UUID], caller: Caller) -> dict[UUID, tuple[str, bool]]:
    """(full name, whether the caller may read it) of each repository."""
    r, n = tables.Repository, tables.Namespace
    statement = (
        select(r.id, (n.name + "/" + r.name).label("name"), can_read_repository(caller).label("is_readable"))
        .join(n, n.id == r.namespace_id)
        .where(r.id.in_(list(ids)))
    )
    return {row.id: (row.name, row.is_readable) for row in tx.execute(statement)}


# -- locks --


def insert_lock(tx: Connection, stack: UUID, outcome: Outcome, because: Because, by: UUID) -> int:
    """The next lock, under the lock of the stack's repository. Returns: its number."""
    k = t.Lock
    number = int(tx.execute(select(func.coalesce(func.max(k.number), 0) + 1).where(k.stack_id == stack)).scalar_one())
    tx.execute(
        insert(k).values(
            stack_id=stack,
            number=number,
            digest=outcome.digest,
            outcome=outcomes.dump_python(outcome, mode="json"),
            because=because.value,
            created_by=by,
        )
    )
    members = [{"stack_id": stack, "number": number, "version_id": version} for version in outcome.versions]
    tx.execute(insert(t.LockMember), members)
    return number


def locks(tx: Connection, stack: UUID) -> Any:
    """The locks of a stack, each with the version that it became."""
    k, v = t.Lock, tables.Version
    is_its_version = and_(
        v.repository_id == k.stack_id, v.major == k.number, v.minor == 0, v.patch == 0, v.state != "deleted"
    )
    return (
        select(
            k.stack_id,
            k.number,
            k.digest,
            k.outcome,
            k.because,
            Author.name.label("created_by"),
            k.created_at,
            v.id.label("merged"),
        )
        .join(Author, Author.id == k.created_by)
        .outerjoin(v, is_its_version)
        .where(k.stack_id == stack)
    )


def lock_of(row: Row[Any]) -> Lock:
    return Lock(
        stack=row.stack_id,
        number=row.number,
        outcome=outcomes.validate_python(row.outcome),
        digest=row.digest,
        because=Because(row.because),
        created_by=row.created_by,
        created_at=row.created_at,
        merged=row.merged,
    )


def lock(tx: Connection, stack: UUID, number: int | None = None) -> Lock | None:
    """A lock by its number, else the last one."""
    statement = locks(tx, stack)
    if number is not None:
        statement = statement.where(t.Lock.number == number)
    row = tx.execute(statement.order_by(t.Lock.number.desc()).limit(1)).first()
    return None if row is None else lock_of(row)


def list_locks(tx: Connection, stack: UUID, before: int | None, limit: int) -> list[Lock]:
    """Newest first."""
    statement = locks(tx, stack)
    if before is not None:
        statement = statement.where(t.Lock.number < before)
    return [lock_of(row) for row in tx.execute(statement.order_by(t.Lock.number.desc()).limit(limit))]


def is_recalled(tx: Connection, stack: UUID, number: int) -> bool:
    """Whether a lock names a version that is recalled now."""
    m, v = t.LockMember, tables.Version
    statement = select(v.id).join(m, m.version_id == v.id)
    statement = statement.where(m.stack_id == stack, m.number == number, v.state == VersionState.RECALLED.value)
    return tx.execute(statement.limit(1)).first() is not None


# -- proposals --


def insert_proposal(tx: Connection, stack: UUID, outcome: Outcome, because: Because) -> int:
    """The next proposal, under the lock of the stack's repository; the caller has withdrawn the open one."""
    p = t.Proposal
    number = int(tx.execute(select(func.coalesce(func.max(p.number), 0) + 1).where(p.stack_id == stack)).scalar_one())
    tx.execute(
        insert(p).values(
            stack_id=stack,
            number=number,
            digest=outcome.digest,
            outcome=outcomes.dump_python(outcome, mode="json"),
            because=because.value,
            state=ProposalState.OPEN.value,
        )
    )
    return number


def is_proposed_since(tx: Connection, lock: Lock, digest: Digest) -> bool:
    """Whether an outcome was proposed after a lock, and neither withdrawn nor accepted since."""
    p = t.Proposal
    statement = select(p.number).where(
        p.stack_id == lock.stack,
        p.digest == digest,
        p.created_at > lock.created_at,
        p.state.in_([ProposalState.OPEN.value, ProposalState.REJECTED.value]),
    )
    return tx.execute(statement.limit(1)).first() is not None


def withdraw_proposals(tx: Connection, stack: UUID) -> bool:
    """Whether one was open."""
    p = t.Proposal
    statement = update(p).where(p.stack_id == stack, p.state == ProposalState.OPEN.value)
    withdrawn = tx.execute(statement.values(state=ProposalState.WITHDRAWN.value, decided_at=func.clock_timestamp()))
    return withdrawn.rowcount > 0


def decide(tx: Connection, proposal: Proposal, state: ProposalState, by: UUID, lock_number: int | None) -> None:
    p = t.Proposal
    statement = update(p).where(p.stack_id == proposal.stack, p.number == proposal.number)
    tx.execute(
        statement.values(state=state.value, decided_by=by, decided_at=func.clock_timestamp(), lock_number=lock_number)
    )


def proposal(tx: Connection, stack: UUID, number: int) -> Proposal | None:
    found = _proposals(tx, stack, t.Proposal.number == number)
    return found[0] if found else None


def list_proposals(
    tx: Connection, stack: UUID, state: ProposalState | None, before: int | None, limit: int
) -> list[Proposal]:
    """Newest first."""
    conditions = [] if state is None else [t.Proposal.state == state.value]
    if before is not None:
        conditions.append(t.Proposal.number < before)
    return _proposals(tx, stack, *conditions, limit=limit)


def _proposals(tx: Connection, stack: UUID, *conditions: Any, limit: int = 1) -> list[Proposal]:
    p = t.Proposal
    statement = (
        select(p.number, p.digest, p.outcome, p.because, p.state, p.created_at, p.decided_at, p.lock_number)
        .add_columns(Author.name.label("decided_by"))
        .outerjoin(Author, Author.id == p.decided_by)
        .where(p.stack_id == stack, *conditions)
        .order_by(p.number.desc())
        .limit(limit)
    )
    return [
        Proposal(
            stack=stack,
            number=row.number,
            outcome=outcomes.validate_python(row.outcome),
            digest=row.digest,
            because=Because(row.because),
            state=ProposalState(row.state),
            created_at=row.created_at,
            decided_by=row.decided_by,
            decided_at=row.decided_at,
            lock=row.lock_number,
        )
        for row in tx.execute(statement)
    ]


# -- definitions that follow each other --

lock_stack_definitions = text("SELECT pg_advisory_xact_lock(hashtextextended('stack definitions', 0))")


def lock_definitions(tx: Connection) -> None:
    """One definition at a time, until the transaction ends: two that would follow each other are not both accepted."""
    tx.execute(lock_stack_definitions)


def below(tx: Connection, repository: UUID) -> set[UUID]:
    """A repository and, of a stack, everything that its layers follow, over as many stacks as there are."""
    found, waiting = {repository}, [repository]
    while waiting:
        s = t.Stack
        rows = tx.execute(select(s.definition).where(s.repository_id.in_(waiting))).scalars().all()
        layers = {layer.repository for row in rows for layer in definitions.validate_python(row).layers}
        waiting = list(layers - found)
        found |= layers
    return found


def follow_rights(tx: Connection, user: UUID) -> None:
    """Have the stacks resolved that a user maintains, whose rights have changed."""
    for stack in tx.execute(select(t.Stack.repository_id).where(t.Stack.maintainer_id == user)).scalars().all():
        follow(tx, stack)


def follow_all(tx: Connection) -> None:
    """Have every stack resolved: two names of a base model became one, or one became two."""
    for stack in tx.execute(select(t.Stack.repository_id)).scalars().all():
        follow(tx, stack)


def follow(tx: Connection, stack: UUID) -> None:
    """Have a stack resolved once this transaction is committed."""
    queue.defer(tx, TaskName.UPDATE_STACK, stack=str(stack))
