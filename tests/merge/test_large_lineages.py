"""Deep and wide lineages are planned fast: no path is enumerated, and nothing recurses."""

import time
from uuid import UUID

import pytest

from app.domain.digest import digest_of_bytes
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.domain.recipe import Overlaps, ResolvedLayer
from app.errors import EdgeWeightConflict, OverlappingContents, VersionConflict
from app.merge.publication import check_version, foundation
from app.merge.resolution import check_referable, resolve

depth = 1000
budget_seconds = 20
"""What an exponential walk would never keep, and a slow machine does; how fast planning is, benchmarks/planning.py measures."""


def version(
    number: int, edges: list[Edge], repository: int | None = None, is_exact_linear: bool = False
) -> LineageVersion:
    where = number + 10_000 if repository is None else repository
    return LineageVersion(
        id=UUID(int=number + 1),
        repository=UUID(int=where),
        repository_name=f"r/{where}",
        kind=Kind.ADAPTER,
        number=VersionNumber(1, number, 0),
        digest=digest_of_bytes(f"version {number}".encode()),
        content_digest=digest_of_bytes(f"content {number}".encode()),
        state=VersionState.PUBLISHED,
        is_readable=True,
        base_model=None,
        edges=tuple(edges),
        is_exact_linear=is_exact_linear,
    )


def on(number: int, relation: Relation = Relation.BUILDS_ON, weight: float = 1.0) -> Edge:
    return Edge(UUID(int=number + 1), relation, weight, Role.BRANCH if relation is Relation.MERGED_FROM else None)


def catalogue_of(versions: list[LineageVersion]) -> dict[UUID, LineageVersion]:
    return {version.id: version for version in versions}


def layers(*numbers: int) -> list[ResolvedLayer]:
    return [ResolvedLayer(UUID(int=number + 1), 1.0, str(number)) for number in numbers]


@pytest.mark.parametrize("repository", [None, 7], ids=["of_many_repositories", "of_one_repository"])
@pytest.mark.parametrize("overlaps", [Overlaps.REFUSE, Overlaps.COVERED])
def test_a_chain_of_a_thousand(repository: int | None, overlaps: Overlaps) -> None:
    chain = [version(n, [on(n - 1)] if n else [], repository) for n in range(depth)]
    catalogue = catalogue_of(chain)
    start = time.process_time()
    resolution = resolve(layers(depth - 1), [], catalogue, {}, linear=True, overlaps=overlaps)
    elapsed = time.process_time() - start
    assert len(resolution.trunk) == depth - 1
    check_referable(resolution, catalogue)
    assert elapsed < budget_seconds


def test_diamond_upon_diamond() -> None:
    """Ten wide and a hundred deep, each on all of the row below: 10¹⁰⁰ paths."""
    rows = [
        [version(10 * row + n, [on(10 * (row - 1) + m) for m in range(10)] if row else []) for n in range(10)]
        for row in range(100)
    ]
    catalogue = catalogue_of([entry for row in rows for entry in row])
    start = time.process_time()
    resolution = resolve(layers(990, 995), [], catalogue, {}, linear=False)
    assert len(resolution.trunk) == 990
    assert time.process_time() - start < budget_seconds


def test_diamond_upon_diamond_with_weights_that_disagree() -> None:
    def edges(row: int, n: int) -> list[Edge]:
        return [on(10 * (row - 1) + m, weight=1.0 if (n + m) % 3 else 0.5) for m in range(10)] if row else []

    catalogue = catalogue_of([version(10 * row + n, edges(row, n)) for row in range(100) for n in range(10)])
    start = time.process_time()
    with pytest.raises(EdgeWeightConflict):
        resolve(layers(990, 995), [], catalogue, {}, linear=True)
    assert time.process_time() - start < 4 * budget_seconds


def test_a_thousand_continuations() -> None:
    line = [version(n, [on(n - 1, Relation.INITIALIZED_FROM)] if n else [], 7) for n in range(depth)]
    catalogue = catalogue_of([*line, version(depth, [on(0)])])
    start = time.process_time()
    assert resolve(layers(depth - 1), [], catalogue, {}, linear=True).trunk == ()
    with pytest.raises(VersionConflict):
        resolve(layers(depth - 1, depth), [], catalogue, {}, linear=True)
    with pytest.raises(OverlappingContents):
        resolve(layers(depth - 1, depth - 2), [], catalogue, {}, linear=True)
    assert time.process_time() - start < 3 * budget_seconds


def test_merges_of_merges_of_merges() -> None:
    """Each of a thousand merges is made of the two before: as many paths as Fibonacci says."""
    merges = [
        version(n, [on(n - 1, Relation.MERGED_FROM, 0.5), on(n - 2, Relation.MERGED_FROM, 0.5)], is_exact_linear=True)
        if n > 1
        else version(n, [])
        for n in range(300)
    ]
    catalogue = catalogue_of([*merges, version(300, [on(0)])])
    start = time.process_time()
    with pytest.raises(OverlappingContents):
        resolve(layers(299, 300), [], catalogue, {}, linear=True, overlaps=Overlaps.COVERED)
    assert time.process_time() - start < budget_seconds


def test_publication_at_the_end_of_a_chain() -> None:
    chain = [version(n, [on(n - 1)] if n else []) for n in range(depth)]
    catalogue = catalogue_of(chain)
    start = time.process_time()
    assert len(foundation(chain[-1].edges, catalogue)) == depth - 1
    check_version(chain[-1], catalogue, {})
    assert time.process_time() - start < 2 * budget_seconds
