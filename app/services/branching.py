"""Branches and tags: other lines of a repository's history, and names of its versions."""

from app.domain.caller import Caller
from app.domain.commit import Commit
from app.domain.names import RepositoryName, check_branch
from app.domain.number import VersionNumber
from app.domain.repository import Repository
from app.errors import Forbidden, NameExists, RevisionNotFound, VersionExists
from app.lineage import aliases, audit, commits
from app.lineage.engine import Connection, Database
from app.services import finding, revisions
from app.services.aliasing import Aliasing


class Branching:
    def __init__(self, database: Database, aliasing: Aliasing) -> None:
        self.database = database
        self.aliasing = aliasing

    def begin(self, caller: Caller, name: RepositoryName, branch: str, start: str) -> None:
        """Raises: InvalidName, NameExists, NotFound, Deleted, Forbidden, RevisionNotFound."""
        check_branch(branch)
        with self.database.begin() as tx:
            repository = finding.locked(tx, finding.writable(tx, name, caller), caller)
            _, commit = revisions.commit_at(tx, name, start, caller)
            is_alias = aliases.target(tx, repository.id, branch) is not None
            if is_alias or commits.head(tx, repository.id, branch) is not None:
                raise NameExists(f"{repository.full_name}@{branch}")
            commits.move_ref(tx, repository.id, commit.id, branch)
            self._record(tx, caller, "branch.made", repository, branch, commit)

    def end(self, caller: Caller, name: RepositoryName, branch: str) -> None:
        """Raises: NotFound, Deleted, Forbidden (`main`), RevisionNotFound."""
        with self.database.begin() as tx:
            repository = finding.locked(tx, finding.writable(tx, name, caller), caller)
            if branch == commits.main:
                raise Forbidden("delete main of", repository.full_name)
            if not commits.drop_ref(tx, repository.id, branch):
                raise RevisionNotFound(repository.full_name, branch)
            self._record(tx, caller, "branch.deleted", repository, branch, None)

    def tag(self, caller: Caller, name: RepositoryName, tag: str, revision: str) -> None:
        """A version's own number is its tag already; any other tag is an alias of the version that the revision is.

        Raises: InvalidName, NameExists, VersionExists, NotFound, Deleted, Forbidden, RevisionNotFound.
        """
        with self.database.read() as tx:
            finding.writable(tx, name, caller)
            repository, commit = revisions.commit_at(tx, name, revision, caller)
        if commit.number is not None and tag == str(commit.number):
            return
        if VersionNumber.looks_like(tag):
            raise VersionExists(f"{repository.full_name}@{tag}")
        if commit.number is None:
            # a name of something that is not numbered would name nothing that stays
            raise RevisionNotFound(repository.full_name, f"{revision} as a version: a tag names versions alone")
        self.aliasing.point(caller, name, tag, str(commit.number), is_new=True)

    def untag(self, caller: Caller, name: RepositoryName, tag: str) -> None:
        """Raises: NotFound, Deleted, Forbidden (a version's own number), RevisionNotFound."""
        with self.database.read() as tx:
            repository = finding.writable(tx, name, caller)
            is_alias = aliases.target(tx, repository.id, tag) is not None
            is_version = VersionNumber.looks_like(tag) and revisions.find(tx, repository, tag, caller) is not None
        if is_version:
            raise Forbidden("remove the number of a version from", repository.full_name)
        if not is_alias:
            raise RevisionNotFound(repository.full_name, tag)
        self.aliasing.remove(caller, name, tag)

    def _record(
        self, tx: Connection, caller: Caller, action: str, repository: Repository, branch: str, commit: Commit | None
    ) -> None:
        subject = f"{repository.full_name}@{branch}"
        details = {} if commit is None else {"commit": commit.id}
        audit.record(tx, caller, action, subject, namespace=repository.namespace_id, **details)
