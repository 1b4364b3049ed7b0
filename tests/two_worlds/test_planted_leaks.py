"""The harness sees: leaks of the kinds that registries have had, planted one by one, and each found by few scripts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.caller import Caller
from app.domain.digest import digest_of_json
from app.errors import Forbidden, NotFound
from app.lineage import blobs, merges, repositories, versions
from app.lineage.engine import Connection
from app.services import finding
from app.services.reading import Reading
from app.services.registering import Registering
from app.services.tracing import Direction, Tracing
from app.services.uploading import Uploading
from tests.two_worlds.playing import difference
from tests.two_worlds.worlds import Pair

most_scripts = 200
"""Far more than it takes: playing ends with the first difference."""
Plant = Callable[[pytest.MonkeyPatch], None]


def all_seeing(caller: Caller) -> Caller:
    return replace(caller, is_admin=True)


def a_page_is_cut_before_rights_are_looked_at(patch: pytest.MonkeyPatch) -> None:
    search = Registering.search

    def planted(self: Registering, caller: Caller, **filters: Any) -> Any:
        readable = {row.id for row in search(self, caller, **{**filters, "limit": 1000})}
        return [row for row in search(self, all_seeing(caller), **filters) if row.id in readable]

    patch.setattr(Registering, "search", planted)


def forbidden_instead_of_not_found(patch: pytest.MonkeyPatch) -> None:
    repository = finding.repository

    def planted(tx: Connection, name: Any, caller: Caller, pointer: str | None = None) -> Any:
        try:
            return repository(tx, name, caller, pointer)
        except NotFound:
            if repositories.find(tx, name, all_seeing(caller)) is not None:
                raise Forbidden("read", str(name)) from None
            raise

    patch.setattr(finding, "repository", planted)


def an_entity_tag_depends_on_what_builds_on_a_version(patch: pytest.MonkeyPatch) -> None:
    archive = Reading.archive

    def planted(self: Reading, caller: Caller, name: Any, ref: str, **others: Any) -> Any:
        found = archive(self, caller, name, ref, **others)
        traced = Tracing(self.database).trace(all_seeing(caller), name, ref, Direction.DESCENDANTS, None)
        return replace(found, digest=digest_of_json([found.size_bytes, len(traced.nodes)]))

    patch.setattr(Reading, "archive", planted)


def a_cached_result_is_told_to_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(merges, "is_known_to", lambda tx, execution, caller: True)


def a_lookup_by_hash_forgets_the_rights(patch: pytest.MonkeyPatch) -> None:
    holding = versions.holding
    patch.setattr(versions, "holding", lambda tx, digest, caller, limit: holding(tx, digest, all_seeing(caller), limit))


def a_digest_gives_access_to_its_bytes(patch: pytest.MonkeyPatch) -> None:
    nameable = blobs.nameable
    patch.setattr(blobs, "nameable", lambda tx, caller, digests: nameable(tx, all_seeing(caller), digests))


def known_bytes_need_not_be_sent_again(patch: pytest.MonkeyPatch) -> None:
    begin = Uploading.begin

    def planted(self: Uploading, caller: Caller, digest: Any, size_bytes: int) -> Any:
        made = begin(self, caller, digest, size_bytes)
        with self.database.read() as tx:
            is_known = bool(versions.holding(tx, digest, all_seeing(caller), 1))
        return replace(made, parts=tuple(replace(part, is_done=is_known or part.is_done) for part in made.parts))

    patch.setattr(Uploading, "begin", planted)


def hidden_descendants_leave_a_mark(patch: pytest.MonkeyPatch) -> None:
    trace = Tracing.trace

    def planted(self: Tracing, caller: Caller, name: Any, ref: str, direction: Direction, depth: int | None) -> Any:
        found = trace(self, caller, name, ref, direction, depth)
        everything = trace(self, all_seeing(caller), name, ref, direction, depth)
        return replace(found, is_truncated=len(everything.nodes) > len(found.nodes))

    patch.setattr(Tracing, "trace", planted)


def the_wording_tells_hidden_from_absent(patch: pytest.MonkeyPatch) -> None:
    version = Reading.version

    def planted(self: Reading, caller: Caller, name: Any, ref: str) -> Any:
        try:
            return version(self, caller, name, ref)
        except NotFound:
            with self.database.read() as tx:
                holder = repositories.find(tx, name, all_seeing(caller))
            raise NotFound(f"{name}@{ref}" if holder is None else f"{holder.full_name}@{ref} ") from None

    patch.setattr(Reading, "version", planted)


plants: list[Plant] = [
    a_page_is_cut_before_rights_are_looked_at,
    forbidden_instead_of_not_found,
    an_entity_tag_depends_on_what_builds_on_a_version,
    a_cached_result_is_told_to_whoever_asks,
    a_lookup_by_hash_forgets_the_rights,
    a_digest_gives_access_to_its_bytes,
    known_bytes_need_not_be_sent_again,
    hidden_descendants_leave_a_mark,
    the_wording_tells_hidden_from_absent,
]


@pytest.mark.parametrize("plant", plants, ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_found(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    with pair.copies(tmp_path) as worlds:
        plant(monkeypatch)
        found = next((told for seed in range(most_scripts) if (told := difference(*worlds, seed)[0])), None)
    assert found is not None, "played on without seeing it"
