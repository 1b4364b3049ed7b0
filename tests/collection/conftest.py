"""A registry whose time can be moved on."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.objects.local import LocalStore
from app.settings import Settings
from tests.api.conftest import Registry
from tests.api.conftest import open_registry as open_registry
from tests.api.conftest import registry as registry
from tests.api.conftest import settings as settings

times = {
    "receipts": "expires_at",
    "uploads": "expires_at",
    "leases": "expires_at",
    "blobs": "unneeded_since",
    "repositories": "deleted_at",
    "deletions": "claimed_at",
}


@dataclass
class Collected:
    """A registry, what a collection does to it, and what is left."""

    registry: Registry

    @property
    def store(self) -> LocalStore:
        store = self.registry.services.store
        assert isinstance(store, LocalStore)
        return store

    def collect(self) -> dict[str, int]:
        """What was dropped, of those kinds of which anything was."""
        return {kind: count for kind, count in self.registry.services.collecting.collect().items() if count}

    def later(self, hours: float) -> None:
        """So much time passes: everything that is dated becomes older."""
        with self.registry.services.database.begin() as tx:
            for table, column in times.items():
                tx.execute(text(f"UPDATE {table} SET {column} = {column} - :by"), {"by": timedelta(hours=hours)})
        for folder in (self.store.objects, self.store.uploads, self.store.temporaries):
            for path in folder.rglob("*"):
                modified = path.stat().st_mtime - hours * 3600
                os.utime(path, (modified, modified))

    def days(self, count: int) -> dict[str, int]:
        """The sum of what the collections of so many days drop, one a day."""
        total: dict[str, int] = {}
        for _ in range(count):
            self.later(25)
            for kind, number in self.collect().items():
                total[kind] = total.get(kind, 0) + number
        return total

    def digests(self) -> set[str]:
        return {stored.digest for stored in self.store.digests()}


@pytest.fixture
def collected(registry: Registry) -> Collected:
    return Collected(registry)


@pytest.fixture
def open_collected(open_registry: Callable[[Settings], Registry]) -> Callable[[Settings], Collected]:
    return lambda settings: Collected(open_registry(settings))
