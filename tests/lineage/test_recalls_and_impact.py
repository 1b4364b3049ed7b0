"""What a recall reaches and what impact tells, on random lineages, against brute force in Python."""

import random
from collections import deque
from uuid import UUID

import pytest
from sqlalchemy import text

from app.domain.recall import Severity
from app.lineage import impact, recalls
from app.lineage.engine import Database
from tests.lineage.dags import Dag, relations

sizes = [300, 1_000]


def random_dag(seed: int, size: int) -> Dag:
    """Hubs, chains and diamonds over all relations; some repositories are private, some hold models that others name as bases."""
    dice = random.Random(seed)
    repositories = max(4, size // 8)
    models = {0, 1}
    parents: list[list[tuple[int, str]]] = []
    repository: list[int] = []
    bases: dict[int, int] = {}
    for place in range(size):
        repository.append(dice.randrange(2, repositories) if place > 3 else place % 2)
        near = range(max(0, place - 20), place)
        found = {dice.choice(near) for _ in range(dice.choice([0, 1, 1, 2, 3]))} if place > 3 else set()
        if place > 3 and dice.random() < 0.1:
            found.add(dice.randrange(4))
        parents.append([(parent, dice.choice(relations)) for parent in sorted(found)])
        if place > 3 and dice.random() < 0.1:
            bases[place] = dice.randrange(4)
    private = {number for number in range(2, repositories) if dice.random() < 0.2}
    return Dag(parents, repository, private=private, models=models, bases=bases)


def below(children: list[list[int]], root: int) -> set[int]:
    found, waiting = {root}, deque([root])
    while waiting:
        for child in children[waiting.popleft()]:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def states(database: Database, dag: Dag) -> set[int]:
    place = {id: number for number, id in enumerate(dag.ids)}
    with database.read() as tx:
        rows = tx.execute(text("SELECT id FROM versions WHERE state = 'recalled'")).scalars()
        return {place[id] for id in rows}


@pytest.mark.parametrize("seed", range(6))
def test_recalls_reach_and_restore_what_brute_force_does(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    dag = random_dag(seed, sizes[seed % 2])
    dag.write(database)
    children = dag.children()
    standing: dict[int, UUID] = {}
    caller = dag.caller(0)
    for _ in range(12):
        root = dice.randrange(len(dag.ids))
        with database.begin() as tx:
            if standing and dice.random() < 0.4:
                undone = dice.choice(sorted(standing))
                recalls.unmark(tx, standing.pop(undone), caller.user)
            else:
                id = UUID(int=dice.getrandbits(128))
                if recalls.insert_recall(tx, id, dag.ids[root], "random", Severity.LOW, caller.user):
                    recalls.mark(tx, id, dag.ids[root])
                    standing[root] = id
        expected = set[int]().union(*(below(children, found) for found in standing))
        assert states(database, dag) == expected
    with database.begin() as tx:
        for id in standing.values():
            recalls.unmark(tx, id, caller.user)
    assert states(database, dag) == set()


def readable_to(dag: Dag, owner: int) -> set[int]:
    """Versions of repositories that a user may read; contents are not in these tables, so that they hide nothing."""
    return {
        place
        for place, repository in enumerate(dag.repository)
        if repository not in dag.private or repository % 2 == owner
    }


@pytest.mark.parametrize("seed", range(4))
def test_impact_is_what_can_be_reached_over_what_may_be_read(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    dag = random_dag(100 + seed, 600)
    dag.bases = {}
    dag.write(database)
    children = dag.children()
    for owner in (0, 1):
        readable = readable_to(dag, owner)
        seen = [[child for child in found if child in readable] for found in children]
        for root in dice.sample(sorted(readable), 15):
            expected = below(seen, root)
            with database.read() as tx:
                found, is_more = impact.affected(tx, dag.ids[root], dag.caller(owner), 10_000)
                capped, is_capped = impact.affected(tx, dag.ids[root], dag.caller(owner), 20)
            assert found == {dag.ids[place] for place in expected}
            assert not is_more
            assert capped <= found
            assert is_capped is (len(expected) > 20)


def test_the_evidence_of_a_recall_leads_to_it(database: Database) -> None:
    dag = random_dag(7, 300)
    dag.write(database)
    children = dag.children()
    root = max(range(4, 40), key=lambda place: len(below(children, place)))
    caller = dag.caller(0)
    id = UUID(int=1)
    with database.begin() as tx:
        recalls.insert_recall(tx, id, dag.ids[root], "evidence", Severity.LOW, caller.user)
        recalls.mark(tx, id, dag.ids[root])
    place = {version: number for number, version in enumerate(dag.ids)}
    with database.read() as tx:
        for version in sorted(below(children, root) - {root})[:40]:
            steps = recalls.steps_towards(tx, id, [dag.ids[version]])
            ends = {place[parent] for parents in steps.values() for parent in parents} - {place[it] for it in steps}
            assert ends == {root}
