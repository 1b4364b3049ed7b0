"""What is over: unfinished uploads, receipts and kept answers whose time has come."""

from datetime import timedelta

from app.lineage import blobs, idempotency
from app.lineage.engine import Database
from app.objects.store import ObjectStore


class Collecting:
    def __init__(
        self, database: Database, store: ObjectStore, *, upload_lease: timedelta, answers_kept: timedelta
    ) -> None:
        self.database = database
        self.store = store
        self.upload_lease = upload_lease
        self.answers_kept = answers_kept

    def collect(self) -> dict[str, int]:
        """How many of each were dropped."""
        with self.database.begin() as tx:
            uploads = blobs.expire_uploads(tx)
            receipts = blobs.expire_receipts(tx)
            answers = idempotency.expire(tx, self.answers_kept)
        # rows first: parts without a row are never read, a row without parts would seem to begin anew
        for upload in uploads:
            self.store.discard_upload(upload)
        # what is being written now is younger than the longest upload may last
        swept = self.store.sweep(self.upload_lease.total_seconds())
        return {"uploads": len(uploads), "receipts": receipts, "answers": answers, "leftovers": swept}
