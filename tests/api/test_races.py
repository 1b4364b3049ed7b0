"""What happens between a question and its answer: locks are waited for, and then everything is looked at again."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from httpx2 import Response
from sqlalchemy import text

from app.lineage import accounts, repositories
from app.lineage.engine import Connection
from tests.api.conftest import Registry, done, make_adapter, refused

waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


@dataclass
class Race:
    """Requests that all wait for a lock until it is let go."""

    registry: Registry
    pool: ThreadPoolExecutor

    @contextmanager
    def held(
        self, *requests: Callable[[], Response]
    ) -> Iterator[tuple[Connection, Callable[[], None], list[Future[Response]]]]:
        """A transaction to lock and change in, a call that starts the requests and waits until all of them wait, and their
        answers, which come after the context has ended."""
        answers: list[Future[Response]] = []

        def start() -> None:
            answers.extend(self.pool.submit(request) for request in requests)
            deadline = time.monotonic() + 4
            while True:
                with self.registry.services.database.begin() as tx:
                    if tx.execute(waiting).scalar_one() == len(requests):
                        return
                assert time.monotonic() < deadline, "the requests do not wait"
                time.sleep(0.02)

        with self.registry.services.database.begin() as tx:
            yield tx, start, answers


@pytest.fixture
def race(registry: Registry) -> Iterator[Race]:
    with ThreadPoolExecutor(4) as pool:
        yield Race(registry, pool)


def id_of(registry: Registry, repository: str) -> UUID:
    return UUID(done(registry.admin.get(f"/repositories/{repository}"))["uuid"])


def namespace_of(registry: Registry, name: str) -> UUID:
    with registry.services.database.begin() as tx:
        found = accounts.find_namespace(tx, name)
    assert found is not None
    return found.id


def test_no_version_and_no_alias_lands_in_a_repository_that_is_just_being_deleted(
    registry: Registry, race: Race
) -> None:
    alice = registry.user("alice")
    alice.publish("alice/going", make_adapter(1))
    files = {path: alice.upload(data) for path, data in make_adapter(2).files.items()}
    root = "/repositories/alice/going"
    publish = lambda: alice.post(f"{root}/versions", {"files": files})  # noqa: E731
    point = lambda: alice.put(f"{root}/aliases/prod", {"version": "1.0.0"})  # noqa: E731
    with race.held(publish, point) as (tx, start, answers):
        repositories.lock(tx, id_of(registry, "alice/going"))
        start()
        repositories.mark_deleted(tx, id_of(registry, "alice/going"))
    for answer in answers:
        refused(answer.result(), 410, "deleted")
    assert registry.rows("versions") == 1
    assert registry.rows("aliases") == 0


@pytest.mark.parametrize(("path", "action"), [("", "repository.deleted"), ("/versions/1.0.0", "version.deleted")])
def test_two_deletions_at_once_are_one(registry: Registry, race: Race, path: str, action: str) -> None:
    alice = registry.user("alice")
    alice.publish("alice/going", make_adapter(1))
    delete = lambda: alice.delete(f"/repositories/alice/going{path}")  # noqa: E731
    with race.held(delete, delete) as (tx, start, answers):
        repositories.lock(tx, id_of(registry, "alice/going"))
        start()
    assert [answer.result().status_code for answer in answers] == [204, 204]
    assert len(done(alice.get(f"/audit?action={action}"))["items"]) == 1


def test_no_repository_is_made_in_or_moved_to_an_organisation_that_is_just_being_deleted(
    registry: Registry, race: Race
) -> None:
    alice = registry.user("alice")
    done(alice.post("/organizations", {"name": "lab"}), 201)
    alice.repository("own")
    make = lambda: alice.post("/repositories", {"namespace": "lab", "name": "x"})  # noqa: E731
    move = lambda: alice.patch("/repositories/alice/own", {"namespace": "lab"})  # noqa: E731
    with race.held(make, move) as (tx, start, answers):
        accounts.lock_namespace(tx, namespace_of(registry, "lab"))
        start()
        accounts.delete_namespace(tx, namespace_of(registry, "lab"))
    for answer in answers:
        refused(answer.result(), 404, "not-found")
    assert done(alice.get("/repositories/alice/own"))["repository"] == "alice/own"
    assert registry.rows("repositories") == 1


def test_of_a_move_and_a_new_repository_that_want_one_name_one_gets_it(registry: Registry, race: Race) -> None:
    alice = registry.user("alice")
    for name in ("one", "two"):
        alice.repository(name)
    make = lambda: alice.post("/repositories", {"namespace": "alice", "name": "wanted"})  # noqa: E731
    moves = [
        lambda name=name: alice.patch(f"/repositories/alice/{name}", {"name": "wanted"}) for name in ("one", "two")
    ]
    with race.held(make, *moves) as (tx, start, answers):
        accounts.lock_namespace(tx, namespace_of(registry, "alice"))
        start()
    found = sorted(answer.result().status_code for answer in answers)
    assert found in ([200, 409, 409], [201, 409, 409])
    for answer in answers:
        if answer.result().status_code == 409:
            refused(answer.result(), 409, "name-exists")


def test_a_lock_does_not_stop_what_only_refers_to_what_it_locks(registry: Registry) -> None:
    alice = registry.user("alice")
    alice.publish("alice/parent", make_adapter(1))
    with registry.services.database.begin() as tx:
        accounts.lock_namespace(tx, namespace_of(registry, "alice"))
        repositories.lock(tx, id_of(registry, "alice/parent"))
        alice.upload(b"whose receipt refers to alice")
        done(alice.post("/merges", {"layers": [{"adapter": "alice/parent@1.0.0"}]}), 202)
