"""The registry, as Python sees it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from glulam.checking import Finding, check
from glulam.connection import Connection
from glulam.credentials import resolve
from glulam.downloads import download
from glulam.errors import Conflict, Gone, NotFound
from glulam.merge import Merge
from glulam.progress import Progress, silent
from glulam.recipes import Layers, quoted, recipe_of, repository_path, split_reference
from glulam.records import pulled_adapter, write_record
from glulam.stacks import Stack
from glulam.uploads import gather, upload
from glulam.values import Json, Lineage, Plan, Repository, Version

ParentReference = str | tuple[str, float] | Mapping[str, Any]
"""A reference, a reference and a weight, or `{"version", "weight"}`."""


class Registry:
    """A Glulam registry, and who asks it.

    Args:
        url: its address; else GLULAM_URL, else what `glulam login` kept, else http://127.0.0.1:8000.
        token: else GLULAM_TOKEN, else what `glulam login` kept for this address, else none: only what is public.
        transport: an httpx transport, for tests and for unusual networks.

    Every method raises Refused when the registry says no, and Unreachable when it does not answer.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        credentials = resolve(url, token)
        self.url = credentials.url
        self._connection = Connection(credentials.url, credentials.token, transport)

    def __repr__(self) -> str:
        return f"<Registry {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def whoami(self) -> Json:
        """The caller, as the registry knows it."""
        answer: Json = self._connection.get("/whoami")
        return answer

    # -- versions --

    def push(
        self,
        repository: str,
        content: str | Path | Mapping[str, str | Path] | Sequence[str | Path],
        *,
        version: str | None = None,
        builds_on: Iterable[ParentReference] | None = None,
        initialized_from: str | None = None,
        merged_from: Iterable[ParentReference] | None = None,
        base_model: str | Json | None = None,
        visibility: str | None = None,
        kind: str = "adapter",
        metrics: Json | None = None,
        datasets: Sequence[Json] | None = None,
        notes: str | None = None,
        message: str | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Publish a folder, or files, as a version; the repository is created if need be, with `kind` and `visibility`.

        An interrupted push is taken up where it stopped. `version` None lets the registry number it. `builds_on` None leaves
        the question to the registry, an empty list says: on nothing. A folder that an adapter was pulled into is a
        continuation of it (`initialized_from`), unless lineage is given here.
        """
        files = gather(content)
        if builds_on is None and initialized_from is None and merged_from is None and isinstance(content, str | Path):
            initialized_from = pulled_adapter(Path(content), self.url)
        self._ensure_repository(repository, kind, visibility, base_model)
        upload(self._connection, files, progress or silent)
        body = {
            "version": version,
            "files": {file.path: file.digest for file in files},
            "builds_on": None if builds_on is None else [parent_of(parent) for parent in builds_on],
            "initialized_from": initialized_from,
            "merged_from": None if merged_from is None else [parent_of(parent) for parent in merged_from],
            "base_model": base_model,
            "metrics": metrics,
            "datasets": datasets,
            "notes": notes,
            "message": message,
        }
        said = {key: value for key, value in body.items() if value is not None}
        return Version.from_json(self._connection.post(f"{repository_path(repository)}/versions", said))

    def pull(
        self, reference: str, to: str | Path, progress: Progress | None = None, *, accept_recalled: bool = False
    ) -> Path:
        """Bring a version's files into a folder, verified, with its record in `glulam.json`. Returns: the folder.

        An interrupted pull is taken up where it stopped. A stack without a version is its last lock, which is merged if nobody
        has. `accept_recalled`: an owner may have a recalled version all the same. Raises: DigestMismatch, Recalled.
        """
        if (unmerged := self._unmerged(reference)) is not None:
            return unmerged.wait(progress=progress).download(to, progress)
        version = self.version(reference)
        # by digest: an alias may move while the files come
        address = f"{repository_path(version.repository)}/versions/{version.digest}/files"
        query = "?accept_recalled=true" if accept_recalled else ""
        target = Path(to)
        download(
            self._connection, version.files, lambda path: f"{address}/{quoted(path)}{query}", target, progress or silent
        )
        write_record(target, self.url, "version", version.record)
        return target

    def _unmerged(self, reference: str) -> Merge | None:
        """The merge of a stack's last lock, where that is what is asked for and it is no version yet."""
        name, version = split_reference(reference)
        if version is not None or self._connection.get(repository_path(name))["kind"] != "stack":
            return None
        stack = self.stack(name)
        return stack.merge() if stack.lock_of()["version"] is None else None

    def version(self, reference: str) -> Version:
        """`ns/name@version`, `@alias`, `@sha256:…`; without @ the newest."""
        return Version.from_json(self._connection.get(self._version_path(reference)))

    def versions(self, repository: str, limit: int | None = None) -> list[Version]:
        """Of a repository, newest first."""
        listed = self._connection.listed(f"{repository_path(repository)}/versions", limit=limit)
        return [Version.from_json(body) for body in listed]

    def tensors(self, reference: str) -> list[Json]:
        """Per module: rank, alpha, scaling, dtype, shapes; read from the header, nothing is downloaded."""
        return list(self._connection.get(f"{self._version_path(reference)}/tensors")["items"])

    def lineage(self, reference: str, direction: str = "ancestors", depth: int | None = None) -> Lineage:
        """What a version came from (`ancestors`), what came from it (`descendants`), or `both`."""
        query = {"direction": direction, "depth": depth}
        return Lineage.from_json(self._connection.get(f"{self._version_path(reference)}/lineage", query))

    def delete(self, reference: str) -> None:
        """Delete a version (`ns/name@version`) or a whole repository (`ns/name`). A tombstone stays; nothing is reused."""
        repository, version = split_reference(reference)
        path = repository_path(repository)
        self._connection.delete(path if version is None else f"{path}/versions/{quoted(version)}")

    # -- repositories --

    def create_repository(self, repository: str, kind: str = "adapter", **fields: Any) -> Repository:
        """`fields`: base_model, description, license, tags, visibility, derivatives."""
        namespace, _, name = repository.partition("/")
        given = {key: value for key, value in fields.items() if value is not None}
        body = {"namespace": namespace, "name": name, "kind": kind, **given}
        return Repository.from_json(self._connection.post("/repositories", body))

    def search(self, text: str | None = None, *, limit: int | None = 50, **filters: Any) -> list[Repository]:
        """Repositories; `filters`: kind, namespace, base_model, tag, license, sort. `limit` None is all of them."""
        listed = self._connection.listed("/repositories", {"q": text, **filters}, limit)
        return [Repository.from_json(body) for body in listed]

    def alias(self, repository: str, alias: str, version: str) -> Version:
        """Let an alias name a version, `X.Y.Z` or a digest, from now on. Returns: that version."""
        path = f"{repository_path(repository)}/aliases/{quoted(alias)}"
        return Version.from_json(self._connection.put(path, {"version": version}))

    def aliases(self, repository: str) -> list[Json]:
        return list(self._connection.listed(f"{repository_path(repository)}/aliases"))

    # -- stacks and recalls --

    def stack(self, name: str) -> Stack:
        """A stack; nothing is asked of the registry yet."""
        return Stack(self._connection, name)

    def impact(self, reference: str, of: str = "descendants", limit: int | None = 200) -> Json:
        """What contains a version or stands on it: `counts`, and in `items` the first of what `of` names: descendants, stacks,
        locks, merges, aliases."""
        path, query = f"{self._version_path(reference)}/impact", {"of": of}
        first: Json = self._connection.get(path, {**query, "limit": 1})
        return {**first, "items": list(self._connection.listed(path, query, limit)), "next_cursor": None}

    def recall(self, reference: str, reason: str, severity: str = "high") -> Json:
        """Pull a version out, with all that holds it or stands on it."""
        answer: Json = self._connection.post("/recalls", {"version": reference, "reason": reason, "severity": severity})
        return answer

    def undo_recall(self, id: str) -> None:
        """Put everything back as it was."""
        self._connection.delete(f"/recalls/{quoted(id)}")

    def recalls(self, active: bool | None = True, limit: int | None = 200) -> list[Json]:
        """The feed, newest first."""
        query = {"active": None if active is None else str(active).lower()}
        return list(self._connection.listed("/recalls", query, limit))

    def check(self, folder: str | Path) -> list[Finding]:
        """What became of what lies in a folder."""
        return check(self._connection, Path(folder))

    # -- merges --

    def merge(
        self,
        layers: Layers,
        *,
        method: str | Json | None = None,
        output: str | Json | None = None,
        conflicts: Mapping[str, str] | None = None,
        overlaps: str | None = None,
        ancestors: str | None = None,
        publish: str | Json | None = None,
    ) -> Merge:
        """Ask for a merge; `wait` for it. The repository that it is published to is made if it is not there.

        Raises: PlanRefused when it cannot be done as asked, before anything is queued.
        """
        recipe = recipe_of(layers, method, output, conflicts, overlaps, ancestors, publish)
        try:
            return Merge(self._connection, self._connection.post("/merges", recipe))
        except (NotFound, Gone) as missing:
            if missing.facts.get("pointer") != "/publish/repository":
                raise
        kind = recipe.get("output", {}).get("kind", "adapter")
        self._ensure_repository(recipe["publish"]["repository"], kind, visibility=None, base_model=None)
        return Merge(self._connection, self._connection.post("/merges", recipe))

    def plan(
        self,
        layers: Layers,
        *,
        method: str | Json | None = None,
        output: str | Json | None = None,
        conflicts: Mapping[str, str] | None = None,
        overlaps: str | None = None,
        ancestors: str | None = None,
        publish: str | Json | None = None,
    ) -> Plan:
        """What such a merge would do; nothing is queued. Raises: PlanRefused."""
        recipe = recipe_of(layers, method, output, conflicts, overlaps, ancestors, publish)
        return Plan.from_json(self._connection.post("/merges/plan", recipe))

    def merge_of(self, id: str) -> Merge:
        """A merge that was asked for before."""
        return Merge(self._connection, self._connection.get(f"/merges/{quoted(id)}"))

    def merges(self, limit: int | None = 50) -> Iterator[Merge]:
        """The caller's merges."""
        return (Merge(self._connection, body) for body in self._connection.listed("/merges", limit=limit))

    def _version_path(self, reference: str) -> str:
        repository, version = split_reference(reference)
        path = repository_path(repository)
        if version is None:
            newest = self.versions(repository, limit=1)
            if not newest:
                # the registry's own words for what is not there
                return f"{path}/versions/latest"
            version = newest[0].version
        return f"{path}/versions/{quoted(version)}"

    def _ensure_repository(
        self, repository: str, kind: str, visibility: str | None, base_model: str | Json | None
    ) -> None:
        path = repository_path(repository)
        try:
            self._connection.get(path)
        except (NotFound, Gone):
            try:
                self.create_repository(repository, kind, visibility=visibility, base_model=base_model)
            except Conflict as conflict:
                # another process of ours has just made it; if it is a stranger's, publishing says so
                if conflict.type != "name-exists":
                    raise


def parent_of(parent: ParentReference) -> Json:
    if isinstance(parent, str):
        return {"version": parent}
    if isinstance(parent, Mapping):
        return parent
    reference, weight = parent
    return {"version": reference, "weight": weight}
