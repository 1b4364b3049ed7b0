"""Browsing: commits with their files, branches and tags, and history; what clients of the Hub read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.caller import Caller
from app.domain.commit import Commit
from app.domain.names import RepositoryName
from app.domain.repository import Repository
from app.domain.version import File
from app.errors import EntryNotFound, RevisionNotFound
from app.lineage import aliases, commits, history, versions
from app.lineage.commits import Ref
from app.lineage.engine import Connection, Database
from app.services import finding, revisions
from app.services.registering import Registering

most_tags = 1_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository at one commit."""

    repository: Repository
    commit: Commit
    files: tuple[File, ...]

    def file(self, path: str) -> File:
        """Raises: EntryNotFound."""
        for file in self.files:
            if file.path == path:
                return file
        raise EntryNotFound(path, self.commit.id)

    def below(self, folder: str) -> tuple[File, ...]:
        """The files in a folder, however deep; all of them where it is empty. Raises: EntryNotFound."""
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        found = tuple(file for file in self.files if file.path.startswith(prefix))
        if prefix and not found:
            raise EntryNotFound(folder, self.commit.id)
        return found


class Browsing:
    def __init__(self, database: Database, registering: Registering) -> None:
        self.database = database
        self.registering = registering

    def at(self, caller: Caller, name: RepositoryName, revision: str) -> Snapshot:
        """Raises: NotFound, Deleted, RevisionNotFound."""
        with self.database.read() as tx:
            return self._at(tx, caller, name, revision)

    def _at(self, tx: Connection, caller: Caller, name: RepositoryName, revision: str) -> Snapshot:
        repository, commit = revisions.commit_at(tx, name, revision, caller)
        return Snapshot(repository, commit, commits.files_of(tx, commit.tree))

    def seen(
        self, caller: Caller, name: RepositoryName, revision: str, *, expand: bool
    ) -> tuple[Snapshot, dict[str, Commit]]:
        """And, to `expand`, for each path the last commit that changed its file. Raises: as `at`."""
        with self.database.read() as tx:
            snapshot = self._at(tx, caller, name, revision)
            repository, commit = snapshot.repository.id, snapshot.commit.id
            paths = [file.path for file in snapshot.files] if expand else []
            return snapshot, history.last_changes(tx, repository, commit, caller, paths) if paths else {}

    def history(
        self, caller: Caller, name: RepositoryName, revision: str, start: str | None, limit: int
    ) -> tuple[list[Commit], str | None]:
        """Newest first, from `start` on, and where the next page starts. Raises: NotFound, Deleted, RevisionNotFound."""
        with self.database.read() as tx:
            repository, commit = revisions.commit_at(tx, name, revision, caller)
            return history.page(tx, repository.id, start or commit.id, caller, limit)

    def refs(self, caller: Caller, name: RepositoryName) -> tuple[list[Ref], list[Ref]]:
        """Branches, and as tags the published versions' numbers and the aliases. Raises: NotFound, Deleted."""
        with self.database.read() as tx:
            repository = finding.repository(tx, name, caller)
            heads = [
                Ref(ref.name, head.id)
                for ref in commits.refs(tx, repository.id)
                if (head := history.at_ref(tx, repository.id, ref.name, caller)) is not None
            ]
            numbered = versions.list_versions(tx, repository.id, caller, None, most_tags)
            tags = [Ref(str(version.number), version.commit) for version in numbered]
            at = {version.number: version.commit for version in numbered}
            tags += [
                Ref(alias.name, at[alias.number])
                for alias in aliases.list_aliases(tx, repository.id, caller, None, most_tags)
                if alias.number is not None and alias.number in at
            ]
            return heads, tags

    def models(
        self,
        caller: Caller,
        *,
        q: str | None,
        namespace: str | None,
        tags: Sequence[str],
        sort: str,
        after: tuple[datetime | str, UUID] | None,
        limit: int,
        with_files: bool,
    ) -> list[tuple[Repository, Commit | None, tuple[File, ...]]]:
        """Repositories that the caller may read, each with its newest commit if they may read that too."""
        found = self.registering.search(
            caller,
            q=q,
            kind=None,
            namespace=namespace,
            base_model=None,
            tag=tags,
            license=None,
            sort=sort,
            after=after,
            limit=limit,
        )
        with self.database.read() as tx:
            heads: dict[UUID, Any] = history.heads(tx, [repository.id for repository in found], caller)
            return [
                (
                    repository,
                    heads.get(repository.id),
                    commits.files_of(tx, heads[repository.id].tree) if with_files and repository.id in heads else (),
                )
                for repository in found
            ]

    def check_writable(self, caller: Caller, name: RepositoryName, revision: str | None = None) -> Repository:
        """Raises: NotFound, Deleted, Forbidden, RevisionNotFound of a branch that is not there."""
        with self.database.read() as tx:
            repository = finding.writable(tx, name, caller)
            if revision is not None and history.at_ref(tx, repository.id, revision, caller) is None:
                raise RevisionNotFound(repository.full_name, revision)
            return repository
