"""Executing, as a worker sees it: claim, read what the plan needs, tell how far it is, hand in or give up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.domain.adapter import Adapter, Checkpoint
from app.domain.content import adapter_content_digest, model_content_digest
from app.domain.digest import Digest
from app.domain.lineage import Kind
from app.domain.merge import Claim, Progress, Result
from app.domain.recipe import OutputKind, Trunk
from app.domain.version import File
from app.errors import MergeFailed, RegistryError
from app.formats.inspection import Inspection
from app.lineage import blobs, merges, stacks, versions
from app.lineage.blobs import BlobRecord
from app.lineage.engine import Database
from app.objects.store import ObjectStore
from app.services import results
from app.services.content import read_content, stored
from app.services.holding import Holding
from app.services.publishing import Publishing

most_attempts = 20
"""A merge that was begun so often and never ended takes its worker down with it each time."""


class ClaimLost(Exception):
    """Another worker holds the execution now, or nobody wants it any more: stop, and commit nothing."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a plan's version holds."""

    facts: Adapter | Checkpoint
    files: tuple[File, ...]


class Executing:
    def __init__(self, database: Database, store: ObjectStore, publishing: Publishing, holding: Holding) -> None:
        self.database = database
        self.store = store
        self.publishing = publishing
        self.holding = holding

    def claim(self, execution: UUID) -> Claim | None:
        """The right to execute; whoever held it loses it. None: it has ended, or ends now, having killed its workers too often."""
        with self.database.begin() as tx:
            claim = merges.claim(tx, execution)
        if claim is not None and claim.attempt > most_attempts:
            # in a transaction of its own: what a failure is told to is locked before the execution
            self.fail(execution, claim.attempt, MergeFailed("too many attempts"))
            return None
        return claim

    def inputs(self, claim: Claim) -> Mapping[UUID, Input]:
        """By version: every member that is summed, and the base."""
        plan = claim.plan
        ids = [member.version for member in plan.members]
        if plan.base is not None:
            ids.append(plan.base.version)
        with self.database.read() as tx:
            facts, files = versions.facts_of(tx, ids), versions.files_of(tx, ids)
        return {id: Input(facts[id], files[id]) for id in ids}

    def report(self, claim: Claim, progress: Progress) -> None:
        """Raises: ClaimLost."""
        with self.database.begin() as tx:
            if not merges.report_progress(tx, claim, progress):
                raise ClaimLost

    def hold(self, claim: Claim, digest: Digest, size_bytes: int) -> None:
        """Before an object of the result is placed. Raises: BeingCollected."""
        self.holding.hold(claim.execution, {digest: size_bytes}, None)

    def succeed(
        self,
        claim: Claim,
        files: Sequence[tuple[str, str]],
        inspections: Mapping[str, Inspection],
        report: Mapping[str, Any],
    ) -> None:
        """Record the result, which is in the store, and publish it for whoever asked for that.

        Args:
            files: (path, digest), all of them.
            inspections: by digest, of those that the worker wrote; the others are known.

        Raises: ClaimLost; BeingCollected if it took longer than what was placed is leased; InvalidContent if the result is no
            valid adapter or model.
        """
        plan = claim.plan
        sizes = {digest: inspection.size_bytes for digest, inspection in inspections.items()}
        with self.database.begin() as tx:
            # before the execution is locked: a recall freezes lineage and then cancels executions
            results.lock_targets(tx, claim.execution)
            self.holding.release(tx, claim.execution, sizes)
            for digest, inspection in sorted(inspections.items()):
                blobs.record(tx, Digest(digest), inspection.size_bytes, inspection.as_json())
            known: dict[str, BlobRecord] = {digest: blobs.get(tx, digest) for _, digest in files}
            kind = Kind.MODEL if plan.output.kind is OutputKind.MODEL else Kind.ADAPTER
            content = read_content(kind, {path: stored(known[digest], self.store) for path, digest in files})
            if isinstance(content.facts, Checkpoint):
                digest = model_content_digest(content.weights, content.config)
            else:
                is_referenced = plan.output.trunk is Trunk.REFERENCED
                trunk = [(member.content_digest, member.weight) for member in plan.trunk] if is_referenced else []
                digest = adapter_content_digest(content.facts, content.weights.values(), trunk, plan.base_model)
            made = tuple(File(path, known[digest].digest, known[digest].size_bytes) for path, digest in files)
            if not merges.succeed(tx, claim, Result(digest, content.facts, made, dict(report))):
                raise ClaimLost
            results.publish_waiting(tx, self.publishing, claim.execution)

    def fail(self, execution: UUID, attempt: int | None, error: RegistryError) -> None:
        """Record why an execution failed for good, unless a later attempt holds it; asked for again it begins anew."""
        problem = results.described(error)
        with self.database.begin() as tx:
            results.lock_targets(tx, execution)
            if merges.fail(tx, execution, attempt, problem):
                for publication in merges.waiting_publications(tx, execution):
                    stacks.note_unmerged(tx, publication.repository, publication.version, problem)
