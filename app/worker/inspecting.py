"""A store that looks at what is written to it: results are inspected while they stream out, like uploads on their way in."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from app.domain.digest import Digest
from app.formats.inspection import Inspection, Inspector
from app.objects.store import ByteStore, Staged


class InspectingStore:
    """Another store's reading and staging, with an inspection of every object that is placed through it.

    Args:
        hold: called with an object's digest and its size in bytes before it is placed.
    """

    def __init__(self, store: ByteStore, hold: Callable[[Digest, int], None]) -> None:
        self.store = store
        self.hold = hold
        self.inspections: dict[str, Inspection] = {}

    def size(self, digest: Digest) -> int | None:
        return self.store.size(digest)

    def read(self, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return self.store.read(digest, start, length)

    def read_into(self, digest: Digest, start: int, buffer: memoryview) -> None:
        self.store.read_into(digest, start, buffer)

    def stage(self) -> Staged:
        return InspectedStaged(self.store.stage(), self.inspections, self.hold)


class InspectedStaged:
    def __init__(self, staged: Staged, inspections: dict[str, Inspection], hold: Callable[[Digest, int], None]) -> None:
        self.staged = staged
        self.inspections = inspections
        self.hold = hold
        self.inspector = Inspector()

    @property
    def digest(self) -> Digest:
        return self.staged.digest

    @property
    def size_bytes(self) -> int:
        return self.staged.size_bytes

    def write(self, chunk: bytes | memoryview) -> None:
        self.staged.write(chunk)
        self.inspector.feed(chunk)

    def place(self) -> Digest:
        self.hold(self.staged.digest, self.staged.size_bytes)
        digest = self.staged.place()
        self.inspections[digest] = self.inspector.finish()
        return digest

    def __enter__(self) -> Self:
        self.staged.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.staged.__exit__(kind, error, trace)
