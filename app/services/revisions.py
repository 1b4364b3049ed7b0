"""From a revision's name to a commit, as a caller may see it."""

import re

from app.domain.caller import Caller
from app.domain.commit import Commit
from app.domain.names import RepositoryName
from app.domain.reference import Selector, commit_id
from app.domain.repository import Repository
from app.errors import InvalidReference, RevisionNotFound
from app.lineage import commits, history, versions
from app.lineage.engine import Connection
from app.services import finding

abbreviated_id = re.compile(r"[0-9a-f]{7,39}")


def commit_at(tx: Connection, name: RepositoryName, revision: str, caller: Caller) -> tuple[Repository, Commit]:
    """What a branch, a version, an alias or a commit (also its beginning) leads to, in a living repository.

    Raises: NotFound, Deleted (the repository), RevisionNotFound.
    """
    repository = finding.repository(tx, name, caller)
    found = find(tx, repository, revision.removeprefix("refs/heads/").removeprefix("refs/tags/"), caller)
    if found is None:
        raise RevisionNotFound(repository.full_name, revision)
    return repository, found


def find(tx: Connection, repository: Repository, revision: str, caller: Caller) -> Commit | None:
    """None if there is none that the caller may read."""
    if commit_id.fullmatch(revision):
        return commits.get(tx, repository.id, revision, caller)
    at_branch = history.at_ref(tx, repository.id, revision, caller)
    if at_branch is not None:
        return at_branch
    try:
        version = versions.find(tx, repository.id, Selector.parse(revision), caller)
    except InvalidReference:
        version = None
    id = version.commit if version is not None else None
    if id is None and abbreviated_id.fullmatch(revision):
        id = commits.with_prefix(tx, repository.id, revision)
    return None if id is None else commits.get(tx, repository.id, id, caller)
