"""Walks over the edges: linear whatever the shape, and never without a bound."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from app.domain.caller import Caller
from app.errors import PlanTooLarge
from app.lineage import graph
from app.lineage import tables as t
from app.lineage.engine import Connection, Database


def plant(tx: Connection, edges: Mapping[UUID, Sequence[UUID]]) -> dict[UUID, str]:
    """Versions of one repository with these parents, in the order in which they are named. Returns: the digest of each."""
    ids = list(dict.fromkeys([id for child, parents in edges.items() for id in (*parents, child)]))
    owner, repository = uuid4(), uuid4()
    tx.execute(insert(t.Namespace).values(id=owner, name="alice", key="alice", kind="user", is_admin=False))
    facts = {"kind": "adapter", "visibility": "public", "derivatives": "inherit", "tags": [], "created_by": owner}
    tx.execute(insert(t.Repository).values(id=repository, namespace_id=owner, name="r", key="r", **facts))
    tx.execute(insert(t.Tree).values(id="tree"))
    now = {"created_at": "2026-01-01T00:00:00Z"}
    commit = {
        "id": "commit",
        "repository_id": repository,
        "parents": [],
        "tree": "tree",
        "author_id": owner,
        "message": "",
        "card": {},
        "tags": [],
    }
    tx.execute(insert(t.Commit).values(**commit, **now))
    fixed = {"repository_id": repository, "minor": 0, "patch": 0, "content_digest": "", "commit_id": "commit"} | now
    fixed |= {"summary": {}, "facts": {}, "datasets": [], "metrics": {}, "created_by": owner, "state": "published"}
    fixed |= {"is_exact_linear": False}
    tx.execute(insert(t.Version), [{"id": id, "major": n, "digest": str(n)} | fixed for n, id in enumerate(ids)])
    lines = [
        {"child_id": child, "position": position, "parent_id": parent, "relation": "builds_on", "weight": 1.0}
        for child, parents in edges.items()
        for position, parent in enumerate(parents)
    ]
    tx.execute(insert(t.Edge), [line | {"role": None} for line in lines])
    return {id: str(n) for n, id in enumerate(ids)}


def test_a_chain_with_skips_is_walked_once_per_version_and_nearest_first(database: Database) -> None:
    """Each version stands on the two before it: the distances by which one can be reached are as many as the versions."""
    chain = [uuid4() for _ in range(1500)]
    edges = {child: [chain[n], *([chain[n - 1]] if n else [])] for n, child in enumerate(chain[1:])}
    with database.begin() as tx:
        digests = plant(tx, edges)
        planted = [digests[id] for id in chain]
        up = graph.ancestors(tx, chain[-1], Caller(), 1000, 10_000)
        assert not up.is_truncated
        assert {node.digest for node in up.nodes} == set(planted)
        assert [up.nodes[0].digest, {node.digest for node in up.nodes[1:3]}] == [planted[-1], set(planted[-3:-1])]
        assert graph.ancestors(tx, chain[-1], Caller(), None, 10_000).lines == up.lines
        assert len(up.lines) == 2 * 1499 - 1
        near = graph.ancestors(tx, chain[-1], Caller(), 2, 10_000)
        assert {node.digest for node in near.nodes} == set(planted[-5:])
        down = graph.descendants(tx, chain[0], Caller(), 1, 10_000)
        assert [down.nodes[0].digest, {node.digest for node in down.nodes}] == [planted[0], set(planted[:3])]


def test_a_walk_says_what_its_bounds_left_out(database: Database) -> None:
    chain = [uuid4() for _ in range(6)]
    with database.begin() as tx:
        digests = plant(tx, {child: [parent] for parent, child in pairwise(chain)})
        assert len(graph.ancestors(tx, chain[-1], Caller(), None, 6).nodes) == 6
        assert not graph.ancestors(tx, chain[-1], Caller(), None, 6).is_truncated
        few = graph.ancestors(tx, chain[-1], Caller(), None, 4)
        assert ([node.digest for node in few.nodes], few.is_truncated) == ([digests[id] for id in chain[:1:-1]], True)
        # what is beyond the depth that was asked for was not asked for
        assert not graph.ancestors(tx, chain[-1], Caller(), 2, 6).is_truncated


def test_a_plan_does_not_look_at_more_versions_than_its_limit(database: Database) -> None:
    chain = [uuid4() for _ in range(6)]
    with database.begin() as tx:
        plant(tx, {child: [parent] for parent, child in pairwise(chain)})
        assert set(graph.catalogue(tx, chain[-1:], Caller(), limit=6)) == set(chain)
        assert graph.catalogue(tx, [], Caller(), limit=6) == {}
        with pytest.raises(PlanTooLarge) as refused:
            graph.catalogue(tx, chain[-1:], Caller(), limit=5)
    assert refused.value.facts == {"what": "versions in the lineage", "limit": 5, "found": 6}
