"""How long impact, ancestors and a recall take in a registry with many versions: wide hubs and deep chains.

    python -m benchmarks.impact [VERSIONS]     1,000,000 unless said

Half of the versions stand on one hub, directly; a tenth are chains 1,000 deep; the rest builds on two random earlier ones.
Whole calls of the services are timed; the first page is impact's, with all counts.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from sqlalchemy import text

from app.domain.recall import Severity
from app.lineage import migrate
from app.lineage.embedded import EmbeddedPostgres
from app.lineage.engine import Database
from app.services.assessing import Affected, Assessing
from app.services.recalling import Recalling
from app.services.tracing import Direction, Tracing
from benchmarks.machine import describe
from tests.lineage.dags import Dag

chain_length = 1_000
runs = 15
recalls = 3
furniture = (
    """
    WITH named AS (
        INSERT INTO aliases (repository_id, key, name, version_id, updated_by)
        SELECT DISTINCT ON (repository_id) repository_id, 'prod', 'prod', id, created_by
        FROM versions WHERE hashtext(repository_id::text) % 10 = 0 ORDER BY repository_id, minor DESC
        RETURNING repository_id, version_id, updated_by
    )
    INSERT INTO alias_events (repository_id, key, version_id, moved_by)
    SELECT repository_id, 'prod', version_id, updated_by FROM named
    """,
    """
    WITH mixed AS (UPDATE edges SET relation = 'merged_from' WHERE hashtext(child_id::text) % 20 = 0 RETURNING child_id, parent_id)
    INSERT INTO version_contents (version_id, member_id) SELECT DISTINCT child_id, parent_id FROM mixed
    """,
    """
    INSERT INTO repositories (id, namespace_id, name, key, kind, visibility, derivatives, tags, created_by)
    SELECT gen_random_uuid(), namespaces.id, 'stack' || n, 'stack' || n, 'stack', 'public', 'inherit', '{}', namespaces.id
    FROM generate_series(1, 1000) AS n, namespaces
    """,
    """
    INSERT INTO stacks (repository_id, definition, update_policy, maintainer_id)
    SELECT id, '{}', 'pin', created_by FROM repositories WHERE kind = 'stack'
    """,
    """
    INSERT INTO locks (stack_id, number, digest, outcome, because, created_by)
    SELECT id, n, '', '{}', 'lock', created_by FROM repositories, generate_series(1, 5) AS n WHERE kind = 'stack'
    """,
    """
    INSERT INTO lock_members (stack_id, number, version_id)
    SELECT locks.stack_id, locks.number, chosen.id FROM locks, LATERAL (
        SELECT id FROM versions WHERE id > md5(locks.stack_id::text || locks.number)::uuid ORDER BY id LIMIT 4
    ) AS chosen
    """,
)


def large_dag(size: int) -> tuple[Dag, dict[str, int]]:
    """The lineage, and the places of what is asked for."""
    dice = random.Random(1)
    hub_children, chained = size // 2, size // 10
    parents: list[list[tuple[int, str]]] = [[]]
    parents += [[(0, "builds_on")] for _ in range(hub_children)]
    first_chain = len(parents)
    for number in range(chained):
        parents.append([(len(parents) - 1, "builds_on")] if number % chain_length else [])
    first_random = len(parents)
    while len(parents) < size:
        near = range(max(0, len(parents) - 5_000), len(parents)) if len(parents) > first_random + 10 else range(2)
        parents.append([(parent, "builds_on") for parent in sorted({dice.choice(near), dice.choice(near)})])
    # a recall of this one reaches 10,000
    medium = len(parents)
    parents.append([])
    for number in range(10_000):
        parents.append([(medium if number < 100 else medium + 1 + dice.randrange(number), "builds_on")])
    repositories = max(2, size // 50)
    repository = [dice.randrange(repositories) for _ in parents]
    places = {
        "hub": 0,
        "chain, its foot": first_chain,
        "chain, its end": first_chain + chain_length - 1,
        "random": first_random + 100,
        "leaf": 1,
        "10,000 below": medium,
    }
    return Dag(parents, repository), places


class Clock:
    """Takes the time of reads: that of the clock on the wall, and what they cost this process and its one connection's server."""

    def __init__(self, database: Database) -> None:
        with database.begin() as tx:
            self.server = psutil.Process(tx.execute(text("SELECT pg_backend_pid()")).scalar_one())

    def cpu_seconds(self) -> float:
        served = self.server.cpu_times()
        return time.process_time() + served.user + served.system

    def take(self, work: Callable[[], object]) -> str:
        work()
        took = []
        cpu = self.cpu_seconds()
        for _ in range(runs):
            began = time.perf_counter()
            work()
            took.append(1000 * (time.perf_counter() - began))
        cpu_ms = 1000 * (self.cpu_seconds() - cpu) / runs
        median = statistics.median(took)
        return f"median {median:7.1f} ms, fastest {min(took):7.1f}, slowest {max(took):7.1f}; CPU {cpu_ms:7.1f} ms"


def first_page(database: Database, dag: Dag, place: int) -> Callable[[], object]:
    name, ref, caller = dag.name(place), dag.number(place), dag.caller(0)
    return lambda: Assessing(database).impact(caller, name, ref, Affected.DESCENDANTS, None, 51)


def ancestors(database: Database, dag: Dag, place: int) -> Callable[[], object]:
    name, ref, caller = dag.name(place), dag.number(place), dag.caller(0)
    return lambda: Tracing(database).trace(caller, name, ref, Direction.ANCESTORS, None)


def recall(database: Database, clock: Clock, dag: Dag, place: int) -> str:
    """Its time and that of its undoing, with all that is told of it."""
    recalling, caller = Recalling(database), dag.caller(dag.repository[place] % 2)
    reference = f"{dag.name(place)}@{dag.number(place)}"
    took, undone, cpu = [], [], []
    for _ in range(recalls):
        began, spent = time.perf_counter(), clock.cpu_seconds()
        made = recalling.recall(caller, reference, "benchmark", Severity.LOW)
        took.append(time.perf_counter() - began)
        cpu.append(clock.cpu_seconds() - spent)
        with database.begin() as tx:
            count = text("SELECT count(*) FROM recall_marks WHERE recall_id = :recall")
            reached = tx.execute(count, {"recall": made.id}).scalar_one()
        began = time.perf_counter()
        recalling.undo(caller, made.id)
        undone.append(time.perf_counter() - began)
    shown = [f"median {statistics.median(times):.2f} s, fastest {min(times):.2f}" for times in (took, undone)]
    return f"recall that reaches {reached:,}: {shown[0]}, CPU {min(cpu):.2f} s; its undoing: {shown[1]}"


def furnish(database: Database) -> None:
    """What impact counts beside versions: in one of ten repositories an alias of the newest version, contents of one of twenty
    versions, and 2,000 stacks with five locks of four versions each."""
    with database.begin() as tx:
        for statement in furniture:
            tx.execute(text(statement))
        # what autovacuum does in a registry that has been there for an hour
        tx.execute(text("ANALYZE"))


def main(size: int) -> None:
    print(describe("sqlalchemy"))
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        try:
            migrate.upgrade(postgres.url)
            database = Database.open(postgres.url, pool_size=1, statement_seconds=3_600)
            dag, places = large_dag(size)
            began = time.perf_counter()
            dag.write(database)
            furnish(database)
            print(f"{len(dag.ids):,} versions written in {time.perf_counter() - began:.0f} s")
            clock = Clock(database)
            for name, place in places.items():
                print(f"impact, first page and counts, {name:<15}: {clock.take(first_page(database, dag, place))}")
            place = places["chain, its end"]
            print(
                f"ancestors of a chain {chain_length:,} deep:              {clock.take(ancestors(database, dag, place))}"
            )
            for name in ("10,000 below", "leaf"):
                print(recall(database, clock, dag, places[name]))
            database.close()
        finally:
            postgres.stop()


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000)
