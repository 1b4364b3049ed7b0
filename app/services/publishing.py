"""Publishing: files that were uploaded become an immutable, numbered version with its parents."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from app.domain.adapter import Adapter, Checkpoint
from app.domain.base_model import BaseModel, same_base
from app.domain.caller import Caller
from app.domain.content import adapter_content_digest, model_content_digest, version_digest
from app.domain.digest import Digest, digest_of_bytes, parse_digest
from app.domain.event import EventType
from app.domain.lineage import Edge, Kind, LineageVersion, Relation, Role, VersionState
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.paths import check_path
from app.domain.repository import Repository
from app.domain.version import Version
from app.errors import (
    BaseModelMismatch,
    InvalidPath,
    MalformedRequest,
    ModelExpected,
    NotAnAdapter,
    NotFound,
    NotPublishedByHand,
    ParentNotFound,
    ShapeMismatch,
    TooManyFiles,
    UnknownBlob,
    VersionExists,
)
from app.lineage import audit, blobs, commits, events, graph, idempotency, recalls, repositories, versions
from app.lineage.engine import Connection, Database
from app.merge.publication import check_version, foundation, inherited_builds_on
from app.objects.store import ObjectStore
from app.services import finding
from app.services.cards import tags_of
from app.services.content import Content, read_content, stored
from app.services.holding import Holding
from app.services.masking import masked

contents = frozenset({Relation.MERGED_FROM, Relation.EXTRACTED_FROM})


@dataclass(frozen=True, slots=True)
class ParentAsked:
    reference: str
    weight: float
    pointer: str
    """JSON pointer to where the parent stood in the request."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a publisher says of a version; the rest is read from the files."""

    files: Mapping[str, str]
    """Path → digest."""
    version: str | None = None
    builds_on: tuple[ParentAsked, ...] | None = None
    """None: nothing was said, which is not the same as saying that there is none."""
    initialized_from: ParentAsked | None = None
    merged_from: tuple[ParentAsked, ...] = ()
    base_model: BaseModel | None = None
    datasets: tuple[Any, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    notes: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that is complete but for its number."""

    content: Content
    files: Mapping[str, str]
    edges: tuple[Edge, ...]
    base_model: BaseModel | None
    is_exact_linear: bool = False
    datasets: tuple[Any, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    notes: str | None = None
    message: str | None = None


class Publishing:
    def __init__(self, database: Database, store: ObjectStore, holding: Holding, *, max_files: int) -> None:
        self.database = database
        self.store = store
        self.holding = holding
        self.max_files = max_files

    def publish(
        self,
        caller: Caller,
        name: RepositoryName,
        new: NewVersion,
        create: Callable[[Connection], Repository] | None = None,
    ) -> Version:
        """
        Args:
            create: makes the repository, in the transaction that publishes its first version; None: it is there.

        Raises: NotFound, Deleted, Forbidden, UnknownBlob, ParentNotFound, VersionExists, TooManyFiles, QuotaExceeded, every
        InvalidContent, the RefusedPlan that a plan of this version alone would meet, and what `create` raises. Nothing is
        stored then.
        """
        number = None if new.version is None else VersionNumber.parse(new.version)
        self.check_files(list(new.files))
        for digest in new.files.values():
            parse_digest(digest)
        with self.database.begin() as tx:
            if create is None:
                repository = finding.writable(tx, name, caller)
            if (earlier := self.earlier(tx, caller)) is not None:
                return earlier
            if create is not None:
                repository = self.created(tx, create)
            known = blobs.nameable(tx, caller, new.files.values())
            for path, digest in new.files.items():
                if digest not in known:
                    raise UnknownBlob(digest, "/files/" + path.replace("~", "~0").replace("/", "~1"))
            sources = {path: stored(known[digest], self.store) for path, digest in new.files.items()}
            content = read_content(repository.kind, sources)
            version = self.write_new(tx, caller, repository, number, new, content)
            idempotency.note(tx, caller, str(version.id))
            return version

    def created(self, tx: Connection, create: Callable[[Connection], Repository]) -> Repository:
        """A repository that is there with its first version, or not at all."""
        # before the lock of its namespace, as before every other
        recalls.hold_lineage(tx)
        return create(tx)

    def earlier(self, tx: Connection, caller: Caller) -> Version | None:
        """What this very request has published before, when its answer was lost."""
        made = idempotency.made(tx, caller)
        return None if made is None else versions.get(tx, UUID(made), caller)

    def check_writable(self, caller: Caller, name: RepositoryName) -> None:
        """Before anything is received for it. Raises: NotFound, Deleted, Forbidden."""
        with self.database.read() as tx:
            finding.writable(tx, name, caller)

    def check_files(self, paths: Sequence[str]) -> None:
        """Raises: TooManyFiles, InvalidPath, MalformedRequest."""
        if len(paths) > self.max_files:
            raise TooManyFiles(self.max_files, len(paths))
        folded: dict[str, str] = {}
        for path in paths:
            other = folded.get(check_path(path).casefold())
            if other is not None:
                raise MalformedRequest(f"{path!r} and {other!r} are one file on some systems", pointer="/files")
            folded[path.casefold()] = path
        for path in paths:
            parts = path.casefold().split("/")
            for length in range(1, len(parts)):
                file = folded.get("/".join(parts[:length]))
                if file is not None:
                    raise InvalidPath(path, f"{file!r} is a file, and no folder beside it can have its name")

    def write_new(
        self,
        tx: Connection,
        caller: Caller,
        repository: Repository,
        number: VersionNumber | None,
        new: NewVersion,
        content: Content,
    ) -> Version:
        """As `write`, of what a publisher says. Raises: ParentNotFound and NotPublishedByHand too."""
        if repository.kind is Kind.STACK:
            raise NotPublishedByHand(repository.full_name)
        draft = self.draft(tx, caller, repository, new, content)
        draft = with_contents(draft, commits.made_of(tx, repository.id, set(new.files.values())))
        return self.write(tx, caller, repository, number, draft)

    def draft(self, tx: Connection, caller: Caller, repository: Repository, new: NewVersion, content: Content) -> Draft:
        """Raises: ParentNotFound, NotAnAdapter, ModelExpected, MalformedRequest, InvalidReference."""
        return Draft(
            content=content,
            files=new.files,
            edges=self._edges(tx, caller, repository, new),
            base_model=new.base_model,
            datasets=new.datasets,
            metrics=new.metrics,
            notes=new.notes,
            message=new.message,
        )

    def _edges(self, tx: Connection, caller: Caller, repository: Repository, new: NewVersion) -> tuple[Edge, ...]:
        """The parents that the publisher names, each readable by them, and those that follow from `initialized_from`."""
        wanted = Kind.MODEL if repository.kind is Kind.MODEL else Kind.ADAPTER
        declared = None
        if new.builds_on is not None:
            declared = [
                Edge(self.parent(tx, caller, asked, Kind.ADAPTER).id, Relation.BUILDS_ON, asked.weight)
                for asked in new.builds_on
            ]
            if declared and wanted is Kind.MODEL:
                raise NotAnAdapter(repository.full_name, "/builds_on")
            if len({edge.parent for edge in declared}) < len(declared):
                raise MalformedRequest("builds_on names one version twice", pointer="/builds_on")
        edges: list[Edge] = []
        origin = None
        if new.initialized_from is not None:
            origin_version = self.parent(tx, caller, new.initialized_from, wanted)
            edges.append(Edge(origin_version.id, Relation.INITIALIZED_FROM))
            origin = graph.catalogue(tx, [origin_version.id], caller)[origin_version.id]
        for asked in new.merged_from:
            source = self.parent(tx, caller, asked, None)
            edges.append(Edge(source.id, Relation.MERGED_FROM, asked.weight, Role.BRANCH))
        if len({edge.parent for edge in edges if edge.relation is Relation.MERGED_FROM}) < len(new.merged_from):
            raise MalformedRequest("merged_from names one version twice", pointer="/merged_from")
        return (*inherited_builds_on(declared, origin), *edges)

    def parent(self, tx: Connection, caller: Caller, asked: ParentAsked, kind: Kind | None) -> Version:
        """A version that the caller may read. Raises: InvalidReference, ParentNotFound, NotAnAdapter, ModelExpected."""
        if not math.isfinite(asked.weight):
            raise MalformedRequest("a weight is a finite number", pointer=asked.pointer)
        try:
            found = finding.referenced(tx, asked.reference, caller, asked.pointer)
        except NotFound as error:
            raise ParentNotFound(asked.reference, asked.pointer) from error
        if kind is Kind.ADAPTER and found.kind is Kind.MODEL:
            raise NotAnAdapter(asked.reference, asked.pointer)
        if kind is Kind.MODEL and found.kind is not Kind.MODEL:
            raise ModelExpected(asked.reference, asked.pointer)
        return found

    def write(
        self, tx: Connection, caller: Caller, repository: Repository, number: VersionNumber | None, draft: Draft
    ) -> Version:
        """Number a draft and write all of it: tree, commit, version, edges, ref, audit event.

        Raises: Deleted and Forbidden if the repository is no longer what it was, VersionExists, ShapeMismatch, QuotaExceeded,
        and the RefusedPlan that a plan of this version alone would meet."""
        recalls.hold_lineage(tx)
        repository = finding.locked(tx, repository, caller)
        catalogue = graph.catalogue(tx, [edge.parent for edge in draft.edges], caller)
        aliases = repositories.base_model_aliases(tx)
        base_model = self._base(repository, draft, catalogue, aliases)
        digest = content_digest(draft.content, draft.edges, catalogue, base_model)
        id = uuid4()
        candidate = LineageVersion(
            id=id,
            repository=repository.id,
            repository_name=repository.full_name,
            kind=repository.kind,
            number=number or VersionNumber(0, 0, 0),
            digest=digest_of_bytes(id.bytes),
            content_digest=digest,
            state=VersionState.PUBLISHED,
            is_readable=True,
            base_model=base_model,
            edges=draft.edges,
            is_exact_linear=draft.is_exact_linear,
        )
        with masked(tx, caller, {id: f"{repository.full_name}@{number or 'new'}"}):
            check_version(candidate, catalogue, aliases)
        # after the rules: only of parents that the caller may read
        self._check_shapes(tx, draft, catalogue)
        newest = versions.newest(tx, repository.id)
        if number is None:
            number = next_number(newest, digest)
        elif versions.is_taken(tx, repository.id, number):
            raise VersionExists(f"{repository.full_name}@{number}")
        tree = commits.put_tree(tx, draft.files)
        head = commits.head(tx, repository.id)
        message = draft.message or f"Version {number}"
        commit_id = commits.commit(
            tx,
            commits.NewCommit(
                repository=repository.id,
                tree=tree,
                parents=(head,) if head else (),
                author=caller.user,
                author_name=caller.name or "",
                message=message,
                card=draft.content.card,
                readme=draft.content.readme,
                tags=tags_of(repository.kind, draft.content.card, base_model),
            ),
        )
        parents = [
            (catalogue[edge.parent].digest, edge.relation.value, edge.weight, edge.role.value if edge.role else None)
            for edge in draft.edges
        ]
        written = versions.NewVersion(
            id=id,
            repository_id=repository.id,
            number=number,
            digest=version_digest(repository.id, number, draft.files, base_model, parents, repository.license),
            content_digest=digest,
            commit_id=commit_id,
            base_model=base_model,
            summary=draft.content.summary,
            facts=draft.content.facts,
            license=repository.license,
            datasets=draft.datasets,
            metrics=draft.metrics,
            notes=draft.notes,
            is_exact_linear=draft.is_exact_linear,
            created_by=caller.user,
            created_at=datetime.now(UTC),
            edges=draft.edges,
        )
        if not versions.insert_version(tx, written):
            raise VersionExists(f"{repository.full_name}@{number}")
        recalls.mark_published(tx, id, [edge.parent for edge in draft.edges], base_model)
        self.holding.claim_room(tx, repository.namespace_id)
        # a stack's numbers are those of its locks, and an earlier lock may be merged after a later one
        if repository.kind is not Kind.STACK or newest is None or number > newest[0]:
            commits.move_ref(tx, repository.id, commit_id)
        repositories.touch(tx, repository.id, id)
        reference = f"{repository.full_name}@{number}"
        audit.record(
            tx, caller, "version.published", reference, namespace=repository.namespace_id, digest=written.digest
        )
        events.record(tx, EventType.VERSION_PUBLISHED, repository.id, id)
        published = versions.get(tx, id, caller)
        if published is None:
            raise NotFound(reference)
        return published

    def _base(
        self,
        repository: Repository,
        draft: Draft,
        catalogue: Mapping[UUID, LineageVersion],
        aliases: Mapping[str, str],
    ) -> BaseModel | None:
        """What was said, else what the configuration says, else the repository, else a parent; equal to the parents' bases."""
        if repository.kind is Kind.MODEL:
            return draft.base_model
        parents = [
            catalogue[edge.parent]
            for edge in draft.edges
            # a hidden one is refused later, and until then nothing is told of it
            if edge.relation in {Relation.BUILDS_ON, Relation.INITIALIZED_FROM} and catalogue[edge.parent].is_readable
        ]
        inherited = next((parent.base_model for parent in parents if parent.base_model is not None), None)
        configured = draft.content.configured_base
        if configured is not None and is_local_path(configured.name):
            # where the trainer's disk kept it says nothing to anybody else
            configured = inherited or repository.base_model or configured
        base_model = draft.base_model or configured or repository.base_model or inherited
        for parent in parents:
            if base_model is None or parent.base_model is None:
                continue
            if not same_base(base_model.canonical(aliases), parent.base_model.canonical(aliases)):
                raise BaseModelMismatch(parent.base_model.as_json(), base_model.as_json())
        return base_model

    def _check_shapes(self, tx: Connection, draft: Draft, catalogue: Mapping[UUID, LineageVersion]) -> None:
        """A module that stands on a parent's has its shape."""
        if not isinstance(draft.content.facts, Adapter):
            return
        shapes = {module.name: (module.out_features, module.in_features) for module in draft.content.facts.modules}
        ids = [edge.parent for edge in draft.edges if edge.relation is Relation.BUILDS_ON]
        for id, facts in versions.facts_of(tx, ids).items():
            for module in facts.modules if isinstance(facts, Adapter) else ():
                expected, found = (module.out_features, module.in_features), shapes.get(module.name)
                if found is not None and found != expected:
                    raise ShapeMismatch(module.name, expected, found, catalogue[id].reference)


def with_contents(draft: Draft, went_in: Sequence[Edge]) -> Draft:
    """The draft with what went into the weights that it holds: whatever else changes, that decides who may read them."""
    said = {(edge.parent, edge.relation) for edge in draft.edges}
    more = tuple(edge for edge in went_in if (edge.parent, edge.relation) not in said)
    return replace(draft, edges=(*draft.edges, *more))


def is_local_path(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or "\\" in name or name.count("/") > 1


def content_digest(
    content: Content,
    edges: Sequence[Edge],
    catalogue: Mapping[UUID, LineageVersion],
    base_model: BaseModel | None,
) -> Digest:
    """The digest of what a version with this content and these edges does."""
    if isinstance(content.facts, Checkpoint):
        return model_content_digest(content.weights, content.config)
    return adapter_content_digest(content.facts, content.weights.values(), foundation(edges, catalogue), base_model)


def next_number(newest: tuple[VersionNumber, Digest, UUID] | None, digest: Digest) -> VersionNumber:
    """First 1.0.0; then the next patch where only what surrounds the content changed, else the next minor."""
    if newest is None:
        return VersionNumber(1, 0, 0)
    number, newest_digest, _ = newest
    return number.next_patch() if newest_digest == digest else number.next_minor()
