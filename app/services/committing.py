"""Committing: files added, linked, copied and removed in one step; on `main`, valid weights become a version.

One history: what is published over REST is a commit on the same line, and what is committed here is a version like any other.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.caller import Caller
from app.domain.commit import Commit
from app.domain.digest import Digest
from app.domain.lineage import Kind, Relation
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.paths import check_path
from app.domain.repository import Repository
from app.domain.version import Version
from app.errors import (
    EntryNotFound,
    HeadMoved,
    MalformedRequest,
    MissingFile,
    RevisionNotFound,
    SizeMismatch,
    UnknownBlob,
    UnsupportedFeature,
)
from app.formats.inspection import Inspection
from app.lineage import audit, blobs, commits, history, recalls, repositories, versions
from app.lineage.engine import Connection, Database
from app.objects.store import ObjectStore
from app.services import finding, revisions
from app.services.card_lineage import CardLineage, Standing, claims, edge_to
from app.services.cards import tags_of
from app.services.content import (
    Content,
    Source,
    adapter_config,
    adapter_weights,
    card_of,
    model_config,
    pickled_adapter,
    read_content,
    stored,
)
from app.services.holding import Holding
from app.services.publishing import NewVersion, Publishing, contents, with_contents

longest_message = 10_000
most_revisions = 100
"""From which one commit copies."""


@dataclass(frozen=True, slots=True)
class Added:
    """A file whose bytes came with the commit."""

    path: str
    digest: Digest
    inspection: Inspection
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Linked:
    """A file whose bytes are here: uploaded by the caller, or held by what they may read."""

    path: str
    digest: Digest
    size_bytes: int | None
    """As it was said, if it was."""


@dataclass(frozen=True, slots=True)
class Copied:
    path: str
    source: str
    revision: str | None
    """None: the branch that is committed to."""


@dataclass(frozen=True, slots=True)
class Removed:
    path: str
    is_folder: bool


Operation = Added | Linked | Copied | Removed


@dataclass(frozen=True, slots=True)
class NewCommit:
    message: str
    operations: Sequence[Operation]
    parent: str | None = None
    """The commit that the branch is expected to be at."""


@dataclass(frozen=True, slots=True)
class Committed:
    repository: str
    commit: str
    number: VersionNumber | None
    warnings: tuple[str, ...] = ()


class Committing:
    def __init__(self, database: Database, store: ObjectStore, holding: Holding, publishing: Publishing) -> None:
        self.database = database
        self.store = store
        self.holding = holding
        self.publishing = publishing
        self.lineage = CardLineage(publishing)

    def commit(self, caller: Caller, name: RepositoryName, branch: str, new: NewCommit) -> Committed:
        """All of it or nothing: of what is refused no byte stays. A commit that changes nothing is the head itself.

        Raises: NotFound, Deleted, Forbidden, RevisionNotFound, EntryNotFound, UnknownBlob, HeadMoved, InvalidPath, TooManyFiles,
        QuotaExceeded, and as `Publishing.write` where the files become a version.
        """
        added = {entry.digest: entry for entry in new.operations if isinstance(entry, Added)}
        # in one order for everybody who writes the same rows
        added = dict(sorted(added.items()))
        sizes: dict[str, int] = {digest: entry.inspection.size_bytes for digest, entry in added.items()}
        with self.database.read() as tx:
            namespace = finding.writable(tx, name, caller).namespace_id
        holder: UUID | None = None
        with ExitStack() as stack:
            for is_trial in (True, False):
                with self.database.begin() as tx, tx.begin_nested() as savepoint:
                    if holder is not None:
                        self.holding.release(tx, holder, sizes)
                    for digest, entry in added.items():
                        blobs.record(tx, digest, entry.inspection.size_bytes, entry.inspection.as_json())
                    done = self._commit(tx, caller, name, branch, new, added)
                    if is_trial and added:
                        savepoint.rollback()
                if not added:
                    # every byte is here: there is nothing to place
                    return done
                if is_trial:
                    holder = stack.enter_context(self.holding.held(sizes, namespace))
                    for entry in added.values():
                        self._place(entry)
            return done

    def _place(self, entry: Added) -> None:
        with self.store.stage() as staged:
            staged.write(entry.read())
            staged.place()

    def _commit(
        self,
        tx: Connection,
        caller: Caller,
        name: RepositoryName,
        branch: str,
        new: NewCommit,
        added: Mapping[Digest, Added],
    ) -> Committed:
        recalls.hold_lineage(tx)
        repository = finding.locked(tx, finding.writable(tx, name, caller), caller)
        if repository.kind is Kind.STACK:
            raise UnsupportedFeature("committing to a stack, whose files its merges make")
        head = self._head(tx, repository, branch, caller)
        if new.parent is not None and not head.id.startswith(new.parent):
            raise HeadMoved(branch, new.parent, head.id)
        before = {file.path: file.digest for file in commits.files_of(tx, head.tree)}
        after = self._changed(tx, caller, name, head, before, new.operations)
        if after == before:
            return Committed(repository.full_name, head.id, head.number)
        self.publishing.check_files(list(after))
        sources = self._sources(tx, after, added)
        if branch != commits.main:
            return self._write(tx, caller, repository, branch, head, after, sources, new.message)
        repository = self._of_kind(tx, repository, after)
        try:
            content = read_content(repository.kind, sources)
        except MissingFile as error:
            done = self._write(tx, caller, repository, branch, head, after, sources, new.message)
            has_some = any(path.endswith(".safetensors") for path in after)
            return replace(done, warnings=(f"version: none was made yet: {error.detail}",) if has_some else ())
        return self._publish(tx, caller, repository, head, after, content, new.message)

    def _head(self, tx: Connection, repository: Repository, branch: str, caller: Caller) -> Commit:
        """Where a branch is to the caller. Raises: RevisionNotFound."""
        head = history.at_ref(tx, repository.id, branch.removeprefix("refs/heads/"), caller)
        if head is None:
            raise RevisionNotFound(repository.full_name, branch)
        return head

    def _changed(
        self,
        tx: Connection,
        caller: Caller,
        name: RepositoryName,
        head: Commit,
        before: Mapping[str, Digest],
        operations: Sequence[Operation],
    ) -> dict[str, Digest]:
        """The files after all operations, in their order."""
        held = set(before.values())
        linked = {entry.digest for entry in operations if isinstance(entry, Linked)} - held
        known = blobs.nameable(tx, caller, linked)
        # each revision once, however many lines copy from it
        copied = {entry.revision for entry in operations if isinstance(entry, Copied)}
        if len(copied) > most_revisions:
            raise MalformedRequest(f"one commit copies from at most {most_revisions} revisions")
        copyable = {revision: self._copyable(tx, caller, name, head, revision) for revision in copied}
        after = dict(before)
        for entry in operations:
            if isinstance(entry, Added):
                after[check_path(entry.path)] = entry.digest
            elif isinstance(entry, Linked):
                if entry.digest not in known and entry.digest not in held:
                    raise UnknownBlob(entry.digest, "")
                size_bytes = known[entry.digest].size_bytes if entry.digest in known else None
                if entry.size_bytes is not None and size_bytes is not None and entry.size_bytes != size_bytes:
                    raise SizeMismatch(entry.size_bytes, size_bytes)
                after[check_path(entry.path)] = entry.digest
            elif isinstance(entry, Copied):
                commit, digests = copyable[entry.revision]
                if entry.source not in digests:
                    raise EntryNotFound(entry.source, commit.id)
                after[check_path(entry.path)] = digests[entry.source]
            else:
                remove(entry, head, after)
        return after

    def _copyable(
        self, tx: Connection, caller: Caller, name: RepositoryName, head: Commit, revision: str | None
    ) -> tuple[Commit, dict[str, Digest]]:
        """Where files are copied from. Raises: RevisionNotFound."""
        _, commit = (None, head) if revision is None else revisions.commit_at(tx, name, revision, caller)
        return commit, {file.path: file.digest for file in commits.files_of(tx, commit.tree)}

    def _sources(self, tx: Connection, files: Mapping[str, Digest], added: Mapping[Digest, Added]) -> dict[str, Source]:
        kept = blobs.get_many(tx, set(files.values()) - added.keys())
        return {
            path: Source(digest, added[digest].inspection, added[digest].read)
            if digest in added
            else stored(kept[digest], self.store)
            for path, digest in files.items()
        }

    def _of_kind(self, tx: Connection, repository: Repository, files: Mapping[str, Digest]) -> Repository:
        """The repository; one that never had a version takes the kind of its first weights, of which its maker said nothing."""
        is_adapter = bool({adapter_weights, adapter_config, pickled_adapter} & files.keys())
        has_model = model_config in files and any(path.endswith(".safetensors") for path in files)
        kind = Kind.ADAPTER if is_adapter else Kind.MODEL if has_model else repository.kind
        if kind is repository.kind or versions.newest(tx, repository.id) is not None:
            return repository
        repositories.change(tx, repository.id, {"kind": kind.value})
        return repositories.get(tx, repository.id)

    def _write(
        self,
        tx: Connection,
        caller: Caller,
        repository: Repository,
        branch: str,
        head: Commit,
        files: Mapping[str, Digest],
        sources: Mapping[str, Source],
        message: str,
    ) -> Committed:
        """A commit that is no version."""
        card, readme = card_of(sources)
        ref = branch.removeprefix("refs/heads/")
        origin, is_whole = commits.origin_of(tx, repository.id, head.id, set(files.values()))
        if not is_whole:
            raise UnsupportedFeature(
                "a commit that is no version with weights of versions that were made of different ones"
            )
        id = commits.commit(
            tx,
            commits.NewCommit(
                repository=repository.id,
                tree=commits.put_tree(tx, files),
                parents=(commits.head(tx, repository.id, ref) or head.id,),
                author=caller.user,
                author_name=caller.name or "",
                message=message,
                card=card,
                readme=readme,
                tags=tags_of(repository.kind, card, is_version=False),
                origin=origin,
            ),
        )
        commits.move_ref(tx, repository.id, id, ref)
        self.holding.claim_room(tx, repository.namespace_id)
        repositories.change(tx, repository.id, {})
        audit.record(
            tx, caller, "commit.made", f"{repository.full_name}@{branch}", namespace=repository.namespace_id, commit=id
        )
        return Committed(repository.full_name, id, None)

    def _publish(
        self,
        tx: Connection,
        caller: Caller,
        repository: Repository,
        head: Commit,
        files: Mapping[str, Digest],
        content: Content,
        message: str,
    ) -> Committed:
        """A commit that is a version, with the lineage that its card claims, or that the same weights had before."""
        id = commits.version_before(tx, head.id)
        before = None if id is None else versions.get(tx, id, caller)
        same = before if before is not None and has_same_weights(before, content) else None
        standing = Standing()
        if same is not None:
            said_before = commits.get(tx, repository.id, same.commit, caller)
            card = {} if said_before is None else said_before.card
            standing = Standing(same.parents, tuple(claims(repository.kind, card)))
        read = self.lineage.read(tx, caller, repository, NewVersion(files, message=message), content, standing)
        draft = self.publishing.draft(tx, caller, repository, read.version, content)
        draft = replace(draft, edges=(*draft.edges, *read.kept))
        warnings = read.warnings
        if same is not None:
            went_in = [edge_to(parent) for parent in same.parents if parent.relation in contents]
            draft = with_contents(draft, went_in)
            draft = replace(draft, base_model=draft.base_model or same.base_model)
        elif before is not None and read.version.builds_on is None and read.version.initialized_from is None:
            warnings += silence(before)
        draft = with_contents(draft, commits.made_of(tx, repository.id, set(files.values())))
        if same is not None and same.is_exact_linear:
            draft = replace(draft, is_exact_linear=set(draft.edges) == {edge_to(parent) for parent in same.parents})
        number = self._number(tx, repository, content.card.get("version"))
        made = self.publishing.write(tx, caller, repository, number, draft)
        return Committed(repository.full_name, made.commit, made.number, warnings)

    def _number(self, tx: Connection, repository: Repository, said: object) -> VersionNumber | None:
        """The number that the card asks for, if it is one and free; None: the next one."""
        if not isinstance(said, str) or not VersionNumber.looks_like(said):
            return None
        number = VersionNumber.parse(said)
        return None if versions.is_taken(tx, repository.id, number) else number


def has_same_weights(version: Version, content: Content) -> bool:
    """Whether a version has these weights and this configuration, the weights at the same paths."""
    digests = {file.path: file.digest for file in version.files}
    same = all(digests.get(path) == digest for path, digest in content.weights.items())
    return same and content.config in digests.values()


def silence(before: Version) -> tuple[str, ...]:
    """The warning of what the version before builds on, if it does; parents that its reader may not read are not named."""
    parents = [parent for parent in before.parents if parent.relation is Relation.BUILDS_ON]
    if not parents:
        return ()
    names = [", ".join(parent.reference for parent in parents if parent.is_readable)]
    if not all(parent.is_readable for parent in parents):
        names.append("on something that you may not read")
    stood_on = " and ".join(filter(None, names)).removeprefix("on ")
    return (f"{before.reference} builds on {stood_on}; the card says nothing of what this one builds on",)


def remove(entry: Removed, head: Commit, files: dict[str, Digest]) -> None:
    """Raises: EntryNotFound."""
    path = entry.path.strip("/")
    below = [found for found in files if found.startswith(f"{path}/")] if entry.is_folder else []
    gone = below or ([path] if path in files else [])
    if not gone:
        raise EntryNotFound(entry.path, head.id)
    for found in gone:
        del files[found]
