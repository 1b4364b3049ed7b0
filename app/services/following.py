"""Stacks kept current: what happened upstream is told to every stack that looks there, and each is resolved anew.

An event may be told twice and a job may run twice: a stack whose resolution has the outcome that it had gets no lock, no
proposal and no merge.
"""

from uuid import UUID

from app.domain.caller import Caller
from app.domain.event import EventType, resolution_changes
from app.domain.names import RepositoryName
from app.domain.repository import Repository
from app.domain.stack import Because, Outcome, Proposal, ProposalState, Stack, Update
from app.errors import AlreadyDecided, Forbidden, NotFound, RefusedPlan
from app.lineage import accounts, audit, events, queue, recalls, repositories, stacks
from app.lineage.engine import Connection, Database
from app.lineage.queue import TaskName
from app.services.hooking import Hooking
from app.services.results import described
from app.services.stack_views import LockView, OutcomeView, outcome_seen
from app.services.stacking import Stacking

told_at_once = 100


class Following:
    def __init__(self, database: Database, stacking: Stacking, hooking: Hooking) -> None:
        self.database = database
        self.stacking = stacking
        self.hooking = hooking

    def tell(self) -> None:
        """Have every stack resolved that looks at a repository in which something happened, and every webhook told of it."""
        while True:
            with self.database.begin() as tx:
                # a job costs more than what it tells
                queue.take_over(tx, TaskName.TELL)
                found = events.untold(tx, told_at_once)
                if not found:
                    return
                changed = {event.repository for event in found if event.type in resolution_changes}
                for stack in stacks.dependents(tx, changed):
                    stacks.follow(tx, stack)
                self.hooking.tell(tx, found)
                events.forget(tx, found)

    def update(self, id: UUID) -> None:
        """Resolve a stack anew; another outcome than the last time becomes a lock or a proposal, as the stack says."""
        with self.database.begin() as tx:
            recalls.hold_lineage(tx)
            repository = repositories.lock(tx, id)
            stack = stacks.find(tx, id)
            if stack is None or repository.deleted_at is not None:
                return
            last = stacks.lock(tx, id)
            is_recalled = last is not None and stacks.is_recalled(tx, id, last.number)
            if stack.update is Update.PIN and not is_recalled:
                stacks.withdraw_proposals(tx, id)
                stacks.note_resolution(tx, id, None if last is None else last.digest, None)
                return
            maintainer = accounts.caller_of_user(tx, stack.maintainer)
            if not maintainer.may_write(repository.namespace_id):
                refusal = Forbidden("write to", repository.full_name)
                stacks.note_resolution(tx, id, stack.resolved, described(refusal))
                return
            try:
                outcome = self.stacking.outcome(tx, stack, told_to=maintainer)
            except RefusedPlan as error:
                standing = stack.resolved
                if stacks.withdraw_proposals(tx, id):
                    # when the refusal passes this outcome is a new one again, and proposed; a rejected one is not
                    standing = None if last is None else last.digest
                stacks.note_resolution(tx, id, standing, described(error))
                return
            # a lock that somebody went back to stays until it is recalled: then the outcome that was left is a new one again
            is_left = last is not None and is_recalled and not stacks.is_proposed_since(tx, last, outcome.digest)
            is_new = outcome.digest != stack.resolved or is_left
            if is_new:
                stacks.note_resolution(tx, id, outcome.digest, None)
                stacks.withdraw_proposals(tx, id)
            if not is_new or (last is not None and last.digest == outcome.digest):
                # a lock whose merge was refused or failed may be merged by now
                stacks.note_problem(tx, id, self.stacking.merge_if_due(tx, repository, stack, last))
                return
            because = Because.RECALL if is_recalled else Because.UPDATE
            if stack.update is Update.AUTO:
                self.stacking.write_lock(tx, maintainer, repository, stack, outcome, because)
            else:
                self._propose(tx, maintainer, repository, outcome, because)

    def _propose(
        self, tx: Connection, maintainer: Caller, repository: Repository, outcome: Outcome, because: Because
    ) -> None:
        number = stacks.insert_proposal(tx, repository.id, outcome, because)
        subject = f"{repository.full_name} proposal {number}"
        audit.record(
            tx, maintainer, "proposal.opened", subject, namespace=repository.namespace_id, because=because.value
        )
        events.record(tx, EventType.PROPOSAL_OPENED, repository.id, proposal=number, because=because.value)

    # -- proposals --

    def proposals(
        self, caller: Caller, name: RepositoryName, state: ProposalState | None, before: int | None, limit: int
    ) -> list[tuple[Proposal, OutcomeView]]:
        """Newest first. Raises: NotFound, Deleted, NotStack."""
        with self.database.read() as tx:
            repository, _ = self.stacking.found(tx, caller, name)
            found = stacks.list_proposals(tx, repository.id, state, before, limit)
            return [(proposal, outcome_seen(tx, caller, proposal.outcome)) for proposal in found]

    def accept(self, caller: Caller, name: RepositoryName, number: int) -> LockView:
        """The proposal becomes a lock, and is merged. Raises: NotFound, Deleted, Forbidden, NotStack, AlreadyDecided."""
        with self.database.begin() as tx:
            repository, stack = self.stacking.changeable(tx, caller, name)
            proposal = self._open(tx, repository, stack, number)
            written = self.stacking.write_lock(tx, caller, repository, stack, proposal.outcome, Because.PROPOSAL)
            stacks.decide(tx, proposal, ProposalState.ACCEPTED, caller.user, written.number)
            return self.stacking.lock_view(tx, caller, repository, written)

    def reject(self, caller: Caller, name: RepositoryName, number: int) -> None:
        """The outcome is not proposed again before upstreams come to another one.

        Raises: NotFound, Deleted, Forbidden, NotStack, AlreadyDecided.
        """
        with self.database.begin() as tx:
            repository, stack = self.stacking.changeable(tx, caller, name)
            proposal = self._open(tx, repository, stack, number)
            stacks.decide(tx, proposal, ProposalState.REJECTED, caller.user, None)
            subject = f"{repository.full_name} proposal {number}"
            audit.record(tx, caller, "proposal.rejected", subject, namespace=repository.namespace_id)

    def _open(self, tx: Connection, repository: Repository, stack: Stack, number: int) -> Proposal:
        found = stacks.proposal(tx, stack.repository, number)
        if found is None:
            raise NotFound(f"proposal {number} of {repository.full_name}")
        if found.state is not ProposalState.OPEN:
            raise AlreadyDecided(number, found.state.value)
        return found
