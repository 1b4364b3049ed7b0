"""Webhooks over REST, delivered to real receivers: what they are told, in which order, and what they are never told."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text

from app.services import hooking
from app.settings import Settings
from tests.api.conftest import Registry, User, done, make_adapter, refused
from tests.api.test_stacks import put
from tests.outbound.receivers import Receiver, receiver, sentinel

everything = [
    "version.published", "version.deleted", "version.recalled", "version.restored", "alias.moved", "alias.removed",
    "repository.changed", "lock.created", "proposal.opened", "merge.finished",
]  # fmt: skip


@pytest.fixture
def local(open_registry: Callable[[Settings], Registry], settings: Settings) -> Registry:
    """A registry whose webhooks may lie on this machine."""
    return open_registry(settings.model_copy(update={"outbound_networks": "127.0.0.0/8", "outbound_seconds": 2.0}))


def hook(user: User, url: str, *events: str, **scope: str) -> dict[str, Any]:
    body = {"url": url, "events": list(events) or everything, **(scope or {"namespace": user.name})}
    return done(user.post("/webhooks", body), 201)


def told(found: Receiver) -> list[tuple[str, str | None]]:
    """(type, version) of everything that came in."""
    bodies = [json.loads(body) for body in found.bodies]
    return [(body["type"], body["version"] and body["version"]["reference"]) for body in bodies]


def due_now(registry: Registry) -> None:
    """As if every pause were over."""
    with registry.services.database.begin() as tx:
        tx.execute(text("UPDATE webhooks SET due_at = clock_timestamp() WHERE due_at IS NOT NULL"))
    registry.services.hooking.deliver()


def test_events_come_signed_in_their_order(local: Registry) -> None:
    alice = local.user("alice")
    with receiver() as found:
        made = hook(alice, found.url)
        alice.publish("alice/x", make_adapter(1), version="1.0.0")
        done(alice.put("/repositories/alice/x/aliases/prod", {"version": "1.0.0"}))
        recall = done(alice.post("/recalls", {"version": "alice/x@1.0.0", "reason": "bad"}), 201)
        done(alice.delete(f"/recalls/{recall['id']}"), 204)
        done(alice.delete("/repositories/alice/x/aliases/prod"), 204)
        done(alice.delete("/repositories/alice/x/versions/1.0.0"), 204)
        local.work()
    assert told(found) == [
        ("version.published", "alice/x@1.0.0"),
        ("alias.moved", "alice/x@1.0.0"),
        ("version.recalled", "alice/x@1.0.0"),
        ("version.restored", "alice/x@1.0.0"),
        ("alias.removed", "alice/x@1.0.0"),
        ("version.deleted", "alice/x@1.0.0"),
    ]
    for headers, body in zip(found.received, found.bodies, strict=True):
        message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = hmac.new(made["secret"].encode(), message, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(signature).decode()
        assert json.loads(body)["id"] == headers["webhook-id"]


def test_stacks_tell_of_locks_proposals_and_merges(local: Registry) -> None:
    alice = local.user("alice")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    with receiver() as found:
        hook(
            alice,
            found.url,
            "lock.created",
            "proposal.opened",
            "merge.finished",
            "version.published",
            repository="alice/x",
        )
        put(alice, "alice/chat", "alice/x", update="propose")
        hook(alice, found.url, "lock.created", "proposal.opened", "merge.finished", repository="alice/chat")
        local.work()
        done(alice.post("/stacks/alice/chat/proposals/1/accept"), 201)
        local.work()
    bodies = [json.loads(body) for body in found.bodies if json.loads(body)["repository"] == "alice/chat"]
    assert [(body["type"], body["details"].get("proposal"), body["details"].get("lock")) for body in bodies] == [
        ("proposal.opened", 1, None),
        ("lock.created", None, 1),
        ("merge.finished", None, None),
    ]
    assert bodies[-1]["version"]["reference"] == "alice/chat@1.0.0"


def test_a_webhook_hears_only_of_its_scope_and_of_what_it_asked_for(local: Registry) -> None:
    alice, bob = local.user("alice"), local.user("bob")
    for name in ("x", "y"):
        alice.repository(name)
    with receiver() as found:
        hook(alice, found.url, "version.published", repository="alice/x")
        for user, name in ((alice, "alice/x"), (alice, "alice/y"), (bob, "bob/z")):
            user.publish(name, make_adapter(1), version="1.0.0")
        done(alice.put("/repositories/alice/x/aliases/prod", {"version": "1.0.0"}))
        local.work()
    assert told(found) == [("version.published", "alice/x@1.0.0")]


def test_a_webhook_is_told_nothing_that_its_user_may_not_read_any_more(local: Registry) -> None:
    alice, bob = local.user("alice"), local.user("bob")
    done(
        bob.post(
            "/organizations",
            {"name": "acme", "members": [{"user": "bob", "role": "owner"}, {"user": "alice", "role": "owner"}]},
        ),
        201,
    )
    bob.repository("acme/hush", visibility="private")
    with receiver() as found:
        hook(alice, found.url, "version.published", namespace="acme")
        bob.publish("acme/hush", make_adapter(1), version="1.0.0")
        local.work()
        done(bob.patch("/organizations/acme", {"members": [{"user": "alice", "role": None}]}))
        bob.publish("acme/hush", make_adapter(2), version="1.1.0")
        local.work()
    assert told(found) == [("version.published", "acme/hush@1.0.0")]


def test_what_was_sent_and_what_waits_is_told_only_as_long_as_there_is_a_right_to_it(local: Registry) -> None:
    alice, bob = local.user("alice"), local.user("bob")
    bob.publish("bob/parts", make_adapter(1), version="1.0.0")
    alice.repository("mix")
    with receiver(lambda number: 204 if number == 0 else 500) as found:
        made = hook(alice, found.url, "version.published")
        for number in range(2):
            layers = [{"adapter": "bob/parts@1.0.0", "weight": 1.0 + number}]
            publish = {"repository": "alice/mix", "version": f"1.{number}.0"}
            local.merge(alice, {"layers": layers, "publish": publish})
        assert [version for _, version in told(found)] == ["alice/mix@1.0.0", "alice/mix@1.1.0"]

        def history() -> list[tuple[str, bool, str]]:
            items = done(alice.get(f"/webhooks/{made['id']}/deliveries"))["items"]
            return [(it["state"], it["payload"] is None, it["id"]) for it in items]

        assert [entry[:2] for entry in history()] == [("waiting", False), ("delivered", False)]
        # a version is read by who may read all that is in it
        done(bob.patch("/repositories/bob/parts", {"visibility": "private"}))
        due_now(local)
        assert len(found.bodies) == 2, "what waited is not sent"
        assert [entry[:2] for entry in history()] == [("failed", True), ("delivered", True)]
        sent = history()[1][2]
        refused(alice.post(f"/webhooks/{made['id']}/deliveries/{sent}/replay"), 404, "not-found")
        assert "alice/mix@1" not in alice.get(f"/webhooks/{made['id']}/deliveries").text
        done(bob.patch("/repositories/bob/parts", {"visibility": "public"}))
        assert [entry[:2] for entry in history()] == [("failed", False), ("delivered", False)]
        done(alice.post(f"/webhooks/{made['id']}/deliveries/{sent}/replay"), 202)
        local.work()
        assert told(found)[-1] == ("version.published", "alice/mix@1.0.0")


def test_what_is_not_taken_is_tried_again_before_anything_later(local: Registry) -> None:
    alice = local.user("alice")
    alice.repository("x")
    with receiver(lambda number: 500 if number < 4 else 204) as found:
        made = hook(alice, found.url, "version.published")
        for number in range(3):
            alice.publish("alice/x", make_adapter(number), version=f"1.{number}.0")
        local.work()
        for _ in range(6):
            due_now(local)
        expected = [("version.published", f"alice/x@1.{number}.0") for number in (0, 0, 0, 0, 0, 1, 2)]
        assert told(found) == expected
        listed = done(alice.get(f"/webhooks/{made['id']}/deliveries?limit=2"))
        assert [(it["state"], it["attempts"], it["status"]) for it in listed["items"]] == [("delivered", 1, 204)] * 2
        rest = done(alice.get(f"/webhooks/{made['id']}/deliveries?limit=2&cursor={listed['next_cursor']}"))
        assert [(it["state"], it["attempts"]) for it in rest["items"]] == [("delivered", 5)]

        again = done(alice.post(f"/webhooks/{made['id']}/deliveries/{rest['items'][0]['id']}/replay"), 202)
        assert again["state"] == "waiting"
        local.work()
        assert told(found) == [*expected, expected[0]]
        assert found.received[-1]["webhook-id"] == again["id"]


def test_receivers_that_hang_reset_or_fail_block_nobody_else(local: Registry) -> None:
    alice = local.user("alice")
    alice.repository("x")
    with sentinel() as hanging, sentinel(resets=True) as rude, receiver(lambda _: 500) as failing, receiver() as good:
        for url in (f"http://127.0.0.1:{hanging.port}/", f"http://127.0.0.1:{rude.port}/", failing.url, good.url):
            hook(alice, url, "version.published")
        for number in range(3):
            alice.publish("alice/x", make_adapter(number), version=f"1.{number}.0")
        local.services.following.tell()
        local.services.hooking.deliver()
        assert told(good) == [("version.published", f"alice/x@1.{number}.0") for number in range(3)]
        assert {version for _, version in told(failing)} == {"alice/x@1.0.0"}
    waiting = {
        webhook["url"]: [it["state"] for it in done(alice.get(f"/webhooks/{webhook['id']}/deliveries"))["items"]]
        for webhook in done(alice.get("/webhooks"))["items"]
    }
    assert waiting.pop(good.url) == ["delivered"] * 3
    assert list(waiting.values()) == [["waiting"] * 3] * 3


def test_two_workers_send_everything_once_and_in_order(local: Registry) -> None:
    alice = local.user("alice")
    alice.repository("x")
    with receiver() as first, receiver() as second:
        for found in (first, second):
            hook(alice, found.url, "alias.moved")
        alice.publish("alice/x", make_adapter(1), version="1.0.0")
        for number in range(12):
            done(alice.put(f"/repositories/alice/x/aliases/a{number}", {"version": "1.0.0"}))
        start = threading.Barrier(3)

        def work() -> None:
            start.wait()
            local.services.following.tell()
            local.services.hooking.deliver()

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: work(), range(3)))
        local.services.hooking.deliver()
    for found in (first, second):
        assert [json.loads(body)["details"]["alias"] for body in found.bodies] == [f"a{n}" for n in range(12)]


def test_the_delivery_of_a_worker_that_died_is_sent_when_its_lease_ends(local: Registry) -> None:
    alice = local.user("alice")
    with receiver() as found:
        hook(alice, found.url, "version.published")
        alice.publish("alice/x", make_adapter(1), version="1.0.0")
        local.services.following.tell()
        # claimed, and never heard of again
        assert local.services.hooking._claim() is not None
        local.services.hooking.deliver()
        assert found.bodies == []
        with local.services.database.begin() as tx:
            tx.execute(text("UPDATE webhooks SET leased_until = now() - interval '1 second'"))
        local.services.hooking.deliver()
        assert told(found) == [("version.published", "alice/x@1.0.0")]


def jobs_to_deliver(registry: Registry) -> list[bool]:
    """Of each queued job whether it waits for a lease to end."""
    with registry.services.database.read() as tx:
        found = tx.execute(
            text(
                "SELECT coalesce(scheduled_at > now() + interval '30 seconds', false) FROM procrastinate_jobs"
                " WHERE task_name = 'deliver'"
            )
        )
        return sorted(found.scalars())


def told_of_two(registry: Registry, found: Receiver) -> None:
    """Somebody who asked for it is about to be sent two things, and no job is queued."""
    alice = registry.user("alice")
    hook(alice, found.url, "version.published")
    alice.publish("alice/x", make_adapter(1), version="1.0.0")
    alice.publish("alice/x", make_adapter(2), version="1.1.0")
    registry.services.following.tell()
    with registry.services.database.begin() as tx:
        tx.execute(text("DELETE FROM procrastinate_jobs"))


def test_a_job_looks_after_every_delivery_whose_worker_may_die(local: Registry) -> None:
    with receiver() as found:
        told_of_two(local, found)
        assert local.services.hooking._claim() is not None
    assert jobs_to_deliver(local) == [True]


def test_a_worker_that_stops_leaves_what_is_due_to_another_job(local: Registry) -> None:
    with receiver() as found:
        told_of_two(local, found)
        local.services.hooking.deliver(lambda: len(found.bodies) > 0)
        assert told(found) == [("version.published", "alice/x@1.0.0")]
        assert jobs_to_deliver(local) == [False, True]
        local.work()
        assert told(found) == [("version.published", f"alice/x@1.{number}.0") for number in range(2)]


def test_deliveries_leave_other_chores_their_turn(local: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as found:
        told_of_two(local, found)
        monkeypatch.setattr(hooking, "turn_seconds", 0)
        local.services.hooking.deliver()
        assert told(found) == []
        assert jobs_to_deliver(local) == [False]


def test_those_who_send_need_no_connection_to_the_database(local: Registry) -> None:
    users: set[str] = set()

    def note(*_: object) -> None:
        users.add(threading.current_thread().name)

    with receiver() as found:
        told_of_two(local, found)
        engine = local.services.database.engine
        event.listen(engine, "checkout", note)
        try:
            local.services.hooking.deliver()
        finally:
            event.remove(engine, "checkout", note)
        assert len(found.bodies) == 2
    assert users == {threading.current_thread().name}


def test_who_may_have_webhooks_and_see_them(local: Registry, registry: Registry) -> None:
    alice, bob = local.user("alice"), local.user("bob")
    alice.repository("hush", visibility="private")
    alice.repository("open")
    made = hook(alice, "https://example.org/hook", "version.published")
    assert made["secret"].startswith("whsec_")
    body = {"url": "https://example.org/hook", "events": ["version.published"]}
    refused(bob.post("/webhooks", body | {"namespace": "alice"}), 403, "forbidden")
    refused(bob.post("/webhooks", body | {"repository": "alice/open"}), 403, "forbidden")
    refused(bob.post("/webhooks", body | {"repository": "alice/hush"}), 404, "not-found")
    refused(alice.post("/webhooks", body), 422, "malformed-request")
    refused(
        alice.post("/webhooks", body | {"namespace": "alice", "repository": "alice/open"}), 422, "malformed-request"
    )
    refused(alice.post("/webhooks", body | {"namespace": "alice", "events": ["all"]}), 422, "malformed-request")
    for path in ("", "/deliveries"):
        refused(bob.get(f"/webhooks/{made['id']}{path}"), 404, "not-found")
    refused(bob.delete(f"/webhooks/{made['id']}"), 404, "not-found")
    assert done(bob.get("/webhooks"))["items"] == []
    assert "secret" not in alice.get(f"/webhooks/{made['id']}").text
    done(alice.delete(f"/webhooks/{made['id']}"), 204)
    refused(alice.get(f"/webhooks/{made['id']}"), 404, "not-found")

    strict = registry.with_token("alice", alice.token or "")
    for url in ("http://127.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://user@example.org/"):
        problem = refused(strict.post("/webhooks", body | {"namespace": "alice", "url": url}), 422, "address-refused")
        assert problem["pointer"] == "/url"
