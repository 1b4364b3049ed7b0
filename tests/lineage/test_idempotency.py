"""Keys that many requests want at the same moment."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from app.lineage import accounts, idempotency
from app.lineage.engine import Database


def test_a_key_that_is_released_while_others_ask_for_it_is_always_theirs_or_somebody_elses(database: Database) -> None:
    """A conflict locks the row that it is with, so that it is there when it is read."""
    user = uuid4()
    with database.begin() as tx:
        accounts.create_namespace(tx, user, "alice", "user")
    end = time.monotonic() + 3

    def ask(_: int) -> int:
        times = 0
        while time.monotonic() < end:
            with database.begin() as tx:
                is_mine = idempotency.reserve(tx, user, "key", b"same", timedelta(hours=1)) is None
            if is_mine:
                times += 1
                with database.begin() as tx:
                    idempotency.release(tx, user, "key")
        return times

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) > 10
