"""A merge's result, published: the files of an execution become a version of the repository that a request names."""

from uuid import UUID

from app.domain.adapter import Adapter
from app.domain.caller import Caller
from app.domain.event import EventType
from app.domain.merge import MergeState, Publication, Result
from app.domain.number import VersionNumber
from app.domain.version import Version
from app.errors import Deleted, Forbidden, NotFound, RegistryError
from app.lineage import accounts, events, graph, merges, recalls, repositories, stacks, versions
from app.lineage.engine import Connection
from app.merge.methods import methods
from app.merge.publication import result_edges
from app.services.content import content_of_adapter, content_of_model
from app.services.publishing import Draft, Publishing, content_digest


def lock_targets(tx: Connection, execution: UUID) -> None:
    """Hold lineage, and lock where an execution's result is to be published: before the execution itself, as everybody does
    who asks for a merge under the lock of a stack."""
    recalls.hold_lineage(tx)
    waiting = merges.waiting_publications(tx, execution)
    # in one order for everybody: two executions that publish to the same repositories do not wait for each other
    for repository in sorted({publication.repository for publication in waiting}):
        repositories.lock(tx, repository)


def publish_waiting(tx: Connection, publishing: Publishing, execution: UUID, request: UUID | None = None) -> None:
    """Publish a finished execution for every request that waits for it, or for the one named.

    What refuses one of them (its number was taken meanwhile, say) is that request's error and nobody else's.
    """
    waiting = merges.waiting_publications(tx, execution, request)
    if not waiting:
        return
    recalls.hold_lineage(tx)
    result = merges.result_of(tx, execution)
    # in one order for everybody: two executions that publish to the same repositories do not wait for each other
    for repository in sorted({publication.repository for publication in waiting}):
        repositories.lock(tx, repository)
    for publication in waiting:
        try:
            with tx.begin_nested():
                published = publish_result(tx, publishing, publication, result)
                merges.record_publication(tx, publication.request, published.id)
                details = {"merge": str(publication.request), "state": MergeState.SUCCEEDED.value}
                events.record(tx, EventType.MERGE_FINISHED, publication.repository, published.id, **details)
        except RegistryError as error:
            problem = described(error)
            merges.record_publication(tx, publication.request, None, problem)
            stacks.note_unmerged(tx, publication.repository, publication.version, problem)


def publish_result(tx: Connection, publishing: Publishing, publication: Publication, result: Result) -> Version:
    """The result as a version with its parents, with the rights that the user has now; the newest version if it is that.

    Raises: NotFound, Deleted, Forbidden, and as `Publishing.write`.
    """
    caller = accounts.caller_of_user(tx, publication.user)
    repository = repositories.get(tx, publication.repository)
    if repository.deleted_at is not None:
        raise Deleted(repository.full_name)
    if not caller.may_write(repository.namespace_id):
        raise Forbidden("write to", repository.full_name)
    if merges.unreadable(tx, [publication.request], caller):
        raise NotFound("a version that went into the result")
    repositories.lock(tx, repository.id)
    number = None if publication.version is None else VersionNumber.parse(publication.version)
    plan = publication.plan
    files = {file.path: file.digest for file in result.files}
    facts = result.facts
    content = content_of_adapter(facts, files) if isinstance(facts, Adapter) else content_of_model(facts, files)
    draft = Draft(
        content=content,
        files=files,
        edges=result_edges(plan),
        base_model=plan.base_model if isinstance(facts, Adapter) else None,
        is_exact_linear=plan.is_exact and methods[plan.method.name].is_sum,
        message="Merged by the registry",
    )
    existing = same_as_newest(tx, caller, repository.id, number, draft)
    return existing or publishing.write(tx, caller, repository, number, draft)


def same_as_newest(
    tx: Connection, caller: Caller, repository: UUID, number: VersionNumber | None, draft: Draft
) -> Version | None:
    """The newest version, if it has this content and these edges, and no other number was asked for."""
    newest = versions.newest(tx, repository)
    if newest is None or (number is not None and number != newest[0]):
        return None
    found = versions.get(tx, newest[2], caller)
    if found is None or found.deleted_at is not None or set(versions.edges_of(tx, found.id)) != set(draft.edges):
        return None
    catalogue = graph.catalogue(tx, [edge.parent for edge in draft.edges], caller)
    digest = content_digest(draft.content, draft.edges, catalogue, found.base_model)
    return found if digest == found.content_digest else None


def described(error: RegistryError) -> dict[str, object]:
    """An error as it is kept in a row, until `api` makes a problem of it."""
    return {"name": error.kebab_name(), "detail": error.detail, "facts": error.facts}
