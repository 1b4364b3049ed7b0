"""The two worlds: what is public stands in both, what alice keeps private in one of them."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text

from app.assembly import Services
from app.server import create_app
from app.settings import Settings
from tests.api.conftest import AdapterFiles, Registry, User, admin_token, digest_of, done, make_adapter
from tests.api.test_merging import base_model
from tests.conftest import PostgresServer
from tests.hub import talking

known_bytes = {"public": b"a card that everybody may read", "private": b"the hush of alice", "new": b"nobody has this"}
root_files, leaf_files, hush_files, child_files = (make_adapter(seed).files for seed in (1, 2, 3, 4))
open_files, twin_files = make_adapter(5).files, make_adapter(1, readme="a twin").files
veiled = make_adapter(6, base="acme/hidden-base").files
outsider_count = 5
quiet_xorb = "b" * 64
"""Chunks that alice sent to a private repository."""
half = {"adapter": "bob/root@1.0.0", "weight": 0.5}
public_recipe = {"layers": [half, {"adapter": "carol/leaf@1.0.0"}]}
"""That alice merged already, for herself."""


@dataclass(frozen=True)
class Secrets:
    """What an outsider may have guessed or overheard of what is private; in the other world it names nothing."""

    words: Mapping[str, str]


@dataclass
class World:
    registry: Registry
    secrets: Secrets
    outsiders: list[tuple[User, User]]
    """Each with a token for everything, and one that only reads."""

    def private_digests(self) -> list[str]:
        """Digests of versions and ids of commits, which hold their repository's uuid and are different in every world."""
        with self.registry.services.database.begin() as tx:
            digests = tx.execute(text("SELECT digest FROM versions")).scalars().all()
            commits = tx.execute(text("SELECT id FROM commits")).scalars().all()
        known = [*(digest.removeprefix("sha256:") for digest in digests), *commits]
        # those of the secrets are the same text in both worlds, and told apart by it
        return [entry for entry in known if entry not in str(self.secrets.words)]


def public_part(registry: Registry) -> None:
    """Both worlds: adapters of bob, carol and alice, an organisation, a namespace of base models."""
    alice, bob, carol = (registry.user(name) for name in ("alice", "bob", "carol"))
    registry.user("acme")
    bob.repository("root", tags=["base-layer"], description="everybody builds on it", license="apache-2.0")
    bob.publish("bob/root", AdapterFiles(root_files | {"README.md": known_bytes["public"]}))
    carol.publish("carol/leaf", AdapterFiles(leaf_files), builds_on=["bob/root@1.0.0"])
    carol.publish("carol/far", make_adapter(7, base="acme/other"))
    alice.repository("open", description="what alice shows")
    alice.publish("alice/open", AdapterFiles(open_files))
    done(alice.put("/repositories/alice/open/aliases/prod", {"version": "1.0.0"}))
    bob.repository("gone")
    bob.publish("bob/gone", make_adapter(8))
    assert bob.delete("/repositories/bob/gone").status_code == 204
    done(carol.post("/organizations", {"name": "lab", "members": [{"user": "bob", "role": "writer"}]}), 201)
    carol.publish("lab/mixed", AdapterFiles(leaf_files))
    shown = {"layers": [{"adapter": "carol/leaf@1.0.0"}, {"adapter": "alice/open@1.0.0"}]}
    merge = {**shown, "publish": {"repository": "lab/mixed", "version": "2.0.0"}}
    assert registry.merge(carol, merge)["state"] == "succeeded"
    carol.repository("latest-work", tags=["fresh"])
    for number in range(outsider_count):
        outsider = registry.user(f"out-{number}")
        outsider.publish(f"out-{number}/own", make_adapter(29))


def private_part(registry: Registry) -> Secrets:
    """What the outsider must not notice: private parents, children, merges of them, twins, models, and their traces."""
    alice, acme = registry.user("alice"), registry.user("acme")

    def keep(name: str, files: Mapping[str, bytes], **fields: object) -> dict[str, str]:
        alice.repository(name, visibility="private", tags=["hush-tag"], description="hush", license="hush-1.0")
        return {key: str(value) for key, value in alice.publish(f"alice/{name}", dict(files), **fields).items()}

    hush = keep("hush", hush_files | {"README.md": known_bytes["private"]}, builds_on=["bob/root@1.0.0"])
    alice.publish("alice/hush", hush_files | {"README.md": b"hush, hush"}, builds_on=["bob/root@1.0.0"])
    done(alice.put("/repositories/alice/hush/aliases/prod", {"version": "1.0.0"}))
    done(alice.request("POST", "/api/models/alice/hush/branch/quiet", json={}))
    talking.pushed(alice, "alice/hush", {"draft.txt": known_bytes["private"]}, branch="quiet")
    chunks = talking.cas(alice, "alice/hush")
    sent = talking.chunk(known_bytes["private"])
    done(alice.request("POST", f"{chunks}/v1/xorbs/default/{quiet_xorb}", content=sent))
    keep("hush-child", child_files, builds_on=["alice/hush@1.0.1", "carol/leaf@1.0.0"])
    keep("hush-next", make_adapter(9).files, initialized_from="bob/root@1.0.0", builds_on=[])
    keep("a-twin", twin_files)
    keep("veil", veiled)
    keep("hush-mix", make_adapter(10).files, merged_from=[{"version": "bob/root@1.0.0"}])
    mixed: dict[str, Any] = {"layers": [{"adapter": "alice/hush-child@1.0.0"}, {"adapter": "alice/open@1.0.0"}]}
    asked: list[dict[str, Any]] = [
        {"layers": [{"adapter": "alice/hush@1.0.0"}, {"adapter": "bob/root@1.0.0"}]},
        {**mixed, "publish": {"repository": "alice/hush-mix", "version": "2.0.0"}},
        # where everybody looks, and nobody sees it
        {**mixed, "publish": {"repository": "alice/open", "version": "1.1.0"}},
        public_recipe,
        {**public_recipe, "publish": {"repository": "alice/hush-mix", "version": "3.0.0"}},
    ]
    merges = [registry.merge(alice, recipe) for recipe in asked]
    assert [merge["state"] for merge in merges] == ["succeeded"] * len(asked), merges
    for alias in ("best", "latest"):
        done(alice.put(f"/repositories/alice/open/aliases/{alias}", {"version": "1.1.0"}))
    acme.repository("tiny", kind="model", visibility="private")
    acme.publish("acme/tiny", base_model())
    keep("hush-gone", make_adapter(11).files)
    assert alice.delete("/repositories/alice/hush-gone").status_code == 204
    keep("hush-was", make_adapter(12).files)
    done(alice.patch("/repositories/alice/hush-was", {"name": "hush-is"}))
    upload = done(alice.post("/uploads", {"digest": digest_of(known_bytes["new"]), "size": 15}), 201)["id"]
    token = done(alice.post("/tokens", {"name": "hush"}), 201)["id"]
    done(
        alice.post("/repositories", {"namespace": "alice", "name": "keyed"}, headers={"Idempotency-Key": "key-1"}), 201
    )
    return Secrets(
        {
            "version": hush["digest"],
            "content": hush["content_digest"],
            "commit": hush["commit"],
            "weights": digest_of(hush_files["adapter_model.safetensors"]),
            "merge": merges[0]["id"],
            "upload": upload,
            "token": token,
            "user": str(uuid4()),
            "repository": chunks.rpartition("/")[2],
        }
    )


@dataclass(frozen=True)
class Template:
    """A world at rest, to be copied."""

    database: str
    folder: Path
    tokens: tuple[tuple[str, str], ...]
    """Of each outsider: for everything, and to read."""


@dataclass(frozen=True)
class Pair:
    """Both worlds at rest: every test plays in copies of its own."""

    postgres: PostgresServer
    without: Template
    with_private: Template
    secrets: Secrets

    @classmethod
    def build(cls, postgres: PostgresServer, folder: Path) -> "Pair":
        templates, secrets = [], Secrets({})
        for is_private in (False, True):
            at = folder / ("with" if is_private else "without")
            at.mkdir()
            url = postgres.create_migrated()
            with opened(url, at) as registry:
                public_part(registry)
                if is_private:
                    secrets = private_part(registry)
                templates.append(Template(url, at, tuple(tokens_of_outsiders(registry))))
        return cls(postgres, templates[0], templates[1], secrets)

    @contextmanager
    def copies(self, folder: Path, *, is_control: bool = False) -> Iterator[tuple[World, World]]:
        """The world without what is private, and the one with it; for control twice the one without."""
        second = self.without if is_control else self.with_private
        with self._copy(self.without, folder / "without") as left, self._copy(second, folder / "with") as right:
            yield left, right

    @contextmanager
    def _copy(self, template: Template, folder: Path) -> Iterator[World]:
        shutil.copytree(template.folder, folder)
        url = self.postgres.create(template.database.rpartition("/")[2].partition("?")[0])
        try:
            with opened(url, folder) as registry:
                outsiders = [
                    (registry.with_token(f"out-{number}", everything), registry.with_token(f"out-{number}", reading))
                    for number, (everything, reading) in enumerate(template.tokens)
                ]
                yield World(registry, self.secrets, outsiders)
        finally:
            self.postgres.drop(url)


def tokens_of_outsiders(registry: Registry) -> Iterator[tuple[str, str]]:
    for number in range(outsider_count):
        user = registry.user(f"out-{number}")
        reading = done(user.post("/tokens", {"name": "reads", "scopes": ["read"]}), 201)["token"]
        yield user.token or "", reading


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Registry]:
    settings = Settings(_env_file=None, database_url=SecretStr(url), data_dir=folder, device="cpu")
    services = Services.open(settings)
    try:
        services.accounts.bootstrap(admin_token)
        with TestClient(create_app(services), raise_server_exceptions=False) as http:
            yield Registry(http, services)
    finally:
        services.close()
