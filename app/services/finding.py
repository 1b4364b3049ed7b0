"""From names to things, as a caller may see them: absent and hidden look the same, deleted is told to those who could read."""

from app.domain.caller import Caller
from app.domain.lineage import VersionState
from app.domain.names import RepositoryName
from app.domain.reference import Reference, Selector
from app.domain.repository import Repository
from app.domain.version import Version
from app.errors import Deleted, Forbidden, NotFound
from app.lineage import repositories, versions
from app.lineage.engine import Connection


def repository(tx: Connection, name: RepositoryName, caller: Caller, pointer: str | None = None) -> Repository:
    """A living repository. Raises: NotFound, Deleted."""
    found = repositories.find(tx, name, caller)
    if found is None:
        raise NotFound(str(name), pointer)
    if found.deleted_at is not None:
        raise Deleted(found.full_name, pointer, deleted_at=found.deleted_at.isoformat(), kind=found.kind.value)
    return found


def writable(tx: Connection, name: RepositoryName, caller: Caller, pointer: str | None = None) -> Repository:
    """A living repository that the caller may write to. Raises: NotFound, Deleted, Forbidden, Unauthenticated."""
    found = repository(tx, name, caller, pointer)
    if not caller.may_write(found.namespace_id):
        raise Forbidden("write to", found.full_name)
    return found


def locked(tx: Connection, known: Repository, caller: Caller, *, to_move: bool = False) -> Repository:
    """A repository that the caller may write to, as it is once nobody else can change it until the transaction ends.

    Raises: Deleted, Forbidden, if it was deleted or moved away from the caller since it was found.
    """
    held = repositories.lock(tx, known.id, to_move=to_move)
    if held.deleted_at is not None:
        raise Deleted(known.full_name, deleted_at=held.deleted_at.isoformat(), kind=held.kind.value)
    if not caller.may_write(held.namespace_id):
        raise Forbidden("write to", known.full_name)
    return held


def version(tx: Connection, name: RepositoryName, selector: Selector, text: str, caller: Caller) -> Version:
    """A living version of a living repository. Raises: NotFound, Deleted."""
    return living(tombstone_or_version(tx, name, selector, text, caller), text)


def tombstone_or_version(
    tx: Connection,
    name: RepositoryName,
    selector: Selector,
    text: str,
    caller: Caller,
    pointer: str | None = None,
    *,
    to_delete: bool = False,
) -> Version:
    """A version, deleted or not, of a repository that lives; `to_delete`: those who may write it find it whatever it holds.

    Raises: NotFound, Deleted (the repository).
    """
    holder = repositories.find(tx, name, caller)
    found = None
    if holder is not None:
        is_writer = to_delete and caller.may_write(holder.namespace_id)
        found = versions.find(tx, holder.id, selector, caller, to_delete=is_writer)
    if holder is None or found is None:
        # a deleted repository is told of only where its version would have been
        if holder is not None and holder.deleted_at is not None:
            raise Deleted(holder.full_name, pointer, deleted_at=holder.deleted_at.isoformat(), kind=holder.kind.value)
        raise NotFound(text, pointer)
    if holder.deleted_at is not None:
        raise Deleted(found.reference, pointer, deleted_at=holder.deleted_at.isoformat(), digest=found.digest)
    return found


def living(found: Version, text: str, pointer: str | None = None) -> Version:
    """Raises: Deleted, with the tombstone's facts."""
    if found.state is VersionState.DELETED:
        deleted_at = None if found.deleted_at is None else found.deleted_at.isoformat()
        raise Deleted(found.reference, pointer, deleted_at=deleted_at, digest=found.digest, asked=text)
    return found


def referenced(tx: Connection, text: str, caller: Caller, pointer: str) -> Version:
    """The living version that a reference names.

    Raises: InvalidReference, NotFound, Deleted, each with the JSON pointer to where the reference stood.
    """
    reference = Reference.parse(text, pointer)
    found = tombstone_or_version(tx, reference.repository, reference.selector, text, caller, pointer)
    return living(found, text, pointer)
