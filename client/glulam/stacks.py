"""A stack in the registry: what it asks for, its locks, its proposals."""

from collections.abc import Iterator
from typing import Any

from glulam.connection import Connection
from glulam.merge import Merge
from glulam.recipes import Layers, layers_of, recipe_of, repository_path
from glulam.values import Json


class Stack:
    """`ns/name`. Locks and proposals are the registry's JSON as it is."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._path = repository_path(name).replace("/repositories/", "/stacks/", 1)
        self.name = name

    def __repr__(self) -> str:
        return f"<Stack {self.name}>"

    def put(
        self,
        layers: Layers,
        *,
        method: str | Json | None = None,
        output: Json | None = None,
        overlaps: str | None = None,
        ancestors: str | None = None,
        update: str | None = None,
        visibility: str | None = None,
    ) -> Json:
        """Define the stack, and make its repository if need be. A layer is `ns/name`, or `ns/name@` and a range, a version or an
        alias; `update` is `auto`, `propose` or `pin`."""
        body: dict[str, Any] = recipe_of(layers, method, output, None, overlaps, ancestors)
        body |= {"layers": layers_of(layers), "update": update, "visibility": visibility}
        answer: Json = self._connection.put(
            self._path, {key: value for key, value in body.items() if value is not None}
        )
        return answer

    def show(self) -> Json:
        """What it asks for, with its last lock."""
        answer: Json = self._connection.get(self._path)
        return answer

    def lock(self) -> Json:
        """Resolve it now. Returns: the new lock, or the last one if nothing changed. Raises: PlanRefused."""
        answer: Json = self._connection.post(f"{self._path}/lock", {})
        return answer

    def locks(self, limit: int | None = 50) -> Iterator[Json]:
        """Newest first."""
        return iter(self._connection.listed(f"{self._path}/locks", limit=limit))

    def lock_of(self, number: int | None = None) -> Json:
        """A lock by its number, else the last one. Raises: NotFound."""
        if number is not None:
            answer: Json = self._connection.get(f"{self._path}/locks/{number}")
            return answer
        last: Json | None = self.show()["lock"]
        # the registry's own words for what is not there
        return last if last is not None else self.lock_of(1)

    def difference(self, first: int, second: int) -> Json:
        """What changed from one lock to another."""
        answer: Json = self._connection.get(f"{self._path}/locks/{first}...{second}")
        return answer

    def rollback(self, number: int) -> Json:
        """A new lock with the outcome of an earlier one."""
        answer: Json = self._connection.post(f"{self._path}/rollback", {"lock": number})
        return answer

    def merge(self, number: int | None = None) -> Merge:
        """Merge a lock, the last one unless said; for who may write the stack, into its version. Raises: PlanRefused, NotFound."""
        lock = self.lock_of(number)
        return Merge(self._connection, self._connection.post(f"{self._path}/locks/{lock['number']}/merge", {}))

    def proposals(self, state: str | None = "open") -> list[Json]:
        """Newest first; `state` None is all of them."""
        return list(self._connection.listed(f"{self._path}/proposals", {"state": state}))

    def accept(self, number: int) -> Json:
        """Returns: the lock that a proposal became."""
        answer: Json = self._connection.post(f"{self._path}/proposals/{number}/accept", {})
        return answer

    def reject(self, number: int) -> None:
        self._connection.request("POST", f"{self._path}/proposals/{number}/reject")
