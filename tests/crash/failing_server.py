"""A server that kills itself where a request's header `X-Crash-At` says, and is at once there again as a new process.

Run as `python -m tests.crash.failing_server`. `after-commit/2` is the second time that the point `after-commit` is passed.
Points: `before-place`, `after-place` (of bytes in the store), `before-commit`, `after-commit` (of the service's own
transaction), `before-answer`.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from uuid import UUID

import uvicorn
from sqlalchemy import Connection
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.assembly import Services
from app.domain.digest import Digest
from app.lineage.engine import Database
from app.objects.local import LocalStore, Temporary
from app.objects.local_uploads import JoinedParts
from app.server import create_app
from app.services.form_publishing import FormPublishing
from app.services.merging import Merging
from app.services.publishing import Publishing
from app.services.uploading import Uploading
from app.settings import Settings
from tests.crash.installation import admin_token


class Fuse:
    """What a request asked for: to die at the n-th passing of a point."""

    def __init__(self, asked: str) -> None:
        self.point, _, count = asked.partition("/")
        self.left = int(count or 1)


fuse: ContextVar[Fuse | None] = ContextVar("fuse", default=None)


def passing(point: str) -> None:
    burning = fuse.get()
    if burning is not None and burning.point == point:
        burning.left -= 1
        if burning.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class FailingTemporary(Temporary):
    def place(self) -> Digest:
        passing("before-place")
        digest = super().place()
        passing("after-place")
        return digest


class FailingJoined(JoinedParts):
    def place(self) -> Digest:
        passing("before-place")
        digest = super().place()
        passing("after-place")
        return digest


class FailingStore(LocalStore):
    def stage(self) -> Temporary:
        return FailingTemporary(self)

    def join(self, upload: UUID) -> JoinedParts:
        return FailingJoined(self, self.folder_of(upload))


class FailingDatabase(Database):
    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with super().begin() as connection:
            yield connection
            passing("before-commit")
        passing("after-commit")


class Fused:
    """Lights the fuse that a request carries."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (asked := Headers(scope=scope).get("x-crash-at")):
            fuse.set(Fuse(asked))

        async def watched(message: Message) -> None:
            passing("before-answer")
            await send(message)

        await self.app(scope, receive, watched)


def serve(settings: Settings) -> None:
    services = Services.open(settings)
    services.accounts.bootstrap(admin_token)
    assert isinstance(services.store, LocalStore)
    store, database = FailingStore(services.store.root), FailingDatabase(services.database.engine)
    holding = services.uploading.holding
    publishing = Publishing(database, store, holding, max_files=settings.max_files)
    planted = replace(
        services,
        uploading=Uploading(database, store, services.uploading.limits, holding),
        publishing=publishing,
        form_publishing=FormPublishing(database, store, holding, publishing),
        merging=Merging(database, store, publishing, services.merging.planning),
    )
    app = create_app(planted)
    app.add_middleware(Fused)
    uvicorn.run(app, host=settings.host, port=settings.port, log_config=None)


if __name__ == "__main__":
    logs.configure("console", "info")
    while True:
        # a fork has everything imported: a new server takes a tenth of a second
        child = os.fork()
        if child == 0:
            serve(Settings())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"the server ended with {status}")
