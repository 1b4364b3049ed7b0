"""Repositories: made, found, changed, moved, deleted, reopened; and the other names of base models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.event import EventType
from app.domain.lineage import Kind
from app.domain.names import RepositoryName, check_name, key_of
from app.domain.repository import Derivatives, Namespace, Repository, Visibility
from app.errors import Forbidden, NameExists, NameTaken, NotFound
from app.lineage import accounts, audit, commits, events, idempotency, repositories, searching, stacks
from app.lineage.codec import dump_base
from app.lineage.engine import Connection, Database
from app.lineage.searching import Search
from app.services import finding
from app.services.holding import Holding

owners_fields = frozenset({"visibility", "derivatives", "on_recall"})
"""What writers may not change."""


@dataclass(frozen=True, slots=True)
class NewRepository:
    name: RepositoryName
    kind: Kind | None = None
    """None: nothing was said, which is an adapter, or of a repository that is opened again, what it was."""
    base_model: BaseModel | None = None
    description: str | None = None
    license: str | None = None
    tags: tuple[str, ...] = ()
    visibility: Visibility | None = None
    """None: the default of this registry, or of a repository that is opened again, what it was."""
    derivatives: Derivatives | None = None
    """None: `inherit`, or what it was."""


@dataclass(frozen=True, slots=True)
class RepositoryChange:
    """What a PATCH asks; only what is in `values` changes. A new namespace or name moves the repository."""

    values: dict[str, Any] = field(default_factory=dict)
    namespace: str | None = None
    name: str | None = None


class Registering:
    def __init__(self, database: Database, holding: Holding, *, default_visibility: Visibility) -> None:
        self.database = database
        self.holding = holding
        self.default_visibility = default_visibility

    def create(self, caller: Caller, new: NewRepository) -> Repository:
        """A new repository, or the owner's deleted one opened again: same uuid, its numbers stay used.

        Raises: InvalidName, NotFound (namespace), Forbidden, NameExists, NameTaken.
        """
        with self.database.begin() as tx:
            if idempotency.made(tx, caller) is not None:
                return finding.repository(tx, new.name, caller)
            return self.make(tx, caller, new)

    def make(self, tx: Connection, caller: Caller, new: NewRepository) -> Repository:
        """As `create`, in the caller's transaction."""
        namespace = accounts.find_namespace(tx, new.name.namespace)
        if namespace is None:
            raise NotFound(new.name.namespace, "/namespace")
        if not caller.may_write(namespace.id):
            raise self._refusal(tx, caller, new.name, namespace.name)
        if not accounts.lock_namespace(tx, namespace.id):
            raise NotFound(new.name.namespace, "/namespace")
        values = {
            "kind": (new.kind or Kind.ADAPTER).value,
            "visibility": (new.visibility or self.default_visibility).value,
            "derivatives": (new.derivatives or Derivatives.INHERIT).value,
            "base_model": dump_base(new.base_model),
            "description": new.description,
            "license": new.license,
            "tags": list(new.tags),
            "created_by": caller.user,
        }
        id = uuid4()
        holder = repositories.occupant(tx, namespace.id, new.name.name)
        if holder is None:
            if not repositories.insert_repository(tx, id, namespace.id, check_name(new.name.name), values):
                raise NameExists(str(new.name))
            commits.begin(tx, id, caller.user, caller.name or "")
            idempotency.note(tx, caller, str(id))
            audit.record(tx, caller, "repository.created", str(new.name), namespace=namespace.id, repository=str(id))
            return repositories.get(tx, id)
        id, is_deleted = holder
        if not is_deleted:
            raise NameExists(str(new.name))
        if not caller.may_own(namespace.id):
            raise NameTaken(str(new.name))
        if new.kind not in {None, repositories.get(tx, id).kind}:
            raise NameExists(str(new.name))
        # a default must not open what was private when it was deleted
        kept = {"kind", "created_by"} | {
            field for field in ("visibility", "derivatives") if getattr(new, field) is None
        }
        values = {field: value for field, value in values.items() if field not in kept}
        repositories.change(tx, id, {**values, "deleted_at": None})
        idempotency.note(tx, caller, str(id))
        opened = repositories.get(tx, id)
        events.record(tx, EventType.REPOSITORY_CHANGED, id)
        audit.record(
            tx,
            caller,
            "repository.reopened",
            opened.full_name,
            namespace=namespace.id,
            repository=str(id),
            fields=sorted(values),
            visibility=opened.visibility.value,
            derivatives=opened.derivatives.value,
        )
        return opened

    def _refusal(self, tx: Connection, caller: Caller, name: RepositoryName, namespace: str) -> Forbidden | NameTaken:
        """To those who could read a deleted repository its name is taken; everybody else only lacks the right."""
        found = repositories.find(tx, name, caller)
        if found is not None and found.deleted_at is not None:
            return NameTaken(found.full_name)
        return Forbidden("write to", namespace)

    def get(self, caller: Caller, name: RepositoryName) -> Repository:
        """Raises: NotFound, Deleted."""
        with self.database.read() as tx:
            return finding.repository(tx, name, caller)

    def search(
        self,
        caller: Caller,
        *,
        q: str | None,
        kind: Kind | None,
        namespace: str | None,
        base_model: str | None,
        tag: Sequence[str],
        license: str | None,
        sort: str,
        after: tuple[datetime | str, UUID] | None,
        limit: int,
    ) -> list[Repository]:
        """Living repositories that the caller may read; `base_model` is found by every name that the registry knows it by."""
        with self.database.read() as tx:
            wanted = Search(
                q,
                None if kind is None else kind.value,
                namespace,
                names_of_base(tx, base_model),
                tuple(tag),
                license,
            )
            found = searching.find(tx, wanted, caller, sort=sort, after=after, limit=limit)
            return [repository for repository, _ in found]

    def change(self, caller: Caller, name: RepositoryName, change: RepositoryChange) -> Repository:
        """Description, licence, tags and base model by writers; visibility, derivatives and the name by owners.

        Raises: NotFound, Deleted, Forbidden, NameExists, InvalidName, QuotaExceeded.
        """
        with self.database.begin() as tx:
            found = finding.writable(tx, name, caller)
            moves = change.namespace is not None or change.name is not None
            target = self._target(tx, caller, change.namespace or found.namespace) if moves else None
            found = finding.locked(tx, found, caller, to_move=moves)
            is_owners = moves or not owners_fields.isdisjoint(change.values)
            if is_owners and not caller.may_own(found.namespace_id):
                raise Forbidden("own", found.full_name)
            if change.values:
                repositories.change(tx, found.id, change.values)
            if target is not None:
                self._move(tx, found, target, check_name(change.name or found.name))
                if target.id != found.namespace_id:
                    self.holding.claim_room(tx, target.id)
            changed = repositories.get(tx, found.id)
            fields = sorted(change.values)
            details = {"fields": fields, "from": found.full_name} if moves else {"fields": fields}
            events.record(tx, EventType.REPOSITORY_CHANGED, changed.id)
            audit.record(tx, caller, "repository.changed", changed.full_name, namespace=changed.namespace_id, **details)
            return changed

    def _target(self, tx: Connection, caller: Caller, name: str) -> Namespace:
        """The namespace that a repository is to stand in, locked."""
        target = accounts.find_namespace(tx, name)
        if target is not None and not caller.may_own(target.id):
            raise Forbidden("own", target.name)
        if target is None or not accounts.lock_namespace(tx, target.id):
            raise NotFound(name, "/namespace")
        return target

    def _move(self, tx: Connection, found: Repository, target: Namespace, name: str) -> None:
        same_place = (target.id, key_of(name)) == (found.namespace_id, key_of(found.name))
        if not same_place:
            # back to a name of its own, which its redirect holds
            repositories.drop_redirect(tx, target.id, name, found.id)
            if repositories.occupant(tx, target.id, name) is not None:
                raise NameExists(f"{target.name}/{name}")
        repositories.move(tx, found, target.id, name)

    def delete(self, caller: Caller, name: RepositoryName) -> None:
        """Leaves a tombstone: the name is never free for anybody else. Deleting twice is one deletion.

        Raises: NotFound, Forbidden.
        """
        with self.database.begin() as tx:
            found = repositories.find(tx, name, caller)
            if found is None:
                raise NotFound(str(name))
            held = repositories.lock(tx, found.id)
            if not caller.may_own(held.namespace_id):
                raise Forbidden("delete", found.full_name)
            if held.deleted_at is None:
                repositories.mark_deleted(tx, held.id)
                audit.record(tx, caller, "repository.deleted", held.full_name, namespace=held.namespace_id)
                events.record(tx, EventType.REPOSITORY_CHANGED, held.id)

    def base_model_aliases(self) -> list[tuple[str, str, datetime]]:
        """(name, canonical name, when), by name."""
        with self.database.read() as tx:
            return repositories.list_base_model_aliases(tx)

    def set_base_model_alias(self, caller: Caller, name: str, canonical: str) -> None:
        """From now on both names are one base model. Raises: Forbidden."""
        if not caller.is_admin:
            raise Forbidden("name base models of", "this registry")
        with self.database.begin() as tx:
            # a chain of aliases would make equality depend on the order of look-ups
            final = repositories.base_model_aliases(tx).get(canonical.lower(), canonical)
            repositories.set_base_model_alias(tx, name, final)
            stacks.follow_all(tx)
            audit.record(tx, caller, "base_model_alias.set", name, canonical=final)

    def remove_base_model_alias(self, caller: Caller, name: str) -> None:
        """Raises: Forbidden, NotFound."""
        if not caller.is_admin:
            raise Forbidden("name base models of", "this registry")
        with self.database.begin() as tx:
            if not repositories.remove_base_model_alias(tx, name):
                raise NotFound(name)
            stacks.follow_all(tx)
            audit.record(tx, caller, "base_model_alias.removed", name)


def names_of_base(tx: Connection, name: str | None) -> tuple[str, ...]:
    """Every name that the registry knows a base model by, in lower case; none for None."""
    if name is None:
        return ()
    aliases = repositories.base_model_aliases(tx)
    canonical = aliases.get(name.lower(), name).lower()
    return (canonical, *(other for other, target in aliases.items() if target.lower() == canonical))
