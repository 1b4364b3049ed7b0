"""Reading: versions, their files, tensors and archives, and which versions hold a file; and deletion, which ends reading."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.adapter import Adapter, Checkpoint, Module
from app.domain.caller import Caller
from app.domain.digest import Digest, hex_of, parse_digest
from app.domain.event import EventType
from app.domain.lineage import VersionState
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.reference import Selector
from app.domain.repository import Repository
from app.domain.version import File, Version
from app.errors import BlobDamaged, Forbidden, NotFound
from app.lineage import audit, events, evidence, recalls, repositories, versions
from app.lineage.engine import Connection, Database
from app.objects.store import ObjectStore
from app.services import finding
from app.services.evidence import recalled

record_bytes = tarfile.BLOCKSIZE
most_holders = 200
"""Versions that a lookup by hash names, the oldest first."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar of a version's or a merge's files, made while it is read."""

    name: str
    digest: Digest
    size_bytes: int
    files: tuple[File, ...]
    modified_at: datetime


class Reading:
    def __init__(self, database: Database, store: ObjectStore, *, address_seconds: int) -> None:
        self.database = database
        self.store = store
        self.address_seconds = address_seconds

    def versions(self, caller: Caller, name: RepositoryName, after: VersionNumber | None, limit: int) -> list[Version]:
        """Newest number first. Raises: NotFound, Deleted."""
        with self.database.read() as tx:
            holder = finding.repository(tx, name, caller)
            return versions.list_versions(tx, holder.id, caller, after, limit)

    def version(self, caller: Caller, name: RepositoryName, ref: str) -> Version:
        """Raises: InvalidReference, NotFound, Deleted."""
        selector = Selector.parse(ref)
        if (found := versions.find_at_name(self.database, name, selector, caller)) is not None:
            return found
        with self.database.read() as tx:
            return finding.version(tx, name, selector, f"{name}@{ref}", caller)

    def file(self, caller: Caller, name: RepositoryName, ref: str, path: str, *, accept_recalled: bool = False) -> File:
        """`accept_recalled`: an owner wants it all the same. Raises: InvalidReference, NotFound, Deleted, Recalled."""
        found = self._downloadable(caller, name, ref, accept_recalled)
        return file_at(found.files, path, f"{found.reference}/{path}")

    def _downloadable(self, caller: Caller, name: RepositoryName, ref: str, accept_recalled: bool) -> Version:
        found = self.version(caller, name, ref)
        if found.state is VersionState.RECALLED and not (accept_recalled and caller.may_own(found.namespace_id)):
            with self.database.read() as tx:
                raise recalled(tx, caller, found.reference, [found.id])
        return found

    def check_not_recalled(
        self, caller: Caller, repository: Repository, commit: str, file: File, *, accept_recalled: bool = False
    ) -> None:
        """Before a file of a commit is given out. Raises: Recalled."""
        with self.database.read() as tx:
            found = evidence.recalled_at(tx, repository.id, commit, file.digest)
            if found and not (accept_recalled and caller.may_own(repository.namespace_id)):
                raise recalled(tx, caller, f"{repository.full_name}@{commit}", found)

    def archive(self, caller: Caller, name: RepositoryName, ref: str, *, accept_recalled: bool = False) -> Archive:
        """As `file`."""
        found = self._downloadable(caller, name, ref, accept_recalled)
        title = f"{found.repository.replace('/', '-')}-{found.number}"
        return archive_of(title, found.digest, found.files, found.created_at)

    def tensors(self, caller: Caller, name: RepositoryName, ref: str) -> list[dict[str, Any]]:
        """A table row per module of an adapter, per tensor of a model; from the headers, read when it was published.

        Raises: InvalidReference, NotFound, Deleted.
        """
        with self.database.read() as tx:
            found = finding.version(tx, name, Selector.parse(ref), f"{name}@{ref}", caller)
            return tensor_table(versions.facts_of(tx, [found.id])[found.id])

    def delete(self, caller: Caller, name: RepositoryName, ref: str) -> None:
        """Leaves a tombstone, whether or not something stands on it; deleting twice is one deletion.

        Raises: InvalidReference, NotFound, Deleted (the repository), Forbidden.
        """
        with self.database.begin() as tx:
            recalls.hold_lineage(tx)
            repositories.lock(tx, self._deletable(tx, caller, name, ref).repository_id)
            # again: it may have been deleted or moved while the lock was waited for
            found = self._deletable(tx, caller, name, ref)
            if found.state is not VersionState.DELETED:
                versions.mark_deleted(tx, found.id, caller.user)
                events.record(tx, EventType.VERSION_DELETED, found.repository_id, found.id)
                audit.record(
                    tx, caller, "version.deleted", found.reference, namespace=found.namespace_id, digest=found.digest
                )

    def _deletable(self, tx: Connection, caller: Caller, name: RepositoryName, ref: str) -> Version:
        """A version, deleted or not, that the caller may delete."""
        text = f"{name}@{ref}"
        found = finding.tombstone_or_version(tx, name, Selector.parse(ref), text, caller, to_delete=True)
        if not caller.may_write(found.namespace_id):
            raise Forbidden("delete", found.reference)
        return found

    def lookup(self, caller: Caller, text: str) -> list[tuple[Version, str]]:
        """The readable versions that hold a file with this sha256, oldest first, with its path in each.

        Raises: InvalidDigest.
        """
        digest = parse_digest(text if text.startswith("sha256:") else f"sha256:{text}")
        with self.database.read() as tx:
            return versions.holding(tx, digest, caller, most_holders)

    def address(self, file: File, disposition: str) -> str | None:
        """Where the reader may fetch a file from the store itself, for a while, and verify it; None: nowhere but here."""
        return self.store.presign_get(file.digest, disposition, self.address_seconds)

    def read_range(self, file: File, start: int, length: int) -> Iterator[bytes]:
        """A part of a file, for a reader who compares the whole with the digest. Raises: BlobDamaged."""
        return self.store.read(file.digest, start, length)

    def read_whole(self, file: File) -> Iterator[bytes]:
        """All of a file: the last chunk is kept back until the digest is right, so that damage cuts the answer short.

        Raises: BlobDamaged, at the call or before the last chunk.
        """
        return verified(self.store.read(file.digest), file.digest)

    def read_archive(self, archive: Archive) -> Iterator[bytes]:
        """Raises: BlobDamaged."""
        return tar_of(archive, self.read_whole)


def file_at(files: Iterable[File], path: str, shown: str) -> File:
    """Raises: NotFound."""
    for file in files:
        if file.path == path:
            return file
    raise NotFound(shown)


def verified(chunks: Iterator[bytes], digest: Digest) -> Iterator[bytes]:
    """The chunks, the last of them only if all together have the digest. Raises: BlobDamaged."""
    hashed = hashlib.sha256()
    kept: bytes | None = None
    for chunk in chunks:
        if kept is not None:
            yield kept
        hashed.update(chunk)
        kept = chunk
    if hashed.hexdigest() != hex_of(digest):
        raise BlobDamaged(digest)
    if kept is not None:
        yield kept


def archive_of(name: str, digest: Digest, files: tuple[File, ...], modified_at: datetime) -> Archive:
    size = sum(len(tar_header(name, file, modified_at)) + padded(file.size_bytes) for file in files)
    return Archive(name, digest, size + 2 * record_bytes, files, modified_at)


def padded(size_bytes: int) -> int:
    return -(-size_bytes // record_bytes) * record_bytes


def tar_header(folder: str, file: File, modified_at: datetime) -> bytes:
    entry = tarfile.TarInfo(f"{folder}/{file.path}")
    entry.size = file.size_bytes
    entry.mtime = int(modified_at.timestamp())
    entry.mode = 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)


def tar_of(archive: Archive, read: Any) -> Iterator[bytes]:
    for file in archive.files:
        yield tar_header(archive.name, file, archive.modified_at)
        yield from read(file)
        yield b"\0" * (padded(file.size_bytes) - file.size_bytes)
    yield b"\0" * (2 * record_bytes)


def tensor_table(facts: Adapter | Checkpoint) -> list[dict[str, Any]]:
    if isinstance(facts, Adapter):
        return [
            {
                "module": module.name,
                "kind": module.kind.value,
                "rank": module.rank,
                "alpha": module.alpha,
                "scaling": module.scaling,
                "dtype": module.a_dtype,
                "shapes": {"A": list(module.a_shape), "B": list(module.b_shape)},
                "tensors": tensors_of(module),
                "fan_in_fan_out": module.fan_in_fan_out,
            }
            for module in facts.modules
        ] + [
            {
                "replaces": replacement.tensor,
                "kind": replacement.kind.value,
                "dtype": replacement.dtype,
                "shape": list(replacement.shape),
                "tensor": replacement.key,
                "rows": None if replacement.rows is None else list(replacement.rows),
            }
            for replacement in facts.replacements
        ]
    return [
        {"tensor": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "file": path}
        for path, tensor in facts.tensors
    ]


def tensors_of(module: Module) -> dict[str, str]:
    """Their names in the file."""
    found = {"A": module.a_key, "B": module.b_key, "bias": module.bias_key, "magnitude": module.magnitude_key}
    return {factor: key for factor, key in found.items() if key is not None}
