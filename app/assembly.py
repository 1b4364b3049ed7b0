"""Everything a process needs, opened from the settings and put together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.domain.digest import digest_of_bytes
from app.domain.repository import Visibility
from app.errors import CannotStart, NotReady
from app.lineage import queue
from app.lineage.engine import Database
from app.objects.store import ObjectStore, open_store
from app.services.accounts import Accounts
from app.services.aliasing import Aliasing
from app.services.auditing import Auditing
from app.services.collecting import Collecting
from app.services.executing import Executing
from app.services.merging import Merging
from app.services.publishing import Publishing
from app.services.reading import Reading
from app.services.registering import Registering
from app.services.repeating import Repeating
from app.services.tracing import Tracing
from app.services.uploading import Limits, Uploading
from app.settings import Settings

nothing = digest_of_bytes(b"")
"""A digest to ask the store for, whether it is there or not."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the server's faces must know of the settings."""

    public_url: str | None
    body_bytes: int
    form_bytes: int
    default_page: int
    largest_page: int


@dataclass(frozen=True, slots=True)
class Services:
    """One process's parts; each may be used from any thread."""

    http: HttpLimits
    device: str
    """Where merges run: `cpu`, `cuda:1`, or `auto`."""
    database: Database
    store: ObjectStore
    accounts: Accounts
    registering: Registering
    uploading: Uploading
    publishing: Publishing
    reading: Reading
    aliasing: Aliasing
    tracing: Tracing
    merging: Merging
    executing: Executing
    collecting: Collecting
    auditing: Auditing
    repeating: Repeating

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Raises: CannotStart without a database, MalformedRequest or OSError if the object store cannot be opened."""
        if settings.database_url is None:
            raise CannotStart("no database is set")
        database = Database.open(
            settings.database_url.get_secret_value(),
            settings.database_pool_size,
            statement_seconds=settings.database_statement_seconds,
            lock_seconds=settings.database_lock_seconds,
        )
        store = open_store(settings.object_store_url)
        upload_lease = timedelta(seconds=settings.upload_lease_seconds)
        publishing = Publishing(database, store, max_files=settings.max_files)
        return cls(
            http=HttpLimits(
                public_url=settings.public_url,
                body_bytes=settings.max_body_bytes,
                form_bytes=settings.max_form_bytes,
                default_page=settings.default_page_size,
                largest_page=settings.max_page_size,
            ),
            device=settings.device,
            database=database,
            store=store,
            accounts=Accounts(database, anonymous_read=settings.anonymous_read),
            registering=Registering(database, default_visibility=Visibility(settings.default_visibility.value)),
            uploading=Uploading(
                database,
                store,
                Limits(
                    upload_bytes=settings.max_upload_bytes,
                    part_bytes=settings.upload_part_bytes,
                    upload_lease=upload_lease,
                    receipt_lease=timedelta(seconds=settings.receipt_seconds),
                ),
            ),
            publishing=publishing,
            reading=Reading(database, store),
            aliasing=Aliasing(database),
            tracing=Tracing(database),
            merging=Merging(
                database,
                store,
                publishing,
                max_members=settings.max_plan_members,
                device_class=settings.device.partition(":")[0],
            ),
            executing=Executing(database, store, publishing),
            collecting=Collecting(
                database,
                store,
                upload_lease=upload_lease,
                answers_kept=timedelta(seconds=settings.idempotency_seconds),
            ),
            auditing=Auditing(database),
            repeating=Repeating(database),
        )

    def check_ready(self) -> None:
        """Raises: NotReady, naming the part that does not answer."""
        self.database.ping()
        try:
            self.store.size(nothing)
        except OSError as error:
            raise NotReady("object store") from error

    def queue_depth(self) -> dict[tuple[str, str], int]:
        """Jobs by (queue, status). Raises: NotReady."""
        with self.database.read() as tx:
            return queue.depth(tx)

    def close(self) -> None:
        self.database.close()
