"""Everything a process needs, opened from the settings and put together."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.domain.repository import Visibility
from app.errors import CannotStart, NotReady
from app.lineage import queue
from app.lineage.engine import Database
from app.merge.planning import Limits as PlanLimits
from app.objects.store import ObjectStore, S3Options, open_store
from app.outbound.sending import Sender
from app.services.accounts import Accounts
from app.services.aliasing import Aliasing
from app.services.assessing import Assessing
from app.services.auditing import Auditing
from app.services.branching import Branching
from app.services.browsing import Browsing
from app.services.collecting import Collecting, Terms
from app.services.committing import Committing
from app.services.executing import Executing
from app.services.fitting import Fitting
from app.services.following import Following
from app.services.form_publishing import FormPublishing
from app.services.holding import Holding
from app.services.hooking import Hooking
from app.services.limiting import Limiting
from app.services.merging import Merging
from app.services.planning import Planning
from app.services.publishing import Publishing
from app.services.reading import Reading
from app.services.recalling import Recalling
from app.services.registering import Registering
from app.services.repeating import Repeating
from app.services.searching import Searching
from app.services.showing import Showing
from app.services.signing_in import SigningIn
from app.services.stacking import Stacking
from app.services.tracing import Tracing
from app.services.transferring import Transferring
from app.services.uploading import Limits, Uploading
from app.services.xet import Xet
from app.settings import Settings

log = logging.getLogger(__name__)

seconds_per_day = 24 * 3600


def store_of(settings: Settings) -> ObjectStore:
    """Raises: MalformedRequest or OSError, as `open_store`."""
    secret = settings.s3_secret_access_key
    options = S3Options(
        endpoint_url=settings.s3_endpoint_url,
        public_endpoint_url=settings.s3_public_endpoint_url,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
        addressing_style=settings.s3_addressing_style,
        is_direct=settings.direct_transfers,
    )
    return open_store(settings.object_store_url, options)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the server's faces must know of the settings."""

    public_url: str | None
    body_bytes: int
    form_bytes: int
    concurrent_uploads: int
    upload_chunk_seconds: float
    default_page: int
    largest_page: int
    session_seconds: int
    allows_insecure_sign_in: bool
    store_origin: str | None
    """Where browsers send and fetch files themselves; None: here."""

    def link(self, path: str) -> str:
        """To a path of this server: absolute where its public address is known."""
        return path if self.public_url is None else self.public_url.rstrip("/") + path


@dataclass(frozen=True, slots=True)
class Services:
    """One process's parts; each may be used from any thread."""

    http: HttpLimits
    device: str
    """Where merges run: `cpu`, `cuda:1`, or `auto`."""
    database: Database
    store: ObjectStore
    accounts: Accounts
    signing_in: SigningIn
    limiting: Limiting
    registering: Registering
    searching: Searching
    uploading: Uploading
    publishing: Publishing
    form_publishing: FormPublishing
    reading: Reading
    showing: Showing
    browsing: Browsing
    committing: Committing
    branching: Branching
    transferring: Transferring
    xet: Xet
    aliasing: Aliasing
    tracing: Tracing
    fitting: Fitting
    merging: Merging
    executing: Executing
    stacking: Stacking
    following: Following
    hooking: Hooking
    recalling: Recalling
    assessing: Assessing
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
        store = store_of(settings)
        upload_lease = timedelta(seconds=settings.upload_lease_seconds)
        holding = Holding(database, lease=upload_lease, namespace_bytes=settings.max_namespace_bytes)
        publishing = Publishing(database, store, holding, max_files=settings.max_files)
        uploading = Uploading(
            database,
            store,
            Limits(
                upload_bytes=settings.max_upload_bytes,
                part_bytes=settings.upload_part_bytes,
                upload_lease=upload_lease,
                receipt_lease=timedelta(seconds=settings.receipt_seconds),
            ),
            holding,
        )
        accounts = Accounts(database, anonymous_read=settings.anonymous_read)
        registering = Registering(database, holding, default_visibility=Visibility(settings.default_visibility.value))
        planning = Planning(
            PlanLimits(
                members=settings.max_plan_members,
                written_bytes=settings.max_plan_written_bytes,
                peak_bytes=settings.max_plan_peak_bytes,
            ),
            device_class=settings.device.partition(":")[0],
        )
        merging = Merging(database, store, publishing, planning)
        stacking = Stacking(database, registering, merging)
        hooking = Hooking(database, Sender(settings.allowed_networks, seconds=settings.outbound_seconds))
        return cls(
            http=HttpLimits(
                public_url=settings.public_url,
                body_bytes=settings.max_body_bytes,
                form_bytes=settings.max_form_bytes,
                concurrent_uploads=settings.max_concurrent_uploads,
                upload_chunk_seconds=settings.upload_chunk_seconds,
                default_page=settings.default_page_size,
                largest_page=settings.max_page_size,
                session_seconds=settings.session_seconds,
                allows_insecure_sign_in=settings.allow_insecure_sign_in,
                store_origin=store.origin,
            ),
            device=settings.device,
            database=database,
            store=store,
            accounts=accounts,
            signing_in=SigningIn(database, accounts, timedelta(seconds=settings.session_seconds)),
            registering=registering,
            searching=Searching(database),
            limiting=Limiting(settings.requests_per_minute),
            uploading=uploading,
            publishing=publishing,
            form_publishing=FormPublishing(database, store, holding, publishing),
            reading=Reading(database, store, address_seconds=settings.download_url_seconds),
            showing=Showing(database, store),
            browsing=Browsing(database, registering),
            committing=Committing(database, store, holding, publishing),
            branching=Branching(database, Aliasing(database)),
            transferring=Transferring(database, uploading),
            xet=Xet(
                database, store, holding, uploading, generation_seconds=settings.xet_generation_days * seconds_per_day
            ),
            aliasing=Aliasing(database),
            tracing=Tracing(database),
            fitting=Fitting(database, registering),
            merging=merging,
            executing=Executing(database, store, publishing, holding),
            stacking=stacking,
            following=Following(database, stacking, hooking),
            hooking=hooking,
            recalling=Recalling(database),
            assessing=Assessing(database),
            collecting=Collecting(
                database,
                store,
                Terms(
                    upload_lease=upload_lease,
                    answers_kept=timedelta(seconds=settings.idempotency_seconds),
                    grace=timedelta(seconds=settings.collection_grace_seconds),
                    cache_bytes=settings.merge_cache_bytes,
                    xet_generation=timedelta(days=settings.xet_generation_days),
                ),
            ),
            auditing=Auditing(database),
            repeating=Repeating(database),
        )

    def probe_store(self) -> None:
        """Write, read and remove an object, and say loudly what the store lacks; for the start of a process."""
        for lack in self.store.probe():
            log.error("the object store: %s", lack)

    def check_ready(self) -> None:
        """Raises: NotReady, naming the part that does not answer."""
        self.database.ping()
        try:
            self.store.ping()
        except OSError as error:
            raise NotReady("object store") from error

    def queue_depth(self) -> dict[tuple[str, str], int]:
        """Jobs by (queue, status). Raises: NotReady."""
        with self.database.read() as tx:
            return queue.depth(tx)

    def close(self) -> None:
        self.database.close()
