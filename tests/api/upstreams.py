"""Adapters that change at random, stacks that follow them, and the jobs that keep these current: done once, twice, or by workers
that die over them."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import event, text

from app.domain.caller import Caller
from app.errors import RegistryError
from app.lineage import stacks
from app.worker.tasks import MergeTasks
from tests.api.conftest import JobContext, Registry, User, done, make_adapter
from tests.api.test_stacks import put

names = [f"x{number}" for number in range(16)]
ranges = ["", ">=1", "<1.3", ">=1.1", "~=1.0", ">=1,<1.6"]


class Killed(BaseException):
    """What a worker's end looks like from within; nothing that handles errors handles it."""


class Delivery(StrEnum):
    """How jobs reach their workers."""

    ONCE = "once"
    TWICE = "twice"
    KILLED = "killed"
    """One of three kills its worker somewhere, and is taken up by another."""


class Upstreams:
    """Sixteen adapters of one person, and what happens to them."""

    def __init__(self, registry: Registry, dice: random.Random) -> None:
        self.registry = registry
        self.alice: User = registry.user("alice")
        self.dice = dice
        self.files = [make_adapter(n, rank=1, shape=(4, 3), modules=("m.q_proj",)).files for n in range(12)]
        self.published: list[str] = []
        self.recalls: list[str] = []
        for name in names:
            self.alice.repository(name)
        for name in names * 2:
            self.publish(name)
        for name in names:
            done(self.alice.put(f"/repositories/alice/{name}/aliases/prod", {"version": "1.0.0"}))

    def publish(self, name: str) -> None:
        near = [version for version in self.published[-30:] if not version.startswith(f"alice/{name}@")]
        builds_on = self.dice.sample(near, 1) if near and self.dice.random() < 0.6 else []
        answer = self.alice.try_publish(f"alice/{name}", self.dice.choice(self.files), builds_on=builds_on)
        # what it would build on may be recalled or hidden by now, or the version may be refused for its lineage
        if answer.status_code == 201:
            self.published.append(answer.json()["reference"])

    def happen(self) -> str:
        """One random event. Returns: what it was."""
        kinds = ["publish", "publish", "publish", "alias", "alias", "delete", "recall", "undo", "hide"]
        kind = self.dice.choice(kinds)
        some = self.dice.choice(self.published[-60:])
        name, _, version = some.partition("@")
        if kind == "publish":
            self.publish(self.dice.choice(names))
        elif kind == "alias":
            self.alice.put(f"/repositories/{name}/aliases/prod", {"version": version})
        elif kind == "delete":
            self.alice.delete(f"/repositories/{name}/versions/{version}")
        elif kind == "recall":
            answer = self.alice.post("/recalls", {"version": some, "reason": "random"})
            self.recalls += [answer.json()["id"]] if answer.status_code == 201 else []
        elif kind == "undo" and self.recalls:
            self.alice.delete(f"/recalls/{self.recalls.pop(self.dice.randrange(len(self.recalls)))}")
        elif kind == "hide":
            visibility = self.dice.choice(["public", "public", "private"])
            done(self.alice.patch(f"/repositories/{name}", {"visibility": visibility}))
        return f"{kind} {some}"

    def follow(self, count: int) -> dict[str, bool]:
        """So many stacks. Returns: by uuid, whether it follows another one."""
        followed: dict[str, bool] = {}
        bob = self.registry.user("bob")
        for number in range(count):
            chosen = self.dice.sample(names, self.dice.choice([1, 1, 2, 2, 3]))
            layers: list[dict[str, Any]] = [
                {"adapter": f"alice/{name}", "range": self.dice.choice(ranges)} for name in chosen
            ]
            if number % 5 == 0:
                layers[0] = {"adapter": f"alice/{chosen[0]}@prod"}
            is_above = number % 10 == 9
            if is_above:
                layers.append({"adapter": f"bob/stack{number - 1}"})
            # bob may not read everything at every time
            followed[put(bob, f"bob/stack{number}", *layers, update="auto")["uuid"]] = is_above
        return followed


def do_jobs(registry: Registry, delivery: Delivery, dice: random.Random) -> None:
    """Every job that waits, until none does."""
    tasks = MergeTasks(registry.services)
    while True:
        with registry.services.database.begin() as tx:
            waiting = tx.execute(text("DELETE FROM procrastinate_jobs RETURNING id, task_name, args")).all()
        if not waiting:
            return
        for job in sorted(waiting, key=lambda job: int(job.id)):
            if delivery is Delivery.KILLED and dice.random() < 0.3:
                with dying(registry, dice.randrange(25)):
                    do_job(tasks, job.task_name, job.args)
            do_job(tasks, job.task_name, job.args)
            if delivery is Delivery.TWICE:
                do_job(tasks, job.task_name, job.args)


def do_job(tasks: MergeTasks, name: str, arguments: Mapping[str, Any]) -> None:
    takes_context = name in {"execute_merge", "deliver"}
    getattr(tasks, name)(*([JobContext()] if takes_context else []), **arguments)


@contextmanager
def dying(registry: Registry, after: int) -> Iterator[None]:
    """The worker is killed when it has put so many statements to the database, if it puts as many; what is committed stays."""
    left = after

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    engine = registry.services.database.engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    except Killed:
        pass
    finally:
        event.remove(engine, "before_cursor_execute", count)


def outcome_from_scratch(registry: Registry, stack: str) -> str | None:
    """The digest that a resolution has now; None if there is none. Nothing is kept."""
    services = registry.services
    with services.database.begin() as tx:
        found = stacks.find(tx, UUID(stack))
        assert found is not None
        try:
            digest: str | None = services.stacking.outcome(tx, found, told_to=Caller(is_admin=True)).digest
        except RegistryError:
            digest = None
        tx.rollback()
    return digest


def histories(registry: Registry) -> dict[str, list[str]]:
    """The digests of every stack's locks, in their order."""
    found = text("SELECT stack_id, array_agg(digest ORDER BY number) AS digests FROM locks GROUP BY stack_id")
    with registry.services.database.read() as tx:
        return {str(row.stack_id): row.digests for row in tx.execute(found)}
