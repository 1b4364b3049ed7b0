"""Server, worker and database killed at random moments, alone and together, in the middle of pushes and merges."""

import logging
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.objects.local import LocalStore
from tests.api.conftest import digest_of
from tests.crash.clients import Client, Crowd, Ledger, Merger, Pusher, Reader, check_merge, prepare
from tests.crash.installation import Installation, Part, admin_token, wait_until

pytestmark = pytest.mark.slow

log = logging.getLogger(__name__)

server, worker, database = (Part.SERVER,), (Part.WORKER,), (Part.DATABASE,)
rounds = [
    *(server, server, server, worker, worker, *([database] * 7)),
    *(server + worker, server + database, worker + database, server + worker + database),
]
"""Twenty-one kills; what is killed in one round is dead at the same time. The database is back soonest, so it dies most."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for a socket, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="glulam-") as name:
        yield Path(name)


def test_nothing_acknowledged_is_lost_and_nothing_half_done_is_seen(folder: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(1_000_000))
    log.warning("CRASH_SEED=%d", seed)
    chance = random.Random(seed)
    installation = Installation(folder)
    try:
        installation.begin(Part)
        token = prepare(installation.address, admin_token)
        ledger = Ledger()
        kinds: list[type[Pusher | Merger | Reader]] = [Pusher, Pusher, Merger, Reader, Reader]
        crowd = Crowd(
            ledger, [kind(installation.address, token, ledger, number).step for number, kind in enumerate(kinds)]
        )
        wait_until(lambda: len(ledger.merges) > 0, "nobody gets anything done")
        kills = 0
        for parts in chance.sample(rounds, len(rounds)):
            kill_and_recover(installation, parts, chance, ledger)
            crowd.check()
            kills += len(parts)
        crowd.stop()
        resumed = check_all(installation, Client(installation.address, token, ledger))
        log.warning(
            "%d kills; acknowledged: %d versions, %d merges; %d merges resumed, %d files read, %d requests sent again",
            *(kills, len(ledger.pushes), len(ledger.merges), resumed, ledger.reads, ledger.broken),
        )
        assert kills >= 20
        assert len(ledger.pushes) >= 20
        assert len(ledger.merges) >= 5
        assert ledger.reads >= 100
        # the kills struck something, or the test saw nothing
        assert ledger.broken > 0
        assert resumed > 0
        installation.stop()
    finally:
        installation.destroy()


def kill_and_recover(
    installation: Installation, parts: tuple[Part, ...], chance: random.Random, ledger: Ledger
) -> None:
    """Kill the parts at a random moment, start them again, and see that new ones do the work."""
    time.sleep(chance.uniform(0, 0.5))
    if Part.WORKER in parts:
        deadline = time.monotonic() + 2
        while not installation.is_merging() and time.monotonic() < deadline:
            time.sleep(0.03)
    before = {part: installation.pid(part) for part in parts}
    for part in chance.sample(parts, len(parts)):
        installation.kill(part, with_children=chance.random() < 0.5)
    time.sleep(chance.uniform(0, 0.2))
    installation.start(parts)
    for part in parts:
        assert installation.pid(part) != before[part]
    acknowledged = len(ledger.pushes)
    wait_until(lambda: len(ledger.pushes) > acknowledged, f"no push comes through after the death of {parts}")


def check_all(installation: Installation, client: Client) -> int:
    """Compare the registry with the ledger; how many merges had to be begun again."""
    ledger = client.ledger
    finished = "SELECT count(*) FROM merge_executions WHERE state IN ('queued', 'running')"
    wait_until(lambda: installation.query(finished) == [(0,)], "merges do not end", installation.log_tail)
    assert ledger.wrong == []
    assert ledger.dangling == []
    for push in ledger.pushes:
        versions = client.done("GET", f"/repositories/alice/{push.name}/versions", 200)["items"]
        assert [version["reference"] for version in versions] == [push.reference]
        for path, digest in push.digests.items():
            response = client.insist("GET", f"/repositories/alice/{push.name}/versions/1.0.0/files/{path}")
            assert digest_of(response.content) == digest
    for merge in ledger.merges:
        check_merge(client, merge)
    requests = installation.query("SELECT count(*) FROM merge_requests")
    assert requests == [(len(ledger.merges),)], "each was asked for once"
    versions = installation.query(
        "SELECT count(*) FROM versions JOIN repositories r ON r.id = repository_id WHERE r.name = 'merged'"
    )
    assert versions == [(sum(merge.is_published for merge in ledger.merges),)], "each was published once"
    assert missing_objects(installation) == []
    resumed = installation.query("SELECT count(*) FROM merge_executions WHERE attempt > 1")
    return int(str(resumed[0][0]))


def missing_objects(installation: Installation) -> list[str]:
    """Digests of which there is a row and no object of that size."""
    store = LocalStore(installation.data_dir / "objects")
    rows = installation.query("SELECT digest, size_bytes FROM blobs")
    present: dict[object, int] = {str(entry.digest): entry.size_bytes for entry in store.digests()}
    return [str(digest) for digest, size in rows if present.get(digest) != size]


def test_a_server_that_commits_rows_before_their_bytes_is_found_out(folder: Path, database_url: str) -> None:
    """The mutant: what the readers and the comparison at the end must see, or they see nothing."""
    installation = Installation(folder, database_url, server=("-m", "tests.crash.late_server"))
    try:
        installation.begin([Part.SERVER])
        token = prepare(installation.address, admin_token)
        ledger = Ledger()
        kinds: list[type[Pusher | Reader]] = [Pusher, Pusher, Reader, Reader]
        crowd = Crowd(
            ledger, [kind(installation.address, token, ledger, number).step for number, kind in enumerate(kinds)]
        )
        wait_until(lambda: len(ledger.pushes) > 3, "nobody gets anything done", installation.log_tail)
        for _ in range(5):
            pushed = len(ledger.pushes)
            wait_until(lambda: len(ledger.pushes) > pushed, "no push comes through", installation.log_tail)  # noqa: B023
            installation.kill(Part.SERVER)
            if missing_objects(installation):
                break
            installation.start([Part.SERVER])
        assert missing_objects(installation), "the comparison does not see that bytes were lost"
        installation.start([Part.SERVER])
        wait_until(lambda: ledger.seen_dangling > 0, "the readers do not see that bytes are missing")
        crowd.abandon()
    finally:
        installation.destroy()
