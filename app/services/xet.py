"""Uploads of Xet clients: chunks are kept for the next upload, the files in them become ordinary blobs."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from app.domain.caller import Caller
from app.domain.digest import Digest
from app.domain.names import RepositoryName
from app.domain.repository import Repository
from app.errors import InvalidXet, NotFound, UploadTooLarge
from app.formats.inspection import Inspector
from app.formats.xet import ChunkReader, ShardFile, chunks_of, largest_xorb_bytes, read_shard
from app.lineage import audit, blobs, repositories, xorbs
from app.lineage.engine import Connection, Database
from app.lineage.xorbs import XorbRecord
from app.objects.store import ObjectStore
from app.services import finding
from app.services.holding import Holding
from app.services.uploading import Uploading

kept_generations = 2
"""The current one, and the one before: whoever began an upload when it ended can finish."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Where a client may send the chunks of a repository's files."""

    repository: UUID
    generation: int


class Xet:
    """A client remembers what it has sent by the address that it was sent to. The address changes with the generation, so
    that clients send everything anew and what they sent before can go."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        holding: Holding,
        uploading: Uploading,
        *,
        generation_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            clock: seconds since 1970.
        """
        self.database = database
        self.store = store
        self.holding = holding
        self.uploading = uploading
        self.generation_seconds = generation_seconds
        self.clock = clock

    @property
    def generation(self) -> int:
        return generation_at(self.clock(), self.generation_seconds)

    @property
    def oldest(self) -> int:
        return oldest_generation(self.clock(), self.generation_seconds)

    def grant(self, caller: Caller, name: RepositoryName) -> Grant:
        """Raises: NotFound, Deleted, Forbidden."""
        with self.database.read() as tx:
            return Grant(finding.writable(tx, name, caller).id, self.generation)

    def check(self, caller: Caller, grant: Grant) -> None:
        """Whether the caller may send here. Raises: NotFound."""
        with self.database.read() as tx:
            self._writable(tx, caller, grant)

    def _writable(self, tx: Connection, caller: Caller, grant: Grant) -> Repository:
        """A living repository that the caller may write to, and a generation that still counts. Raises: NotFound."""
        found = repositories.find_by_id(tx, grant.repository)
        if found is None or found.deleted_at is not None or not caller.may_write(found.namespace_id):
            raise NotFound(f"xet/{grant.repository}")
        if not self.oldest <= grant.generation <= self.generation:
            raise NotFound(f"xet/g{grant.generation}")
        return found

    def receive_xorb(self, caller: Caller, grant: Grant, name: str, chunks: Iterable[bytes]) -> bool:
        """Whether it is new here. Each chunk is unpacked once, so that what is kept can be read.

        Raises: NotFound, InvalidXet, UploadTooLarge, QuotaExceeded, StoreFull, BeingCollected; nothing is stored then.
        """
        with self.database.read() as tx:
            namespace = self._writable(tx, caller, grant).namespace_id
        reader, inspector = ChunkReader(), Inspector()
        with self.store.stage() as staged:
            for piece in chunks:
                if staged.size_bytes + len(piece) > largest_xorb_bytes:
                    raise UploadTooLarge(largest_xorb_bytes, staged.size_bytes + len(piece))
                staged.write(piece)
                inspector.feed(piece)
                for _ in reader.feed(piece):
                    pass
            reader.finish()
            if not reader.ends:
                raise InvalidXet("a xorb has chunks")
            inspection = inspector.finish()
            sizes: dict[str, int] = {staged.digest: staged.size_bytes}
            with self.holding.held(sizes, namespace) as holder:
                staged.place()
                with self.database.begin() as tx:
                    self.holding.release(tx, holder, sizes)
                    self._writable(tx, caller, grant)
                    blobs.record(tx, staged.digest, staged.size_bytes, inspection.as_json())
                    audit.record(
                        tx, caller, "xorb.uploaded", name, namespace=namespace, size_bytes=inspection.size_bytes
                    )
                    return xorbs.record(
                        tx, grant.repository, grant.generation, XorbRecord(name, staged.digest, tuple(reader.ends))
                    )

    def receive_shard(self, caller: Caller, grant: Grant, data: bytes) -> None:
        """Put its files together. When this returns, the caller has a receipt for each.

        Raises: NotFound, InvalidXet, and as `Uploading.receive`.
        """
        files = read_shard(data)
        wanted = {segment.xorb for file in files for segment in file.segments}
        with self.database.begin() as tx:
            self._writable(tx, caller, grant)
            known = xorbs.find(tx, grant.repository, grant.generation, wanted)
            # what is sent again after a lost answer is here already
            here = blobs.nameable(tx, caller, {file.digest for file in files})
        for file in files:
            check_segments(file, known)
        for file in files:
            if file.digest not in here:
                self.uploading.receive(caller, file.digest, self._rebuilt(file, known), file.size_bytes)

    def _rebuilt(self, file: ShardFile, known: Mapping[str, XorbRecord]) -> Iterator[bytes]:
        for segment in file.segments:
            xorb = known[segment.xorb]
            start = xorb.ends[segment.first - 1] if segment.first else 0
            yield from chunks_of(
                self.store.read(Digest(xorb.digest), start, xorb.ends[segment.end - 1] - start), segment
            )


def check_segments(file: ShardFile, known: Mapping[str, XorbRecord]) -> None:
    """Raises: InvalidXet for chunks that are not there."""
    for segment in file.segments:
        if segment.xorb not in known or segment.end > len(known[segment.xorb].ends):
            raise InvalidXet(f"chunks {segment.first} to {segment.end} of xorb {segment.xorb} are not here")


def generation_at(now: float, seconds: float) -> int:
    return int(now // seconds)


def oldest_generation(now: float, seconds: float) -> int:
    """The first of those that may still be referred to."""
    return generation_at(now, seconds) - kept_generations + 1
