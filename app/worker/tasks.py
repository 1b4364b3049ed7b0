"""The jobs: each is idempotent, since a job may run twice; what was done stands in our own tables, under a fence."""

import logging
import resource
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from procrastinate import App, JobContext
from procrastinate.exceptions import JobAborted

from app.assembly import Services
from app.domain.adapter import Adapter, Checkpoint
from app.domain.merge import Claim, Progress
from app.domain.recipe import OutputKind, WeightFile
from app.errors import BlobDamaged, MergeFailed, RegistryError
from app.lineage.queue import QueueName, TaskName, again
from app.services.executing import ClaimLost, Input
from app.services.planning import weights_of
from app.worker.inspecting import InspectingStore

log = logging.getLogger(__name__)


class MergeTasks:
    """What a worker can do."""

    def __init__(self, services: Services, *, gather_seconds: float = 0) -> None:
        """`gather_seconds`: what happens within that is told at once."""
        self.services = services
        self.gather_seconds = gather_seconds
        self.running = threading.local()
        """Of this thread's job: the attempt that it claimed. A job whose successor runs beside it in another thread fails alone."""

    def register(self, app: App) -> None:
        app.task(name=TaskName.EXECUTE_MERGE.value, queue=QueueName.MERGE.value, retry=again, pass_context=True)(
            self.execute_merge
        )
        app.task(name=TaskName.TELL.value, queue=QueueName.CHORES.value, retry=again)(self.tell)
        app.task(name=TaskName.UPDATE_STACK.value, queue=QueueName.CHORES.value, retry=again)(self.update_stack)
        app.task(name=TaskName.DELIVER.value, queue=QueueName.CHORES.value, retry=again, pass_context=True)(
            self.deliver
        )
        collect = app.task(name=TaskName.COLLECT.value, queue=QueueName.CHORES.value, retry=again)(self.collect)
        app.periodic(cron="17 * * * *")(collect)

    def execute_merge(self, context: JobContext, execution: str) -> None:
        """Carry a plan out, from wherever an earlier attempt was lost: its bytes are in the store or nowhere."""
        id = UUID(execution)
        self.running.attempt = None
        claim = self.services.executing.claim(id)
        if claim is None:
            return
        self.running.attempt = claim.attempt
        try:
            self.carry_out(claim, context)
        except ClaimLost:
            log.info("execution %s is somebody else's, or nobody wants it any more", execution)
        except BlobDamaged as error:
            # no later attempt would find the bytes whole
            self.services.executing.fail(id, claim.attempt, error)

    def carry_out(self, claim: Claim, context: JobContext) -> None:
        # here, not above: a worker of chores alone never loads torch
        from app.worker.devices import device_named
        from app.worker.execution import execute
        from app.worker.model_output import BaseFiles
        from app.worker.stacks import MemberFiles

        def report(done: int, total: int, unit: str) -> None:
            if context.should_abort():
                raise JobAborted
            self.services.executing.report(claim, Progress(done, total, unit))

        plan = claim.plan
        inputs = self.services.executing.inputs(claim)
        members = {
            member.version: MemberFiles(found.facts, weights_of(found.facts, found.files)[0])
            for member in plan.members
            if isinstance((found := inputs[member.version]).facts, Adapter)
        }
        base = None
        if plan.output.kind is OutputKind.MODEL and plan.base is not None:
            model: Input = inputs[plan.base.version]
            if isinstance(model.facts, Checkpoint):
                files = tuple(WeightFile(file.path, file.digest, file.size_bytes) for file in model.files)
                base = BaseFiles(model.facts, files)
        store = InspectingStore(self.services.store, partial(self.services.executing.hold, claim))
        made = execute(plan, members, base, store, device_named(self.services.device), report)
        files_made = [(file.path, file.digest) for file in made.files]
        self.services.executing.succeed(claim, files_made, store.inspections, made.report.values)
        # for the operator alone: other people's merges stand in it. In kilobytes on Linux
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        log.info("executed %s; this worker has needed %d MB at most", claim.execution, peak_bytes // 1_000_000)

    def tell(self) -> None:
        """Whatever happened, to everybody whom it concerns."""
        time.sleep(self.gather_seconds)
        self.services.following.tell()

    def update_stack(self, stack: str) -> None:
        """Something changed where a stack looks."""
        self.services.following.update(UUID(stack))

    def deliver(self, context: JobContext) -> None:
        """What is due to webhooks."""
        self.services.hooking.deliver(context.should_abort)

    def collect(self, timestamp: int) -> None:
        """Hourly; `timestamp` is the hour it is for."""
        log.info("collected for %d: %s", timestamp, self.services.collecting.collect())

    def failed(self, task: str, arguments: Mapping[str, Any], error: Exception) -> None:
        """Record that a merge has failed for good, and why: a refusal in its own words, anything else as a bug."""
        if task != TaskName.EXECUTE_MERGE.value:
            return
        id = UUID(arguments["execution"])
        refusal = error if isinstance(error, RegistryError) else MergeFailed(type(error).__name__)
        self.services.executing.fail(id, self.running.attempt, refusal)
