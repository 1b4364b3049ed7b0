"""What a recall reaches and what impact tells, on random lineages of 10,000 versions, against brute force in Python."""

import os
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import text

from app.domain.recall import Recall, Severity
from app.lineage import evidence
from app.lineage.engine import Database
from app.services.assessing import Affected, Assessing, most_affected
from app.services.recalling import Recalling
from tests.lineage.dags import Dag, relations

dags = int(os.environ.get("LINEAGE_DAGS", "20"))
"""`make soak` takes 200."""
size = 10_000
shapes = ("diamonds", "hubs", "chains")


def random_dag(seed: int, size: int) -> Dag:
    """Diamonds, wide hubs or deep chains over all relations; some repositories are private, some hold models that others name
    as bases, some are stacks."""
    dice = random.Random(seed)
    shape = shapes[seed % len(shapes)]
    repositories = max(6, size // 8)
    parents: list[list[tuple[int, str]]] = []
    repository: list[int] = []
    bases: dict[int, int] = {}
    for place in range(size):
        repository.append(dice.randrange(2, repositories) if place > 3 else place % 2)
        found: set[int] = set()
        if place > 3:
            if shape == "chains" and dice.random() < 0.999:
                found.add(place - 1)
            for _ in range(dice.choice([0, 1, 1, 2, 3] if shape == "diamonds" else [0, 0, 0, 1])):
                found.add(dice.randrange(max(0, place - 300), place))
            if shape == "hubs" and dice.random() < 0.5:
                # few things that very much stands on
                found.add(dice.randrange(4 + place // 500))
        found.discard(place)
        said = [dice.choice(relations) if dice.random() < 0.4 else "builds_on" for _ in found]
        parents.append(list(zip(sorted(found), said, strict=True)))
        if place > 3 and dice.random() < 0.02:
            bases[place] = dice.randrange(4)
    private = {number for number in range(2, repositories) if dice.random() < 0.1}
    stacks = range(repositories, repositories + 60)
    return Dag(
        parents,
        repository,
        private=private | {stack for stack in stacks if dice.random() < 0.3},
        models={0, 1},
        bases=bases,
        aliases=sorted(dice.sample(range(size), size // 20)),
        locks={stack: [dice.sample(range(size), 4) for _ in range(3)] for stack in stacks},
    )


def below(children: Sequence[Iterable[int]], root: int) -> set[int]:
    found, waiting = {root}, deque([root])
    while waiting:
        for child in children[waiting.popleft()]:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def states(database: Database, dag: Dag) -> set[int]:
    """The versions that are recalled."""
    place = {id: number for number, id in enumerate(dag.ids)}
    with database.read() as tx:
        rows = tx.execute(text("SELECT id FROM versions WHERE state = 'recalled'")).scalars().all()
    return {place[id] for id in rows}


def check_recalls(database: Database, dag: Dag, dice: random.Random) -> None:
    """Recalls that overlap, undone in any order: what is recalled is what stands on what was, and in the end nothing is."""
    recalling = Recalling(database)
    children = dag.children()
    standing: dict[int, tuple[Recall, int]] = {}
    widest = max(dice.sample(range(size), 30), key=lambda place: len(below(children, place)))
    for root in [widest, *dice.sample(range(size), 5)]:
        owner = dag.repository[root] % 2
        reference = f"{dag.name(root)}@{dag.number(root)}"
        standing[root] = recalling.recall(dag.caller(owner), reference, "random", Severity.LOW), owner
        if len(standing) > 2:
            made, undoer = standing.pop(dice.choice(sorted(standing)))
            recalling.undo(dag.caller(undoer), made.id)
        expected = set[int]().union(*(below(children, found) for found in standing))
        assert states(database, dag) == expected
    check_evidence(database, dag, children, standing)
    for made, owner in standing.values():
        recalling.undo(dag.caller(owner), made.id)
    assert states(database, dag) == set()


def check_evidence(
    database: Database, dag: Dag, children: Sequence[Iterable[int]], standing: dict[int, tuple[Recall, int]]
) -> None:
    """From whatever a recall has reached the evidence leads to what was recalled, and to nothing else."""
    place = {version: number for number, version in enumerate(dag.ids)}
    with database.read() as tx:
        for root, (made, _) in standing.items():
            for version in sorted(below(children, root) - {root})[:10]:
                steps = evidence.steps_towards(tx, made.id, [dag.ids[version]])
                ends = {place[parent] for parents in steps.values() for parent in parents} - {place[it] for it in steps}
                assert ends == {root}


def readable_to(dag: Dag, owner: int) -> set[int]:
    """Versions that a user may read: those of repositories that they may read, with nothing in them that they may not."""
    hidden = {
        place
        for place, repository in enumerate(dag.repository)
        if repository in dag.private and repository % 2 != owner
    }
    return set(range(size)) - hidden - {holder for holder, found in dag.contents().items() if found & hidden}


def check_impact(database: Database, dag: Dag, dice: random.Random) -> None:
    """What can be reached over what may be read, and what names any of it; up to the bound."""
    assessing = Assessing(database)
    lineage = replace(dag, bases={}).children()
    for owner in (0, 1):
        readable = readable_to(dag, owner)
        visible = [[child for child in found if child in readable] for found in lineage]
        for root in dice.sample(sorted(readable), 6):
            found = below(visible, root)
            told = {
                of: assessing.impact(dag.caller(owner), dag.name(root), dag.number(root), of, None, 2_000)
                for of in (Affected.DESCENDANTS, Affected.STACKS, Affected.LOCKS, Affected.ALIASES)
            }
            counts = told[Affected.DESCENDANTS].counts
            assert counts[Affected.DESCENDANTS].count == min(len(found) - 1, most_affected)
            is_capped = len(found) - 1 > most_affected
            assert {count.is_capped for count in counts.values()} == {is_capped}
            listed = {of: seen.items for of, seen in told.items()}
            references = {f"{dag.name(place)}@{dag.number(place)}" for place in found - {root}}
            shown = {item["reference"] for item in listed[Affected.DESCENDANTS]}
            if is_capped:
                assert len(shown) == most_affected
                assert shown < references
                continue
            assert shown == references
            aliases = {f"{dag.name(place)}@a{place}" for place in set(dag.aliases) & found}
            assert {item["alias"] for item in listed[Affected.ALIASES]} == aliases
            locks = {
                (str(dag.repository_name(stack)), number, number == len(of_stack))
                for stack, of_stack in dag.locks.items()
                if stack not in dag.private or stack % 2 == owner
                for number, lock in enumerate(of_stack, start=1)
                if found & set(lock)
            }
            assert {(item["stack"], item["lock"]) for item in listed[Affected.LOCKS]} == {it[:2] for it in locks}
            assert {(item["stack"], item["lock"]) for item in listed[Affected.STACKS]} == {
                it[:2] for it in locks if it[2]
            }
            assert [counts[of].count for of in listed] == [len(items) for items in listed.values()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(dags))
def test_recalls_and_impact_are_what_brute_force_says(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    dag = random_dag(seed, size)
    dag.write(database)
    check_impact(database, dag, dice)
    check_recalls(database, dag, dice)


def test_the_random_lineages_are_what_they_are_meant_to_be() -> None:
    """Hubs with thousands below, chains hundreds deep, and something small too: else brute force would say little."""
    widest, deepest = dict.fromkeys(shapes, 0), dict.fromkeys(shapes, 0)
    for seed, shape in enumerate(shapes):
        dag = random_dag(seed, size)
        depth = [0] * size
        for place, parents in enumerate(dag.parents):
            depth[place] = 1 + max((depth[parent] for parent, _ in parents), default=0)
        widest[shape] = max(map(len, dag.children()))
        deepest[shape] = max(depth)
    assert widest["hubs"] > 500
    assert deepest["chains"] > 500
    assert deepest["diamonds"] > 20
