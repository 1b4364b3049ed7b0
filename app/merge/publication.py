"""What a version must satisfy to be published, and what its lineage adds to it."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from app.domain.base_model import BaseModel
from app.domain.digest import Digest, digest_of_bytes
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.number import VersionNumber
from app.domain.plan import Plan
from app.domain.recipe import Trunk
from app.merge.bases import check_bases
from app.merge.closure import Closure
from app.merge.published import Catalogue, Published
from app.merge.rules import check_overlaps, check_readable, check_versions, check_weights


def check_version(candidate: LineageVersion, catalogue: Catalogue, base_aliases: Mapping[str, str]) -> None:
    """Refuse a version whose own plan would be refused by the rules of conflicts, overlaps, edges and bases.

    Args:
        catalogue: every version reachable from the candidate's edges over all relations.

    Raises: TrunkNotReadable, VersionConflict, OverlappingContents, EdgeWeightConflict, BaseModelMismatch.
    """
    published = Published({**catalogue, candidate.id: candidate})
    closure = Closure(published.catalogue, [candidate.id], {})
    check_readable(published, closure)
    check_versions(published, closure)
    check_overlaps(published, closure, {}, allow=False)
    check_weights(published, closure, closure.weights())
    check_bases(published, closure, base_aliases)


def foundation(edges: Sequence[Edge], catalogue: Catalogue) -> tuple[tuple[Digest, float], ...]:
    """All that a version with these edges stands on, as (content digest, edge weight), sorted: part of its content digest.

    Two weights for one content stand as two entries; `check_version` refuses them.
    """
    version = _unpublished(edges)
    weights = Closure({**catalogue, version.id: version}, [version.id], {}).weights()
    return tuple(sorted((content, weight) for content, said in weights.items() for weight in said))


def inherited_builds_on(declared: Sequence[Edge] | None, initialized_from: LineageVersion | None) -> tuple[Edge, ...]:
    """The `builds on` edges of a version: its own, or where it says nothing those of what it was initialized from."""
    if declared is not None:
        return tuple(declared)
    if initialized_from is None:
        return ()
    return tuple(edge for edge in initialized_from.edges if edge.relation is Relation.BUILDS_ON)


def result_edges(plan: Plan) -> tuple[Edge, ...]:
    """The edges of a plan's result when it is published.

    A self-contained result is merged from its trunk (at the edges' weights), its branches (at the layers' weights) and, if it is
    a model, from its base. One that refers to its trunk holds the branches only and builds on the trunk.
    """
    is_referenced = plan.output.trunk is Trunk.REFERENCED
    relation, role = (Relation.BUILDS_ON, None) if is_referenced else (Relation.MERGED_FROM, Role.TRUNK)
    trunk = tuple(Edge(member.version, relation, member.weight, role) for member in plan.trunk)
    branches = tuple(Edge(member.version, Relation.MERGED_FROM, member.weight, Role.BRANCH) for member in plan.branches)
    base = () if plan.base is None else (Edge(plan.base.version, Relation.MERGED_FROM, 1.0, Role.BASE),)
    return trunk + branches + base


def check_result(
    plan: Plan,
    repository: UUID | None,
    catalogue: Catalogue,
    base_aliases: Mapping[str, str],
    result: UUID | None = None,
) -> None:
    """Refuse, when it is asked for, a merge whose result could not be published in that repository (None: a new one).

    Args:
        result: what a refusal calls the version that is not there yet.

    Raises: as `check_version`.
    """
    check_version(_unpublished(result_edges(plan), repository, plan.base_model, result), catalogue, base_aliases)


def _unpublished(
    edges: Sequence[Edge],
    repository: UUID | None = None,
    base_model: BaseModel | None = None,
    version: UUID | None = None,
) -> LineageVersion:
    """A version that has no number, and whose content is like no other's."""
    version = version or uuid4()
    digest = digest_of_bytes(version.bytes)
    return LineageVersion(
        id=version,
        repository=repository or version,
        repository_name="",
        kind=Kind.ADAPTER,
        number=VersionNumber(0, 0, 0),
        digest=digest,
        content_digest=digest,
        state=VersionState.PUBLISHED,
        is_readable=True,
        base_model=base_model,
        edges=tuple(edges),
    )
