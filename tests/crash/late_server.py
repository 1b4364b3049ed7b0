"""The mutant: a server that commits rows before their bytes lie in the store. Run as `python -m tests.crash.late_server`."""

import threading
import time
from dataclasses import replace
from types import TracebackType

import uvicorn

from app import logs
from app.assembly import Services
from app.domain.digest import Digest
from app.objects.local import LocalStore, Temporary
from app.server import create_app
from app.services.publishing import Publishing
from app.services.uploading import Uploading
from app.settings import Settings
from tests.crash.installation import admin_token

late_seconds = 1.0


class LateTemporary(Temporary):
    """Says that it is placed, and is some time later, if its process still lives."""

    is_promised = False

    def place(self) -> Digest:
        self.is_promised = True
        threading.Thread(target=self.place_late, daemon=True).start()
        return self.digest

    def place_late(self) -> None:
        time.sleep(late_seconds)
        super().place()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_promised:
            super().__exit__(kind, error, trace)


class LateStore(LocalStore):
    def stage(self) -> Temporary:
        return LateTemporary(self)


if __name__ == "__main__":
    logs.configure("console", "info")
    settings = Settings()
    services = Services.open(settings)
    services.accounts.bootstrap(admin_token)
    assert isinstance(services.store, LocalStore)
    late = LateStore(services.store.root)
    holding = services.uploading.holding
    planted = replace(
        services,
        uploading=Uploading(services.database, late, services.uploading.limits, holding),
        publishing=Publishing(services.database, late, holding, max_files=settings.max_files),
    )
    uvicorn.run(create_app(planted), host=settings.host, port=settings.port, log_config=None)
