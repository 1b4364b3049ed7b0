"""Who may read what, as conditions of a query: deny by default, and one place to read the rule."""

from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Uuid, and_, any_, bindparam, exists, or_, select, true
from sqlalchemy.orm import aliased

from app.domain.caller import Caller
from app.lineage.tables import Repository, Version, VersionContent

Member = aliased(Version)
Holder = aliased(Repository)
"""Made once: an alias costs more than the condition that it stands in."""


def values_of(caller: Caller) -> dict[str, Any]:
    """What a prepared statement with these conditions is given for a caller of the same kind."""
    return {"own_namespaces": list(caller.roles)}


def can_read_repository(caller: Caller, repository: type[Repository] = Repository) -> ColumnElement[bool]:
    """Public to whom public means public, else members only."""
    if caller.is_admin:
        return true()
    own = repository.namespace_id == any_(bindparam("own_namespaces", list(caller.roles), ARRAY(Uuid)))
    if not caller.sees_public:
        return own
    return or_(repository.visibility == "public", own)


def can_read_version(
    caller: Caller, version: type[Version] = Version, repository: type[Repository] = Repository
) -> ColumnElement[bool]:
    """The repository, and everything in the contents: a merged model minus its base is the private adapter in it.

    Deletion changes no rights.
    """
    return and_(can_read_repository(caller, repository), can_read_contents(caller, version))


def can_hold_version(
    caller: Caller, version: type[Version] = Version, repository: type[Repository] = Repository
) -> ColumnElement[bool]:
    """Whether the caller may read what was made of a version: they may read it, or its owner opened its derivatives."""
    allowed = or_(repository.derivatives == "open", can_read_repository(caller, repository))
    return and_(allowed, can_read_contents(caller, version))


def can_read_commit(
    caller: Caller, version: type[Version], origin: type[Version], repository: type[Repository] = Repository
) -> ColumnElement[bool]:
    """The repository, which lives, and what the commit holds.

    Args:
        version: what the commit is, joined from outside: there may be none. A deleted one is no longer read.
        origin: the last version before a commit that is none, joined likewise: the commit may hold its files.
    """
    return and_(
        repository.deleted_at.is_(None),
        can_read_repository(caller, repository),
        or_(version.id.is_(None), version.state != "deleted"),
        can_read_contents(caller, version),
        can_read_contents(caller, origin),
    )


def can_read_contents(caller: Caller, version: type[Version]) -> ColumnElement[bool]:
    """Nothing in a version's contents is hidden from the caller, unless its owner opened its derivatives."""
    if caller.is_admin:
        return true()
    hidden = (
        select(VersionContent.member_id)
        .join(Member, Member.id == VersionContent.member_id)
        .join(Holder, Holder.id == Member.repository_id)
        .where(
            VersionContent.version_id == version.id,
            Holder.derivatives != "open",
            ~can_read_repository(caller, Holder),
        )
        # looked up for one version after the other: joined instead, everything hidden in the registry would be gathered first
        .offset(0)
    )
    return ~exists(hidden)
