"""What a collection takes, when, and what it leaves alone."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.digest import digest_of_bytes
from app.errors import BeingCollected, NotReady
from app.settings import Settings
from tests.api.conftest import Registry, digest_of, done, make_adapter, refused, with_s3
from tests.collection.conftest import Collected
from tests.hub import talking
from tests.s3server.server import S3Server

one, two = make_adapter(1), make_adapter(2)
files = set(map(digest_of, one.files.values()))


def test_bytes_that_no_version_came_to_hold_go_a_grace_period_after_their_receipt(collected: Collected) -> None:
    collected.registry.user("alice").upload(b"never named")
    assert collected.collect() == {}
    collected.later(25)
    # unneeded from now on
    assert collected.collect() == {"receipts": 1}
    collected.later(23)
    assert collected.collect() == {}
    collected.later(2)
    assert collected.collect() == {"blobs": 1}
    assert collected.digests() == set()
    assert [collected.registry.rows(table) for table in ("blobs", "deletions", "leases")] == [0, 0, 0]


def test_a_version_keeps_its_bytes_until_a_grace_period_after_its_deletion(collected: Collected) -> None:
    alice = collected.registry.user("alice")
    alice.publish("alice/a", one)
    assert "blobs" not in collected.days(3)
    assert collected.digests() == files
    done(alice.delete("/repositories/alice/a/versions/1.0.0"), 204)
    assert collected.collect() == {}
    collected.later(23)
    assert collected.collect() == {}
    collected.later(2)
    assert collected.collect() == {"blobs": 2}
    assert collected.digests() == set()
    gone = refused(alice.get("/repositories/alice/a/versions/1.0.0"), 410, "deleted")
    assert gone["digest"]
    # its number stays used; its files can come again
    assert alice.publish("alice/a", one)["version"] != "1.0.0"


def test_what_is_needed_again_within_the_grace_period_begins_anew(collected: Collected) -> None:
    alice = collected.registry.user("alice")
    alice.publish("alice/a", one)
    done(alice.delete("/repositories/alice/a/versions/1.0.0"), 204)
    collected.days(1)
    collected.later(23)
    alice.publish("alice/a", one)
    assert collected.days(3).get("blobs", 0) == 0
    assert collected.digests() == files


def test_a_deleted_version_keeps_its_bytes_while_anything_stands_on_it(collected: Collected) -> None:
    alice, bob = collected.registry.user("alice"), collected.registry.user("bob")
    alice.publish("alice/a", one)
    bob.publish("bob/b", two, builds_on=["alice/a@1.0.0"])
    bob.publish("bob/c", make_adapter(3), builds_on=["bob/b@1.0.0"])
    done(alice.delete("/repositories/alice/a/versions/1.0.0"), 204)
    done(bob.delete("/repositories/bob/b/versions/1.0.0"), 204)
    assert "blobs" not in collected.days(3)
    merge = collected.registry.merge(bob, {"layers": [{"adapter": "bob/c@1.0.0"}]})
    assert merge["state"] == "succeeded"
    assert len(merge["plan"]["trunk"]) == 2
    done(bob.delete("/repositories/bob/c/versions/1.0.0"), 204)
    collected.days(3)
    # what is left is the result in the merge cache
    assert collected.digests() == {file["digest"] for file in merge["result"]["files"]}


def test_a_deleted_repository_can_be_reopened_whole_for_a_grace_period_and_empty_after(collected: Collected) -> None:
    alice = collected.registry.user("alice")
    alice.publish("alice/a", one)
    done(alice.delete("/repositories/alice/a"), 204)
    collected.later(23)
    collected.collect()
    alice.repository("a")
    done(alice.get("/repositories/alice/a/versions/1.0.0"))
    done(alice.delete("/repositories/alice/a"), 204)
    assert collected.days(2)["versions"] == 1
    assert collected.digests() == set()
    alice.repository("a")
    refused(alice.get("/repositories/alice/a/versions/1.0.0"), 410, "deleted")
    refused(alice.try_publish("alice/a", one.files, version="1.0.0"), 409, "version-exists")


@pytest.mark.parametrize("has_version", [True, False])
def test_a_repository_that_is_reopened_after_its_files_went_begins_anew(
    collected: Collected, has_version: bool
) -> None:
    alice = collected.registry.user("alice")
    name = talking.create(alice, "a")
    first = talking.pushed(alice, name, {"README.md": b"# First"})
    beginning = talking.get(alice, f"/api/models/{name}/commits/main").json()[-1]["id"]
    if has_version:
        talking.pushed(alice, name, one.files)
    done(alice.request("POST", f"/api/models/{name}/branch/draft", json={}))
    draft = talking.pushed(alice, name, {"draft.txt": b"draft"}, branch="draft")
    collected.days(1)
    assert talking.get(alice, f"/{name}/resolve/{draft}/draft.txt").status_code == 200
    done(alice.delete(f"/repositories/{name}"), 204)
    collected.days(3)
    assert collected.digests() == set()
    talking.create(alice, "a")
    # what has lost its files is not shown as if it had them
    for revision in (first, draft, "draft"):
        answer = talking.get(alice, f"/api/models/{name}/tree/{revision}")
        assert answer.headers.get("X-Error-Code") == "RevisionNotFound", answer.text
    found = talking.get(alice, f"/api/models/{name}").json()
    assert (found["sha"], found["siblings"]) == (beginning, [])
    again = talking.pushed(alice, name, {"README.md": b"# Again"})
    assert [entry["id"] for entry in talking.get(alice, f"/api/models/{name}/commits/main").json()] == [
        again,
        beginning,
    ]


def test_a_merge_that_waits_keeps_its_inputs(collected: Collected) -> None:
    alice = collected.registry.user("alice")
    alice.publish("alice/a", one)
    asked = done(alice.post("/merges", {"layers": [{"adapter": "alice/a@1.0.0"}]}), 202)
    done(alice.delete("/repositories/alice/a/versions/1.0.0"), 204)
    assert "blobs" not in collected.days(3)
    collected.registry.work()
    assert done(alice.get(f"/merges/{asked['id']}"))["state"] == "succeeded"
    assert collected.days(3)["blobs"] == 2


def place(collected: Collected, data: bytes) -> str:
    """As a server that is killed between placing an object and writing its row."""
    with collected.store.stage() as staged:
        staged.write(data)
        return staged.place()


def test_an_object_without_a_row_goes_by_its_age(collected: Collected) -> None:
    place(collected, b"of a server that was killed")
    assert collected.collect() == {}
    collected.later(25)
    young = place(collected, b"just being written")
    assert collected.collect() == {"orphans": 1}
    assert collected.digests() == {young}


def test_what_is_leased_stays_and_who_lost_its_lease_writes_no_row(collected: Collected) -> None:
    digest = place(collected, b"slow to get its row")
    holding, holder = collected.registry.services.uploading.holding, uuid4()
    holding.hold(holder, {digest: 19}, None)
    with collected.registry.services.database.begin() as tx:
        tx.execute(text("UPDATE leases SET expires_at = expires_at + interval '26 hours'"))
    collected.later(25)
    assert collected.collect() == {}
    collected.later(26)
    assert collected.collect() == {"leases": 1, "orphans": 1}
    with collected.registry.services.database.begin() as tx, pytest.raises(BeingCollected):
        holding.release(tx, holder, {digest: 19})


def test_a_store_that_cannot_be_listed_stops_a_collection_before_it_deletes_anything(collected: Collected) -> None:
    collected.registry.user("alice").upload(b"overdue")
    collected.days(1)
    collected.later(25)
    orphan = place(collected, b"an orphan")
    collected.later(25)
    # last in the order of the listing
    (collected.store.objects / "zz").write_bytes(b"no folder")
    with pytest.raises(NotReady):
        collected.collect()
    (collected.store.objects / "zz").unlink()
    assert collected.digests() == {orphan, digest_of(b"overdue")}
    assert collected.collect() == {"blobs": 1, "orphans": 1}


def test_an_upload_waits_while_its_bytes_are_being_deleted(collected: Collected) -> None:
    data = b"on their way out, and in again"
    digest = place(collected, data)
    database = collected.registry.services.database
    with database.begin() as tx:
        tx.execute(text("INSERT INTO deletions VALUES (:digest, gen_random_uuid(), now())"), {"digest": digest})
    alice = collected.registry.user("alice")
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(alice.upload, data)
        time.sleep(0.5)
        assert not uploading.done()
        # not even placed: what is deleted now is not the upload's
        assert collected.store.delete(digest_of_bytes(data))
        with database.begin() as tx:
            tx.execute(text("DELETE FROM deletions"))
        assert uploading.result(10) == digest
    assert collected.digests() == {digest}
    assert collected.registry.rows("leases") == 0


def test_a_collection_finishes_what_one_that_was_killed_had_begun(collected: Collected) -> None:
    place(collected, b"condemned")
    with collected.registry.services.database.begin() as tx:
        tx.execute(
            text("INSERT INTO deletions VALUES (:digest, gen_random_uuid(), now())"),
            {"digest": digest_of(b"condemned")},
        )
    # the other one may be alive
    assert collected.collect() == {}
    collected.later(1)
    assert collected.collect() == {"orphans": 1}
    assert collected.registry.rows("deletions") == 0


def test_an_upload_goes_on_where_a_collection_was_killed_long_ago(collected: Collected) -> None:
    data = b"condemned, perhaps deleted"
    digest = place(collected, data)
    with collected.registry.services.database.begin() as tx:
        tx.execute(
            text("INSERT INTO deletions VALUES (:digest, gen_random_uuid(), now() - interval '11 minutes')"),
            {"digest": digest},
        )
    assert collected.registry.user("alice").upload(data) == digest
    assert collected.days(1) == {"receipts": 1}
    assert collected.digests() == {digest}


def test_unfinished_uploads_go_with_their_parts_and_so_do_parts_without_an_upload(collected: Collected) -> None:
    alice = collected.registry.user("alice")
    data = b"x" * 100_000
    begun = done(alice.post("/uploads", {"digest": digest_of(data), "size": len(data)}), 201)
    done(alice.put(f"/uploads/{begun['id']}/parts/1", data[: begun["part_size"]]), 204)
    collected.store.write_part(uuid4(), 1, 0, [b"a part of an upload that no row knows"])
    assert collected.collect() == {}
    assert len(list(collected.store.uploads.iterdir())) == 2
    collected.later(25)
    assert collected.collect() == {"uploads": 1, "leftovers": 1}
    assert list(collected.store.uploads.iterdir()) == []
    refused(alice.get(f"/uploads/{begun['id']}"), 404, "not-found")


def test_the_merge_cache_gives_up_what_was_not_used_for_longest_and_no_version_holds(
    settings: Settings, open_collected: Callable[[Settings], Collected]
) -> None:
    collected = open_collected(settings)
    registry, alice = collected.registry, collected.registry.user("alice")
    for number in (1, 2, 3):
        alice.publish(f"alice/a{number}", make_adapter(number))
    recipes = [{"layers": [{"adapter": f"alice/a{number}@1.0.0", "weight": 0.5}]} for number in (1, 2, 3)]
    alice.repository("held")
    published = registry.merge(alice, recipes[0] | {"publish": {"repository": "alice/held"}})
    merges = [registry.merge(alice, recipe) for recipe in recipes[1:]]
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE merge_executions SET last_used_at = last_used_at - interval '1 hour'"))
    # the older of the two is used again
    path = f"/merges/{merges[0]['id']}/files/adapter_model.safetensors"
    assert alice.get(path).status_code == 200
    size = sum(file["size"] for file in merges[0]["result"]["files"])
    small = open_collected(Settings(_env_file=None, **{**settings.model_dump(), "merge_cache_bytes": size}))
    assert small.collect() == {"results": 1}
    assert small.collect() == {}
    assert alice.get(path).status_code == 200
    gone = f"/merges/{merges[1]['id']}/files/adapter_model.safetensors"
    refused(alice.get(gone), 410, "result-evicted")
    assert alice.get(f"/merges/{published['id']}/files/adapter_model.safetensors").status_code == 200
    assert small.days(2)["blobs"] >= 1
    # asked for again it is merged again
    again = alice.post("/merges", recipes[2])
    assert done(again, 202)["state"] == "queued"
    assert registry.work() == 1
    assert alice.get(f"/merges/{again.json()['id']}/files/adapter_model.safetensors").status_code == 200
    refused(alice.get(gone), 410, "result-evicted")


def test_the_same_holds_in_s3(
    settings: Settings, s3_server: S3Server, open_registry: Callable[[Settings], Registry]
) -> None:
    registry = open_registry(with_s3(settings, s3_server, collection_grace_seconds=1))
    alice = registry.user("alice")
    alice.publish("alice/a", one)
    alice.publish("alice/b", two)
    with registry.services.store.stage() as staged:
        staged.write(b"an orphan")
        staged.place()
    done(alice.delete("/repositories/alice/a/versions/1.0.0"), 204)
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE receipts SET expires_at = now()"))
    registry.services.collecting.collect()
    # the store's times are whole seconds
    time.sleep(2.5)
    dropped = registry.services.collecting.collect()
    # the two have one configuration
    assert (dropped["blobs"], dropped["orphans"]) == (1, 1)
    assert {stored.digest for stored in registry.services.store.digests()} == set(map(digest_of, two.files.values()))
