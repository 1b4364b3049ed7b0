"""Publishing with the bytes at hand instead of digests: what a page and `curl -F` send."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import IO

from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.domain.number import VersionNumber
from app.domain.repository import Repository
from app.domain.version import Version
from app.formats.inspection import Inspector
from app.lineage import blobs, idempotency
from app.lineage.engine import Connection, Database
from app.objects.store import ObjectStore, Staged
from app.services import finding
from app.services.content import Source, read_content
from app.services.holding import Holding
from app.services.publishing import NewVersion, Publishing

chunk_bytes = 1024 * 1024
placed_under_locks_bytes = 16 * 1024 * 1024
"""Others wait while so much is placed; a larger form is first written on trial."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form, spooled to disk."""

    path: str
    stream: IO[bytes]


class FormPublishing:
    def __init__(self, database: Database, store: ObjectStore, holding: Holding, publishing: Publishing) -> None:
        self.database = database
        self.store = store
        self.holding = holding
        self.publishing = publishing

    def publish(
        self,
        caller: Caller,
        name: RepositoryName,
        files: Sequence[FormFile],
        new: NewVersion,
        create: Callable[[Connection], Repository] | None = None,
    ) -> Version:
        """As `Publishing.publish`; what is refused leaves no byte."""

        def repository_in(tx: Connection) -> Repository:
            return finding.writable(tx, name, caller) if create is None else self.publishing.created(tx, create)

        number = None if new.version is None else VersionNumber.parse(new.version)
        self.publishing.check_files([file.path for file in files])
        with self.database.begin() as tx, tx.begin_nested() as savepoint:
            found = repository_in(tx)
            # what is to be made is made with its version, or not at all
            savepoint.rollback()
        with ExitStack() as stack:
            staged = {file.path: stack.enter_context(self.store.stage()) for file in files}
            sources = {file.path: self._stage(file, staged[file.path]) for file in files}
            content = read_content(found.kind, sources)
            new = replace(new, files={path: source.digest for path, source in sources.items()})
            # in one order for everybody who writes the same rows
            placed = {source.digest: source for source in sorted(sources.values(), key=lambda source: source.digest)}
            sizes: dict[str, int] = {digest: source.inspection.size_bytes for digest, source in placed.items()}

            def write(tx: Connection) -> Version:
                for source in placed.values():
                    blobs.record(tx, source.digest, source.inspection.size_bytes, source.inspection.as_json())
                version = self.publishing.write_new(tx, caller, repository_in(tx), number, new, content)
                idempotency.note(tx, caller, str(version.id))
                return version

            def place() -> None:
                for entry in staged.values():
                    entry.place()

            # what would be refused leaves no byte, and what is accepted has its bytes before its rows are committed
            holder = stack.enter_context(self.holding.held(sizes, found.namespace_id))
            is_quick = sum(sizes.values()) <= placed_under_locks_bytes
            if not is_quick:
                with self.database.begin() as tx, tx.begin_nested() as trial:
                    if self.publishing.earlier(tx, caller) is None:
                        write(tx)
                    trial.rollback()
                place()
            with self.database.begin() as tx:
                self.holding.release(tx, holder, sizes)
                if (earlier := self.publishing.earlier(tx, caller)) is not None:
                    return earlier
                version = write(tx)
                if is_quick:
                    place()
            return version

    def _stage(self, file: FormFile, staged: Staged) -> Source:
        inspector = Inspector()
        file.stream.seek(0)
        while chunk := file.stream.read(chunk_bytes):
            staged.write(chunk)
            inspector.feed(chunk)

        def read() -> bytes:
            file.stream.seek(0)
            return file.stream.read()

        return Source(staged.digest, inspector.finish(), read)
