"""Transfers of Git LFS clients, which send bytes to addresses without saying who they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.names import RepositoryName
from app.errors import NotFound
from app.lineage import blobs
from app.lineage.engine import Database
from app.services import finding
from app.services.uploading import Upload, Uploading


@dataclass(frozen=True, slots=True)
class Transfer:
    digest: Digest
    size_bytes: int
    upload: Upload | None
    """Where to send the bytes; None: the caller may name them already."""


class Transferring:
    def __init__(self, database: Database, uploading: Uploading) -> None:
        self.database = database
        self.uploading = uploading

    def begin(self, caller: Caller, name: RepositoryName, wanted: Sequence[tuple[Digest, int]]) -> list[Transfer]:
        """Raises: NotFound, Deleted, Forbidden, UploadTooLarge, QuotaExceeded."""
        with self.database.begin() as tx:
            finding.writable(tx, name, caller)
            known = blobs.nameable(tx, caller, {digest for digest, _ in wanted})
        return [
            Transfer(digest, size, None if digest in known else self.uploading.begin(caller, digest, size))
            for digest, size in wanted
        ]

    def owner(self, upload: UUID, request_id: str | None) -> Caller:
        """Who began an upload: its id is 122 random bits, told to them alone, and says enough until it expires.

        Raises: NotFound.
        """
        with self.database.read() as tx:
            found = blobs.owner_of_upload(tx, upload)
        if found is None:
            raise NotFound(f"upload {upload}")
        id, name = found
        return Caller(user_id=id, name=name, request_id=request_id)

    def receive(self, caller: Caller, upload: UUID, chunks: Iterable[bytes]) -> None:
        """All the bytes of an upload at once. Raises: NotFound, and as `Uploading.receive`."""
        with self.database.read() as tx:
            found = blobs.find_upload(tx, upload, caller.user)
        if found is None:
            raise NotFound(f"upload {upload}")
        self.uploading.receive(caller, found.digest, chunks, found.size_bytes)
