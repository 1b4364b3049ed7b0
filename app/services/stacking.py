"""Stacks, as their makers and readers see them: defined, resolved into locks, compared, rolled back, merged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from app.domain.caller import Caller, Scope
from app.domain.event import EventType
from app.domain.lineage import Kind
from app.domain.names import RepositoryName
from app.domain.recipe import Ancestors, Layer, Method, Output, OutputKind, Overlaps, Publish, Recipe
from app.domain.repository import Repository, Visibility
from app.domain.stack import Because, Definition, Lock, Outcome, Requirement, Stack, StackLayer, Update
from app.errors import (
    InvalidName,
    InvalidRange,
    InvalidReference,
    MalformedRequest,
    NotAnAdapter,
    NotFound,
    NotStack,
    RegistryError,
    Unresolvable,
)
from app.lineage import accounts, audit, events, graph, recalls, repositories, stacks, versions
from app.lineage.engine import Connection, Database
from app.merge.methods import methods
from app.merge.resolving import OpenLayer, newest
from app.services import finding
from app.services.masking import mask_for, masked
from app.services.merging import MergeView, Merging
from app.services.registering import NewRepository, Registering
from app.services.results import described
from app.services.stack_views import (
    LockDifference,
    LockView,
    StackView,
    layer_json,
    layers_seen,
    outcome_seen,
)


@dataclass(frozen=True, slots=True)
class LayerAsked:
    adapter: str
    """`ns/name`, or `ns/name@` and a range, a version, an alias or a digest."""
    range: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class StackAsked:
    """What a PUT says."""

    layers: tuple[LayerAsked, ...]
    method: Method
    output: Output
    overlaps: Overlaps
    ancestors: Ancestors
    update: Update
    visibility: Visibility | None = None
    """Of a stack that is made by this."""


class Stacking:
    def __init__(self, database: Database, registering: Registering, merging: Merging) -> None:
        self.database = database
        self.registering = registering
        self.merging = merging

    # -- definitions --

    def put(self, caller: Caller, name: RepositoryName, asked: StackAsked) -> tuple[StackView, bool]:
        """Define a stack; its repository is made if need be. Returns: it, and whether it is new.

        Raises: NotFound, Deleted, Forbidden, NotStack, InvalidRange, NotAnAdapter with a pointer, MalformedRequest.
        """
        if asked.output.kind is OutputKind.MODEL:
            # its versions stand wherever an adapter may; who wants a model merges one of them into it
            raise MalformedRequest("a stack's locks are merged into adapters", pointer="/output/kind")
        with self.database.begin() as tx:
            stacks.lock_definitions(tx)
            repository = repositories.find(tx, name, caller)
            is_new = repository is None or repository.deleted_at is not None
            if repository is None or is_new:
                new = NewRepository(name, kind=Kind.STACK, visibility=asked.visibility)
                repository = self.registering.make(tx, caller, new)
            repository = finding.locked(tx, finding.writable(tx, name, caller), caller)
            if repository.kind is not Kind.STACK:
                raise NotStack(repository.full_name)
            layers = tuple(
                self._layer(tx, caller, repository, layer, place) for place, layer in enumerate(asked.layers)
            )
            definition = Definition(layers, asked.method, asked.output, asked.overlaps, asked.ancestors)
            stacks.put(tx, repository.id, definition, asked.update, caller.user)
            stacks.note_inputs(tx, repository.id, {layer.repository for layer in layers})
            audit.record(
                tx, caller, "stack.defined", repository.full_name, namespace=repository.namespace_id, layers=len(layers)
            )
            # whoever follows a stack follows what it asks for
            events.record(tx, EventType.REPOSITORY_CHANGED, repository.id)
            stacks.follow(tx, repository.id)
            return self._view(tx, caller, repository), is_new

    def _layer(self, tx: Connection, caller: Caller, stack: Repository, asked: LayerAsked, place: int) -> StackLayer:
        pointer = f"/layers/{place}/adapter"
        name, at, selector = asked.adapter.partition("@")
        if at and asked.range is not None:
            raise MalformedRequest("a layer has a range, or an @ with what it means", pointer=f"/layers/{place}/range")
        try:
            wanted = Requirement.parse(selector if at else asked.range or "")
        except InvalidRange as error:
            raise InvalidRange(
                error.facts["range"], error.facts["reason"], pointer if at else f"/layers/{place}/range"
            ) from error
        try:
            found = finding.repository(tx, RepositoryName.parse(name), caller, pointer)
        except InvalidName as error:
            raise InvalidReference(asked.adapter, error.facts["reason"], pointer) from error
        if found.kind is Kind.MODEL:
            raise NotAnAdapter(found.full_name, pointer)
        if stack.id in stacks.below(tx, found.id):
            raise MalformedRequest(f"{found.full_name} follows this stack itself", pointer=pointer)
        return StackLayer(found.id, wanted.text, asked.weight)

    def get(self, caller: Caller, name: RepositoryName) -> StackView:
        """Raises: NotFound, Deleted, NotStack."""
        with self.database.read() as tx:
            repository, _ = self.found(tx, caller, name)
            return self._view(tx, caller, repository)

    def found(self, tx: Connection, caller: Caller, name: RepositoryName) -> tuple[Repository, Stack]:
        """A stack that the caller may read. Raises: NotFound, Deleted, NotStack."""
        repository = finding.repository(tx, name, caller)
        if repository.kind is not Kind.STACK:
            raise NotStack(repository.full_name)
        stack = stacks.find(tx, repository.id)
        if stack is None:
            raise NotFound(f"what {repository.full_name} asks for")
        return repository, stack

    def changeable(self, tx: Connection, caller: Caller, name: RepositoryName) -> tuple[Repository, Stack]:
        """A stack that the caller may write to, locked. Raises: NotFound, Deleted, Forbidden, NotStack."""
        recalls.hold_lineage(tx)
        finding.locked(tx, finding.writable(tx, name, caller), caller)
        return self.found(tx, caller, name)

    def _view(self, tx: Connection, caller: Caller, repository: Repository) -> StackView:
        stack = stacks.find(tx, repository.id)
        if stack is None:
            raise NotFound(repository.full_name)
        problem = stack.problem
        if problem is not None and not (caller.is_admin or caller.user_id == stack.maintainer):
            problem = {"name": problem["name"], "detail": None, "facts": {}}
        last = stacks.lock(tx, repository.id)
        return StackView(
            repository,
            stack,
            layers_seen(tx, caller, stack.definition.layers),
            problem,
            None if last is None else self.lock_view(tx, caller, repository, last),
        )

    # -- locks --

    def lock(self, caller: Caller, name: RepositoryName) -> tuple[LockView, bool]:
        """Resolve a stack; a new lock if the outcome is not that of the last one. Returns: the lock, and whether it is new.

        Raises: NotFound, Deleted, Forbidden, NotStack, Unresolvable, PlanTooLarge.
        """
        with self.database.begin() as tx:
            repository, stack = self.changeable(tx, caller, name)
            outcome = self.outcome(tx, stack, told_to=caller)
            stacks.note_resolution(tx, repository.id, outcome.digest, None)
            last = stacks.lock(tx, repository.id)
            is_new = last is None or last.digest != outcome.digest
            stacks.withdraw_proposals(tx, repository.id)
            if last is None or is_new:
                last = self.write_lock(tx, caller, repository, stack, outcome, Because.LOCK)
            return self.lock_view(tx, caller, repository, last), is_new

    def outcome(self, tx: Connection, stack: Stack, told_to: Caller) -> Outcome:
        """What a stack comes to now, with the rights of its maintainer; a refusal is told in the names that `told_to` may see.

        Raises: Unresolvable, PlanTooLarge.
        """
        maintainer = accounts.caller_of_user(tx, stack.maintainer)
        definition = stack.definition
        open_layers = [
            OpenLayer(
                tuple(stacks.candidates(tx, layer.repository, Requirement.parse(layer.requirement), maintainer)),
                layer.weight,
                f"layer {place}",
            )
            for place, layer in enumerate(definition.layers)
        ]
        everything = [version for layer in open_layers for version in layer.candidates]
        catalogue = graph.catalogue(tx, everything, maintainer)
        looked_at = {layer.repository for layer in definition.layers}
        looked_at |= stacks.held_in(tx, looked_at) | {entry.repository for entry in catalogue.values()}
        stacks.note_inputs(tx, stack.repository, looked_at)
        with self._told(tx, told_to, definition.layers):
            resolution = newest(
                open_layers,
                catalogue,
                repositories.base_model_aliases(tx),
                linear=methods[definition.method.name].is_sum,
                overlaps=definition.overlaps,
                ancestors=definition.ancestors,
            )
        recipe = Recipe(
            layers=tuple(
                Layer(f"{catalogue[branch.version].repository_name}@{branch.digest}", branch.weight)
                for branch in resolution.branches
            ),
            method=definition.method,
            output=definition.output,
            overlaps=definition.overlaps,
            ancestors=definition.ancestors,
        )
        return Outcome(definition.layers, recipe, resolution)

    @contextmanager
    def _told(self, tx: Connection, caller: Caller, layers: Sequence[StackLayer]) -> Iterator[None]:
        """A refusal that leaves this context names layers and versions as the caller may see them."""
        try:
            with masked(tx, caller):
                yield
        except Unresolvable as error:
            seen = layers_seen(tx, caller, layers)
            error.facts["conflict"] = [
                {"layer": entry["layer"], **layer_json(seen[entry["layer"]])} for entry in error.facts["conflict"]
            ]
            raise

    def write_lock(
        self, tx: Connection, caller: Caller, repository: Repository, stack: Stack, outcome: Outcome, because: Because
    ) -> Lock:
        """The next lock of a stack, under its repository's lock; merged at once if the stack says so."""
        number = stacks.insert_lock(tx, repository.id, outcome, because, caller.user)
        audit.record(
            tx,
            caller,
            "lock.created",
            f"{repository.full_name} lock {number}",
            namespace=repository.namespace_id,
            because=because.value,
            digest=outcome.digest,
        )
        events.record(tx, EventType.LOCK_CREATED, repository.id, lock=number, because=because.value)
        written = stacks.lock(tx, repository.id, number)
        if written is None:
            raise NotFound(f"lock {number}")
        problem = self.merge_if_due(tx, repository, stack, written)
        if problem is not None:
            stacks.note_problem(tx, repository.id, problem)
        return written

    def merge_if_due(
        self, tx: Connection, repository: Repository, stack: Stack, lock: Lock | None
    ) -> dict[str, Any] | None:
        """Have a stack's last lock merged with its maintainer's rights, if it is to be and nobody has asked for it.

        Returns: what is in the way, as a problem is kept. The lock stands: it is merged when the obstacle is gone.
        """
        if lock is None or not (stack.update is Update.AUTO or lock.because is Because.PROPOSAL):
            return None
        if stacks.is_merged_or_will_be(tx, lock):
            return None
        maintainer = accounts.caller_of_user(tx, stack.maintainer)
        try:
            with tx.begin_nested():
                self._request_merge(tx, maintainer, repository, lock)
        except RegistryError as error:
            return described(error)
        return None

    def locks(self, caller: Caller, name: RepositoryName, before: int | None, limit: int) -> list[LockView]:
        """Newest first. Raises: NotFound, Deleted, NotStack."""
        with self.database.read() as tx:
            repository, _ = self.found(tx, caller, name)
            found = stacks.list_locks(tx, repository.id, before, limit)
            return [self.lock_view(tx, caller, repository, lock) for lock in found]

    def get_lock(self, caller: Caller, name: RepositoryName, number: int) -> LockView:
        """Raises: NotFound, Deleted, NotStack."""
        with self.database.read() as tx:
            repository, _ = self.found(tx, caller, name)
            return self.lock_view(tx, caller, repository, self.numbered(tx, repository, number))

    def difference(self, caller: Caller, name: RepositoryName, first: int, second: int) -> LockDifference:
        """Raises: NotFound, Deleted, NotStack."""
        with self.database.read() as tx:
            repository, _ = self.found(tx, caller, name)
            views = [
                self.lock_view(tx, caller, repository, self.numbered(tx, repository, number))
                for number in (first, second)
            ]
            # one hidden version has one name on both sides
            both = {version for view in views for version in view.lock.outcome.versions}
            mask = mask_for(tx, both, caller)
            views = [LockView(repository, view.lock, replace(view.seen, mask=mask), view.merged) for view in views]
            return LockDifference(*views)

    def numbered(self, tx: Connection, repository: Repository, number: int) -> Lock:
        """Raises: NotFound."""
        found = stacks.lock(tx, repository.id, number)
        if found is None:
            raise NotFound(f"lock {number} of {repository.full_name}")
        return found

    def rollback(self, caller: Caller, name: RepositoryName, number: int) -> LockView:
        """A new lock with an earlier one's outcome. It stays until upstreams come to an outcome that is neither this nor
        the one that was left.

        Raises: NotFound, Deleted, Forbidden, NotStack.
        """
        with self.database.begin() as tx:
            repository, stack = self.changeable(tx, caller, name)
            target = self.numbered(tx, repository, number)
            stacks.withdraw_proposals(tx, repository.id)
            written = self.write_lock(tx, caller, repository, stack, target.outcome, Because.ROLLBACK)
            return self.lock_view(tx, caller, repository, written)

    def merge(self, caller: Caller, name: RepositoryName, number: int) -> MergeView:
        """Merge a lock with the caller's rights: as the stack's version where the caller may write that, else for the caller alone.

        Raises: NotFound, also for a lock with a layer that the caller may not read; Deleted, NotStack, every RefusedPlan.
        """
        with self.database.begin() as tx:
            repository, _ = self.found(tx, caller, name)
            lock = self.numbered(tx, repository, number)
            branches = {branch.version for branch in lock.outcome.resolution.branches}
            if not branches <= outcome_seen(tx, caller, lock.outcome).mask.readable:
                # planning would refuse a layer in the words of the lock's recipe, and these name what is hidden
                raise NotFound(f"lock {number} of {repository.full_name}")
            return self._request_merge(tx, caller, repository, lock)

    def _request_merge(self, tx: Connection, caller: Caller, repository: Repository, lock: Lock) -> MergeView:
        recipe, target = lock.outcome.recipe, None
        may_publish = Scope.WRITE in caller.scopes and caller.may_write(repository.namespace_id)
        # a number is used once: of a lock whose version was deleted there is no other, and its merge is the caller's own
        if may_publish and not versions.is_taken(tx, repository.id, lock.version):
            target = repository
            recipe = Recipe(
                layers=recipe.layers,
                method=recipe.method,
                output=recipe.output,
                overlaps=recipe.overlaps,
                ancestors=recipe.ancestors,
                publish=Publish(repository.full_name, str(lock.version)),
            )
        return self.merging.request(tx, caller, uuid4(), recipe, stack=target)

    def lock_view(self, tx: Connection, caller: Caller, repository: Repository, lock: Lock) -> LockView:
        merged = None if lock.merged is None else versions.get(tx, lock.merged, caller)
        return LockView(repository, lock, outcome_seen(tx, caller, lock.outcome), merged)
