"""Stacks, impact, recalls, proposals and webhooks, asked by an outsider and by the recaller in two worlds: in one of them
somebody keeps private things that stand on what is recalled. Every answer is the same, byte for byte, and so is all that is
sent."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from pydantic import SecretStr

from app.settings import Settings
from tests.api.conftest import Registry, User, done, make_adapter
from tests.api.test_stacks import put
from tests.conftest import PostgresServer
from tests.outbound.receivers import Receiver, receiver

random_words = re.compile(
    r"sha256:[0-9a-f]{64}|whsec_[\w-]+|glu_[\w-]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b"
)
times = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
request_ids = re.compile(r'"request_id": ?"[0-9a-f]+"')
measured = re.compile(r'"elapsed_seconds": ?[\d.]+')
cursors = re.compile(r'"next_cursor": ?"[^"]+"')


@dataclass
class Script:
    """What two people ask, and what they are told."""

    told: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def masked(self, text: str) -> str:
        """What is random is named by the order in which it is first seen."""
        text = cursors.sub("CURSOR", measured.sub("MEASURED", request_ids.sub("REQUEST", times.sub("TIME", text))))
        return random_words.sub(lambda found: self.names.setdefault(found.group(), f"<{len(self.names)}>"), text)

    def note(self, response: Response) -> Response:
        headers = {
            name: value for name, value in response.headers.items() if name in {"location", "etag", "retry-after"}
        }
        request = f"{response.request.method} {response.request.url.path}"
        self.told.append(self.masked(f"{request} {response.status_code} {json.dumps(headers)} {response.text}"))
        return response


def public_part(registry: Registry) -> tuple[User, User, User]:
    alice, carol, dave = (registry.user(name) for name in ("alice", "carol", "dave"))
    for number in range(2):
        alice.publish("alice/a", make_adapter(number), version=f"1.{number}.0")
        done(alice.put("/repositories/alice/a/aliases/prod", {"version": f"1.{number}.0"}))
    dave.publish("dave/b", make_adapter(5), version="1.0.0", builds_on=["alice/a@1.0.0"])
    dave.publish("dave/b", make_adapter(6), version="1.1.0", builds_on=["alice/a@1.1.0"])
    put(dave, "dave/chat", "dave/b", update="auto")
    put(dave, "dave/asks", "alice/a", update="propose")
    registry.work()
    return alice, carol, dave


def private_part(registry: Registry, address: str) -> None:
    """Everything that can stand on alice's adapter without being seen."""
    bob = registry.user("bob")
    for name, on in (("hush", "alice/a@1.1.0"), ("hush2", "dave/b@1.1.0"), ("hush3", "bob/hush@1.0.0")):
        bob.repository(name, visibility="private")
        bob.publish(f"bob/{name}", make_adapter(len(name) + 20), version="1.0.0", builds_on=[on])
        done(bob.put(f"/repositories/bob/{name}/aliases/prod", {"version": "1.0.0"}))
    for name, update in (("secret", "auto"), ("asks", "propose"), ("pins", "pin")):
        put(
            bob,
            f"bob/{name}",
            "alice/a",
            "bob/hush2@>=1" if name == "pins" else "dave/b",
            update=update,
            visibility="private",
        )
        bob.post(f"/stacks/bob/{name}/lock")
    done(
        bob.post("/webhooks", {"url": address, "events": ["version.recalled", "lock.created"], "namespace": "bob"}), 201
    )
    registry.work()
    # still running when the recall comes; the same execution as one of carol's
    done(bob.post("/merges", {"layers": [{"adapter": "alice/a@1.1.0", "weight": 3.0}]}), 202)


def play(registry: Registry, script: Script, people: tuple[User, User, User], hooks: str) -> None:
    alice, carol, _ = people

    def look(user: User) -> None:
        for of in ("descendants", "stacks", "locks", "merges", "aliases"):
            for version in ("alice/a/versions/1.1.0", "alice/a/versions/1.0.0", "dave/b/versions/1.1.0"):
                script.note(user.get(f"/repositories/{version}/impact?of={of}&limit=2"))
        script.note(user.get("/repositories/alice/a/versions/1.1.0/lineage?direction=descendants"))
        for path in (
            "/recalls", "/recalls?active=true", "/audit", "/webhooks", "/merges", "/repositories", "/repositories/alice/a/versions",
            "/repositories/alice/a/aliases", "/repositories/alice/a/aliases/prod/history", "/repositories/dave/chat/versions",
            "/stacks/dave/chat", "/stacks/dave/chat/locks", "/stacks/dave/asks/proposals", "/stacks/bob/secret", "/stacks/bob/asks",
            "/stacks/bob/secret/locks", "/stacks/bob/asks/proposals", "/stacks/carol/mine", "/stacks/carol/mine/locks",
            "/repositories/bob/hush/versions/1.0.0/impact",
        ):  # fmt: skip
            script.note(user.get(path))

    look(carol)
    hook = script.note(
        alice.post(
            "/webhooks",
            {"url": hooks, "events": ["version.recalled", "version.restored", "alias.moved"], "namespace": "alice"},
        )
    ).json()["id"]
    layers = [{"adapter": "alice/a"}, {"adapter": "dave/b", "weight": 0.5}]
    for stack in ("carol/mine", "carol/other"):
        script.note(carol.put(f"/stacks/{stack}", {"layers": layers, "update": "auto"}))
        script.note(carol.post(f"/stacks/{stack}/lock"))
    script.note(carol.put("/stacks/bob/secret", {"layers": layers}))
    script.note(carol.put("/stacks/carol/third", {"layers": [{"adapter": "bob/secret"}]}))
    script.note(carol.post("/recalls", {"version": "bob/hush@1.0.0", "reason": "no"}))
    script.note(carol.post("/recalls", {"version": "alice/a@1.0.0", "reason": "no"}))
    script.note(carol.post("/webhooks", {"url": hooks, "events": ["version.recalled"], "repository": "bob/hush"}))
    merge = script.note(carol.post("/merges", {"layers": [{"adapter": "alice/a@1.1.0", "weight": 3.0}]})).json()
    recall = script.note(
        alice.post("/recalls", {"version": "alice/a@1.1.0", "reason": "bad", "severity": "critical"})
    ).json()
    script.note(carol.get(f"/merges/{merge['id']}"))
    look(alice)
    registry.work()
    look(carol)
    for user in (alice, carol):
        script.note(user.get(f"/recalls/{recall['id']}"))
        script.note(user.get("/repositories/dave/b/versions/1.1.0/files/adapter_config.json"))
    script.note(alice.delete(f"/recalls/{recall['id']}"))
    registry.work()
    alice.publish("alice/a", make_adapter(9), version="1.2.0")
    registry.work()
    sent = script.note(alice.get(f"/webhooks/{hook}/deliveries")).json()["items"]
    script.note(alice.post(f"/webhooks/{hook}/deliveries/{sent[-1]['id']}/replay"))
    script.note(carol.get(f"/webhooks/{hook}/deliveries"))
    registry.work()
    look(carol)
    look(alice)


@pytest.fixture
def worlds(
    postgres: PostgresServer, open_registry: Callable[[Settings], Registry], settings: Settings, tmp_path: Path
) -> list[Registry]:
    urls = [postgres.create_migrated() for _ in range(2)]
    changes = {"outbound_networks": "127.0.0.0/8"}
    return [
        open_registry(
            settings.model_copy(update={**changes, "database_url": SecretStr(url), "data_dir": tmp_path / str(number)})
        )
        for number, url in enumerate(urls)
    ]


def bodies(found: Receiver, script: Script) -> list[str]:
    return [script.masked(body.decode()) for body in found.bodies]


@pytest.mark.slow
def test_an_outsider_and_the_recaller_are_told_the_same_in_both_worlds(worlds: list[Registry]) -> None:
    told: list[list[str]] = []
    sent: list[list[str]] = []
    for registry, is_private in zip(worlds, (False, True), strict=True):
        people = public_part(registry)
        registry.user("bob")
        script = Script()
        with receiver() as of_alice, receiver() as of_bob:
            if is_private:
                private_part(registry, of_bob.url)
            play(registry, script, people, of_alice.url)
        script.told = [
            entry.replace(str(of_alice.port), "PORT").replace(str(of_bob.port), "PORT") for entry in script.told
        ]
        told.append(script.told)
        sent.append(bodies(of_alice, script))
        # the other world would prove nothing if what is private were not reached
        events: list[Any] = [json.loads(body)["type"] for body in of_bob.bodies]
        assert ("version.recalled" in events) is is_private
        assert ("lock.created" in events) is is_private
    assert len(told[0]) > 100
    for without, with_private in zip(*told, strict=True):
        assert with_private == without
    assert sent[1] == sent[0]
    assert not any("hush" in entry.replace("bob/hush", "") for entry in told[1])
