"""Chunks: sent once in a generation, kept and counted as long as it lasts."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from app.services.xet import Xet
from app.settings import Settings
from tests.api.conftest import Registry, digest_of, done, make_adapter
from tests.hub.conftest import Hub, Serve, environments
from tests.hub.talking import cas, chunk, create, get, shard, shard_file

data = bytes(range(256)) * 100
name = "d" * 64

upload_twice = """
import json, sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("alice/changed", private=True)
for path in sys.argv[1:]:
    api.upload_file(path_or_fileobj=path, path_in_repo="model.bin", repo_id="alice/changed")
"""


@pytest.mark.slow
def test_a_slightly_changed_copy_sends_little(hub: Hub, tmp_path: Path) -> None:
    alice = hub.user("alice")
    large = bytearray(os.urandom(20_000_000))
    (tmp_path / "first.bin").write_bytes(large)
    large[10_000_000:10_000_100] = os.urandom(100)
    (tmp_path / "second.bin").write_bytes(large)
    hub.run(upload_twice, str(tmp_path / "first.bin"), str(tmp_path / "second.bin"), user=alice)
    with hub.registry.services.database.read() as tx:
        sizes = tx.execute(text("SELECT size_bytes FROM xorbs JOIN blobs USING (digest)")).scalars().all()
    # all of the first copy, and of the second what had changed
    assert len(large) <= sum(sizes) < 1.05 * len(large)
    assert get(alice, "/alice/changed/resolve/main/model.bin").content == large


def test_chunks_are_kept_for_a_generation_and_the_next_and_then_collected(registry: Registry) -> None:
    alice = registry.user("alice")
    repository = create(alice, "one")
    base = cas(alice, repository)
    done(alice.request("POST", f"{base}/v1/xorbs/default/{name}", content=chunk(data, 1)))
    listing = shard(shard_file(digest_of(data), [(name, len(data), 0, 1)]))
    generation = registry.services.xet.generation
    assert f"/xet/g{generation}/" in base
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE xorbs SET generation = generation - 1"))
    older = base.replace(f"/g{generation}/", f"/g{generation - 1}/")
    # a client that began before the generation ended can finish
    done(alice.request("POST", f"{older}/v1/shards", content=listing))
    assert registry.services.collecting.collect()["xorbs"] == 0
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE xorbs SET generation = generation - 1"))
    oldest = base.replace(f"/g{generation}/", f"/g{generation - 2}/")
    assert alice.request("POST", f"{oldest}/v1/shards", content=listing).status_code == 404
    assert registry.services.collecting.collect()["xorbs"] == 1
    assert registry.rows("xorbs") == 0


def test_a_repository_that_is_opened_again_has_its_chunks(registry: Registry) -> None:
    alice = registry.user("alice")
    repository = create(alice, "one")
    base = cas(alice, repository)
    done(alice.request("POST", f"{base}/v1/xorbs/default/{name}", content=chunk(data, 1)))
    done(alice.request("DELETE", "/api/repos/delete", json={"name": "one"}))
    assert registry.services.collecting.collect()["xorbs"] == 0
    create(alice, "one")
    # to its clients the address is the same, and what they sent there is there
    assert cas(alice, repository) == base
    listing = shard(shard_file(digest_of(data), [(name, len(data), 0, 1)]))
    done(alice.request("POST", f"{base}/v1/shards", content=listing))


def test_a_shard_may_name_more_xorbs_than_a_statement_has_parameters(registry: Registry) -> None:
    alice = registry.user("alice")
    repository = create(alice, "one")
    base = cas(alice, repository)
    listing = shard(shard_file(digest_of(data), [(f"{at:064x}", 10, 0, 1) for at in range(70_000)]))
    answer = alice.request("POST", f"{base}/v1/shards", content=listing)
    assert (answer.status_code, "are not here" in answer.text) == (400, True)


def test_a_large_shard_is_sent_away_from_where_newer_servers_take_it_like_a_small_one(registry: Registry) -> None:
    alice = registry.user("alice")
    base = cas(alice, create(alice, "one"))
    # a client goes on by the older way after a 404 alone
    answers = [alice.request("POST", f"{base}/v2/shards", content=bytes(size)) for size in (0, 10, 5_000_000)]
    assert [answer.status_code for answer in answers] == [404] * 3


def test_a_generation_ends_when_its_time_is_over(registry: Registry) -> None:
    services = registry.services
    now = 1_000_000.0
    xet = Xet(
        services.database,
        services.store,
        services.publishing.holding,
        services.uploading,
        generation_seconds=1000,
        clock=lambda: now,
    )
    assert (xet.generation, xet.oldest) == (1000, 999)
    now += 1000
    assert (xet.generation, xet.oldest) == (1001, 1000)


def test_chunks_count_in_the_quota(open_registry: Callable[[Settings], Registry], settings: Settings) -> None:
    registry = open_registry(settings.model_copy(update={"max_namespace_bytes": 40_000}))
    alice = registry.user("alice")
    repository = create(alice, "one")
    base = cas(alice, repository)
    noise = os.urandom(30_000)
    done(alice.request("POST", f"{base}/v1/xorbs/default/{name}", content=chunk(noise)))
    before = registry.objects()
    answer = alice.request("POST", f"{base}/v1/xorbs/default/{'e' * 64}", content=chunk(os.urandom(30_000)))
    assert (answer.status_code, registry.objects()) == (413, before)
    # and what is put together from them is counted too
    listing = shard(shard_file(digest_of(noise), [(name, len(noise), 0, 1)]))
    assert alice.request("POST", f"{base}/v1/shards", content=listing).status_code == 413


upload_too_much = """
import json, sys
from huggingface_hub import HfApi
try:
    HfApi().upload_file(path_or_fileobj=sys.argv[1], path_in_repo="a.bin", repo_id="alice/one")
except Exception as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("client", "xet"), [("0.36", True), ("2.4", True), ("2.4", False)])
def test_a_client_whose_namespace_is_full_is_told_so_and_does_not_try_for_ever(
    serve: Serve,
    open_registry: Callable[[Settings], Registry],
    settings: Settings,
    tmp_path: Path,
    client: str,
    xet: bool,
) -> None:
    hub = serve(open_registry(settings.model_copy(update={"max_namespace_bytes": 2_000_000})))
    alice = hub.user("alice")
    create(alice, "one")
    (tmp_path / "large.bin").write_bytes(os.urandom(8_000_000))
    python = str(environments / f"hub-{client}" / "bin" / "python")
    found = hub.run(upload_too_much, str(tmp_path / "large.bin"), user=alice, python=python, xet=xet)
    assert "413" in found, found


def test_addresses_lead_to_where_clients_find_the_server(
    open_registry: Callable[[Settings], Registry], settings: Settings
) -> None:
    registry = open_registry(settings.model_copy(update={"public_url": "https://hub.example.org/"}))
    alice = registry.user("alice")
    made = done(alice.request("POST", "/api/repos/create", json={"name": "one"}))
    assert made["url"] == "https://hub.example.org/alice/one"
    alice.publish("alice/one", make_adapter(1))
    link = get(alice, "/api/models/alice/one/commits/main?limit=1").headers["Link"]
    assert re.fullmatch(
        r'<https://hub\.example\.org/api/models/alice/one/commits/main\?limit=1&cursor=[0-9a-f]{40}>; rel="next"', link
    )
    granted = done(get(alice, "/api/models/alice/one/xet-write-token/main"))
    assert granted["casUrl"].startswith("https://hub.example.org/xet/g")
    batch = {"operation": "upload", "objects": [{"oid": "a" * 64, "size": 5}]}
    answer = done(alice.request("POST", "/alice/one.git/info/lfs/objects/batch", json=batch))
    assert answer["objects"][0]["actions"]["upload"]["href"].startswith("https://hub.example.org/uploads/")
