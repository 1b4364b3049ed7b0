"""A soak: people push, read, merge and delete the same few adapters while a collection runs without a pause.

The store is slow between placing an object and the row that follows, which is where a collection does harm. The services
are called as the routes call them; what they raise is what a client would see.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from app.assembly import Services
from app.domain.caller import Caller
from app.domain.digest import Digest, digest_of_bytes
from app.domain.merge import MergeState
from app.domain.names import RepositoryName
from app.domain.recipe import Layer, Recipe
from app.domain.version import Version
from app.lineage import accounts, collection
from app.objects.local import LocalStore, Temporary
from app.services.collecting import Collecting, Terms
from app.services.executing import Executing
from app.services.form_publishing import FormFile
from app.services.merging import Merging
from app.services.publishing import NewVersion, ParentAsked, Publishing
from app.services.uploading import Uploading
from tests.api.conftest import Registry, make_adapter

grace = timedelta(seconds=0.5)
pool_of_adapters = 8
"""So few that the same bytes come and go all the time."""


class SlowTemporary(Temporary):
    def place(self) -> Digest:
        digest = super().place()
        time.sleep(0.08)
        return digest


class SlowStore(LocalStore):
    def stage(self) -> Temporary:
        return SlowTemporary(self)


class PlantedCollecting(Collecting):
    """A collection that looks whether anything needs an object, and then deletes it: without a lease, a lock or a note."""

    def _collect_blobs(self, run: object) -> int:
        with self.database.read() as tx:
            overdue = collection.overdue(tx, self.terms.grace)
        with self.database.begin() as tx:
            unneeded = set(overdue) - collection.needed(tx, overdue)
            tx.execute(text("DELETE FROM blobs WHERE digest = ANY(:digests)"), {"digests": list(unneeded)})
        return sum(self.store.delete(Digest(digest)) for digest in unneeded)


def on_slow_store(services: Services) -> Services:
    assert isinstance(services.store, LocalStore)
    store = SlowStore(services.store.root)
    database, holding = services.database, services.uploading.holding
    publishing = Publishing(database, store, holding, max_files=100)
    return replace(
        services,
        store=store,
        uploading=Uploading(database, store, services.uploading.limits, holding),
        publishing=publishing,
        merging=Merging(database, store, publishing, services.merging.planning),
        executing=Executing(database, store, publishing, holding),
    )


@dataclass
class Soak:
    registry: Registry
    """Its services stand on a slow store."""
    collecting: Collecting
    errors: list[str] = field(default_factory=list)
    """What a client, or the collection itself, met."""
    lost: set[str] = field(default_factory=set)
    """Digests that have a row, and no object."""
    counts: dict[str, int] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def services(self) -> Services:
        return self.registry.services

    def run(self, seconds: float, people: int) -> None:
        """Until the time is over or something was lost."""
        adapters = [make_adapter(number).files for number in range(pool_of_adapters)]
        threads = [threading.Thread(target=self.guarded, args=[self.collect_always])]
        threads.append(threading.Thread(target=self.guarded, args=[self.work_always]))
        for number in range(people):
            person = Person(self, f"person-{number}", adapters, random.Random(number))
            threads.append(threading.Thread(target=self.guarded, args=[person.live]))
        for thread in threads:
            thread.start()
        self.stopped.wait(seconds)
        self.stopped.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

    def guarded(self, life: Callable[[], None]) -> None:
        try:
            life()
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody would see it
            self.errors.append(repr(error))
            self.stopped.set()

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def collect_always(self) -> None:
        while not self.stopped.is_set():
            for kind, number in self.collecting.collect().items():
                self.count(kind, number)
            self.look_for_losses()
            time.sleep(0.02)

    def work_always(self) -> None:
        while not self.stopped.is_set():
            self.count("merges", self.registry.work())
            time.sleep(0.02)

    def look_for_losses(self) -> None:
        # a row says that the object is there: it was placed before
        with self.services.database.read() as tx:
            rows = tx.execute(text("SELECT digest FROM blobs")).scalars().all()
        missing = {digest for digest in rows if self.services.store.size(Digest(digest)) is None}
        if missing:
            # some may have been collected in the meantime: then their rows are gone too
            with self.services.database.read() as tx:
                missing &= collection.known(tx, missing)
        if missing:
            self.lost |= missing
            self.stopped.set()

    def clear(self) -> None:
        """Everything is deleted; two grace periods pass."""
        with self.services.database.begin() as tx:
            tx.execute(text("UPDATE versions SET state = 'deleted'"))
            tx.execute(text("DELETE FROM receipts"))
            tx.execute(text("UPDATE merge_executions SET state = 'cancelled' WHERE state IN ('queued', 'running')"))
        last = Collecting(
            self.collecting.database, self.collecting.store, replace(self.collecting.terms, cache_bytes=0)
        )
        for _ in range(3):
            last.collect()
            time.sleep(grace.total_seconds() + 0.1)


@dataclass
class Person:
    """Somebody with a repository."""

    soak: Soak
    name: str
    adapters: list[dict[str, bytes]]
    random: random.Random

    def live(self) -> None:
        self.soak.registry.user(self.name).repository("work")
        database = self.soak.services.database
        with database.begin() as tx:
            namespace = accounts.find_namespace(tx, self.name)
            assert namespace is not None
            caller = accounts.caller_of_user(tx, namespace.id)
        while not self.soak.stopped.is_set():
            self.leave_an_orphan()
            parent = self.push(caller)
            child = self.push(caller, parent)
            # the child goes on standing on it
            self.delete(caller, parent)
            self.read(child)
            if self.random.random() < 0.5:
                self.merge(caller, child)
            if self.random.random() < 0.5:
                time.sleep(0.7)
            self.read(parent)
            self.read(child)
            self.delete(caller, child)

    def push(self, caller: Caller, parent: Version | None = None) -> Version:
        services = self.soak.services
        files = self.random.choice(self.adapters)
        repository = RepositoryName(self.name, "work")
        parents = () if parent is None else (ParentAsked(parent.reference, 1.0, "/builds_on/0"),)
        digests = {path: digest_of_bytes(data) for path, data in files.items()}
        if self.random.random() < 0.3:
            form = [FormFile(path, BytesIO(data)) for path, data in files.items()]
            version = services.form_publishing.publish(caller, repository, form, NewVersion({}, builds_on=parents))
        else:
            for data in files.values():
                services.uploading.receive(caller, digest_of_bytes(data), [data], len(data))
            version = services.publishing.publish(caller, repository, NewVersion(digests, builds_on=parents))
        # a day passes
        with services.database.begin() as tx:
            tx.execute(text("UPDATE receipts SET expires_at = now() WHERE user_id = :user"), {"user": caller.user_id})
        self.soak.count("pushed")
        return version

    def read(self, version: Version) -> None:
        for file in version.files:
            hashed = hashlib.sha256(b"".join(self.soak.services.reading.read_whole(file))).hexdigest()
            assert file.digest == f"sha256:{hashed}"
        self.soak.count("read")

    def merge(self, caller: Caller, version: Version) -> None:
        merging, reading = self.soak.services.merging, self.soak.services.reading
        weight = self.random.randint(1, 1000) / 100
        asked = merging.submit(caller, Recipe((Layer(version.reference, weight),))).merge
        deadline = time.monotonic() + 30
        while not merging.state(caller, asked.id)[0].is_final and not self.soak.stopped.is_set():
            assert time.monotonic() < deadline, "the merge does not end"
            time.sleep(0.02)
        if not self.soak.stopped.is_set():
            done = merging.files(caller, asked.id)
            assert done.merge.state is MergeState.SUCCEEDED
            for file in done.merge.files:
                b"".join(reading.read_whole(file))

    def delete(self, caller: Caller, version: Version) -> None:
        self.soak.services.reading.delete(caller, RepositoryName(self.name, "work"), str(version.number))

    def leave_an_orphan(self) -> None:
        """As a server that is killed between an object and its row."""
        with LocalStore(Path(self.soak.services.store.root)).stage() as staged:  # type: ignore[attr-defined]  # a folder
            staged.write(uuid4().bytes)
            staged.place()


def terms() -> Terms:
    return Terms(upload_lease=timedelta(hours=1), answers_kept=timedelta(hours=1), grace=grace, cache_bytes=1 << 30)
