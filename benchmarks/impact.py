"""How long impact, ancestors and a recall take in a registry with many versions: wide hubs and deep chains.

    python -m benchmarks.impact [VERSIONS]     1,000,000 unless said

Half of the versions stand on one hub, directly; a tenth are chains 1,000 deep; the rest builds on two random earlier ones.
Printed is the median and the slowest of the runs, in milliseconds; the first page is impact's, with all counts.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from app.domain.recall import Severity
from app.lineage import graph, impact, migrate, recalls
from app.lineage.embedded import EmbeddedPostgres
from app.lineage.engine import Database
from app.services.assessing import most_affected, statements
from benchmarks.machine import describe
from tests.lineage.dags import Dag

chain_length = 1_000
runs = 15


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


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(median, slowest) of the runs, in ms."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took), max(took)


def first_page(database: Database, dag: Dag, version: UUID) -> Callable[[], None]:
    caller = dag.caller(0)

    def work() -> None:
        with database.read() as tx:
            ids, _ = impact.affected(tx, version, caller, most_affected)
            for statement in statements.values():
                impact.bounded_count(tx, statement(ids, caller), most_affected)
            impact.versions(tx, ids - {version}, caller, None, 51)

    return work


def ancestors(database: Database, dag: Dag, version: UUID) -> Callable[[], None]:
    def work() -> None:
        with database.read() as tx:
            graph.ancestors(tx, version, dag.caller(0), None, 10_000)

    return work


def recall(database: Database, dag: Dag, version: UUID) -> tuple[float, float, int]:
    """(s to recall, s to undo, versions reached)."""
    caller, id = dag.caller(0), uuid4()
    began = time.perf_counter()
    with database.begin() as tx:
        recalls.freeze_lineage(tx)
        recalls.insert_recall(tx, id, version, "benchmark", Severity.LOW, caller.user)
        changed = recalls.mark(tx, id, version)
        recalls.cancel_merges(tx, id)
        recalls.tell(tx, id, "version.recalled", changed, caller)
        recalls.move_aliases(tx, changed, caller.user, is_undone=False)
    recalled = time.perf_counter()
    with database.begin() as tx:
        restored = recalls.unmark(tx, id, caller.user)
        recalls.tell(tx, id, "version.restored", restored, caller)
        recalls.move_aliases(tx, restored, caller.user, is_undone=True)
    return recalled - began, time.perf_counter() - recalled, len(changed)


def main(size: int) -> None:
    print(describe("sqlalchemy"))
    with tempfile.TemporaryDirectory(prefix="glulam-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        try:
            migrate.upgrade(postgres.url)
            database = Database.open(postgres.url, statement_seconds=3_600)
            dag, places = large_dag(size)
            began = time.perf_counter()
            dag.write(database)
            with database.begin() as tx:
                # what autovacuum does in a registry that has been there for an hour
                tx.execute(text("ANALYZE"))
            print(f"{len(dag.ids):,} versions written in {time.perf_counter() - began:.0f} s")
            for name, place in places.items():
                median, slowest = timed(first_page(database, dag, dag.ids[place]))
                print(f"impact, first page and counts: {name:<18} {median:8.1f} ms, slowest {slowest:8.1f} ms")
            median, slowest = timed(ancestors(database, dag, dag.ids[places["chain, its end"]]))
            print(f"ancestors of a chain {chain_length:,} deep:      {median:8.1f} ms, slowest {slowest:8.1f} ms")
            for name in ("10,000 below", "leaf"):
                took, undone, reached = recall(database, dag, dag.ids[places[name]])
                print(f"recall that reaches {reached:,}: {took:.2f} s, its undoing {undone:.2f} s")
            database.close()
        finally:
            postgres.stop()


if __name__ == "__main__":
    main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000)
