"""Nothing that is needed is ever collected, whatever happens at the same time; and the harness would see it."""

import os

import pytest

from app.services.collecting import Collecting
from tests.api.conftest import Registry
from tests.collection.soak import PlantedCollecting, Soak, on_slow_store, terms

seconds = float(os.environ.get("SOAK_SECONDS", "12"))
"""`make soak` takes ten minutes."""


pytestmark = pytest.mark.slow


@pytest.fixture
def slow_registry(registry: Registry) -> Registry:
    # what the first merge of a process loads takes seconds
    import app.worker.execution  # noqa: F401

    registry.services = on_slow_store(registry.services)
    return registry


def test_a_soak_loses_nothing_and_leaves_nothing(slow_registry: Registry) -> None:
    services = slow_registry.services
    soak = Soak(slow_registry, Collecting(services.database, services.store, terms()))
    soak.run(seconds, people=4)
    assert (soak.errors, soak.lost) == ([], set())
    # it did meet what it is about
    assert min(soak.counts.get(what, 0) for what in ("pushed", "read", "merges", "blobs", "orphans")) >= 3, soak.counts
    soak.clear()
    assert [stored.digest for stored in services.store.digests()] == []
    assert [slow_registry.rows(table) for table in ("blobs", "deletions", "leases")] == [0, 0, 0]


def test_the_same_soak_catches_a_collection_without_leases(slow_registry: Registry) -> None:
    services = slow_registry.services
    soak = Soak(slow_registry, PlantedCollecting(services.database, services.store, terms()))
    # it ends when it has seen something
    soak.run(seconds=60, people=4)
    assert soak.lost or any("BlobDamaged" in error for error in soak.errors), (soak.counts, soak.errors)
