"""What the matrix asks for: one subject per state, each with everything that a route can name, and the roles that ask."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from string import Template
from typing import Any
from uuid import UUID, uuid4

from app.lineage import webhooks
from tests.api.conftest import Registry, User, digest_of, done, make_adapter
from tests.matrix.rights import Role, State

namespace = "lab"
all_scopes = ("read", "write", "merge", "admin")
of_this_subject_alone = (
    "repository", "stack", "recalled", "name", "organization", "data", "part", "digest", "hash", "merge", "upload", "token",
    "version", "commit", "recall", "webhook", "delivery",
)  # fmt: skip
"""The words that no other subject shares, each before those that it holds."""
numbers = itertools.count(1)
members = (Role.READER, Role.WRITER, Role.OWNER)
part = b"a part"
picture = b"\x89PNG\r\n\x1a\n"
"""As much of one as makes it one."""


@cache
def adapter_files(seed: int) -> Mapping[str, bytes]:
    return make_adapter(seed).files


@dataclass(frozen=True)
class Subject:
    """The words that stand for one subject in the table's rows, and whether anything of it was ever there."""

    words: Mapping[str, str]

    def fill(self, value: Any, further: Mapping[str, str]) -> Any:
        """The value with every `$word` in it replaced, in keys too; `$size` alone becomes a number."""
        if value == "$size":
            return len(self.words["data"])
        if isinstance(value, str):
            return Template(value).substitute({**self.words, **further})
        if isinstance(value, list):
            return [self.fill(entry, further) for entry in value]
        if isinstance(value, Mapping):
            return {self.fill(key, further): self.fill(entry, further) for key, entry in value.items()}
        return value

    def masked(self, text: str) -> str:
        """The text with the subject's own words replaced by their names."""
        for word in of_this_subject_alone:
            text = text.replace(self.words[word], f"${word}")
        return text


@dataclass
class Cast:
    """Who asks: a user per role, with a token of every scope, and those with one scope less."""

    registry: Registry
    users: dict[Role, User] = field(default_factory=dict)
    lacking: dict[str, User] = field(default_factory=dict)
    """By scope: the administrator without it."""

    @classmethod
    def assemble(cls, registry: Registry) -> "Cast":
        cast = cls(registry)
        admin = registry.admin
        for role in (Role.OUTSIDER, *members, "bystander"):
            done(admin.post("/users", {"name": str(role)}), 201)
        for role in (Role.OUTSIDER, *members, Role.ADMIN):
            cast.users[role] = cast.with_scopes(role, all_scopes)
        for scope in all_scopes:
            cast.lacking[scope] = cast.with_scopes("admin", tuple(other for other in all_scopes if other != scope))
        cast.users[Role.ANONYMOUS] = registry.anonymous
        cast.users[Role.REVOKED] = cast.with_scopes(Role.OWNER, all_scopes)
        [revoked] = [
            token["id"] for token in done(cast.users[Role.OWNER].get("/tokens?limit=1"))["items"]
        ]  # the newest
        assert admin.delete(f"/tokens/{revoked}").status_code == 204
        body = {"name": namespace, "members": [{"user": role, "role": role} for role in members]}
        done(admin.post("/organizations", body), 201)
        for role in (Role.OUTSIDER, *members, Role.ADMIN):
            cast.users[role].publish(f"{role}/own", dict(adapter_files(5)))
        return cast

    def with_scopes(self, name: str, scopes: tuple[str, ...]) -> User:
        body = {"name": "matrix", "user": name, "scopes": list(scopes)}
        return self.registry.with_token(name, done(self.registry.admin.post("/tokens", body), 201)["token"])

    @property
    def owner(self) -> User:
        return self.users[Role.OWNER]

    def own_words(self, role: Role) -> dict[str, str]:
        """Of whoever asks: a repository that they may write to."""
        name = role if role in {Role.OUTSIDER, *members} else Role.ADMIN
        return {"mine_namespace": str(name), "mine_name": "own"}


def never_there() -> Subject:
    """The words of a subject that was never made, each as long as those of one that was."""
    number = next(numbers)
    nobody = f"nobody {number:06}"
    words = described(number, "public", nobody.encode())
    return Subject(
        words
        | {name: str(uuid4()) for name in ("merge", "upload", "token", "recall", "webhook", "delivery")}
        | {"version": digest_of(nobody.encode() + b"v"), "commit": digest_of(nobody.encode() + b"c")[7:47]}
    )


def described(number: int, visibility: str, data: bytes) -> dict[str, str]:
    files = adapter_files(5)
    return {
        "namespace": namespace,
        "name": f"subject-{number:06}",
        "repository": f"{namespace}/subject-{number:06}",
        "stack": f"stack-{number:06}",
        "recalled": f"recalled-{number:06}",
        "organization": f"team-{number:06}",
        "visibility": visibility,
        "ref": "1.0.0",
        "alias": "prod",
        "path": "README.md",
        "number": "1",
        "data": data.decode(),
        "part": part.decode(),
        "digest": digest_of(data),
        "hash": digest_of(data).removeprefix("sha256:"),
        "weights": digest_of(files["adapter_model.safetensors"]),
        "config": digest_of(files["adapter_config.json"]),
    }


def make_subject(cast: Cast, state: State) -> Subject:
    """A subject in this state, of which nothing has been asked yet. Its merge is queued, until somebody works."""
    if state is State.ABSENT:
        return never_there()
    owner = cast.owner
    number = next(numbers)
    data = f"readme {number:06}".encode()
    words = described(number, "public" if state.is_public else "private", data)
    repository, root = words["repository"], f"/repositories/{words['repository']}"
    owner.repository(repository, visibility=words["visibility"])
    files = dict(adapter_files(5)) | {words["path"]: data, "plot.png": picture}
    version = owner.publish(repository, files)
    done(owner.put(f"{root}/aliases/{words['alias']}", {"version": words["ref"]}))
    organization = {"name": words["organization"], "members": [{"user": role, "role": role} for role in members]}
    done(owner.post("/organizations", organization), 201)
    token = done(owner.post("/tokens", {"name": "of the subject", "scopes": ["read"]}), 201)["id"]
    recipe = {"layers": [{"adapter": f"{repository}@{words['ref']}", "weight": float(number)}]}
    merge = done(owner.post("/merges", recipe), 202)["id"]
    content = part + b"%06d" % number
    words |= {"part": content.decode()}
    upload = done(owner.post("/uploads", {"digest": digest_of(content), "size": len(content)}), 201)["id"]
    assert owner.put(f"/uploads/{upload}/parts/1", content).status_code == 204
    further = make_stack(cast, words) | make_recall(cast, words) | make_webhook(cast, words)
    if state.is_deleted:
        done(owner.post(f"/uploads/{upload}/complete"), 201)
        stack, webhook = f"/repositories/{namespace}/{words['stack']}", f"/webhooks/{further['webhook']}"
        for path in (root, f"/organizations/{words['organization']}", f"/tokens/{token}", stack, webhook):
            assert owner.delete(path).status_code == 204
    if state.is_withdrawn:
        assert owner.delete(f"{root}/versions/{words['ref']}").status_code == 204
    return Subject(
        words
        | further
        | {"merge": merge, "upload": upload, "token": token}
        | {"version": version["digest"], "commit": version["commit"]}
    )


def make_stack(cast: Cast, words: Mapping[str, str]) -> dict[str, str]:
    """With lock 1 and the open proposal 1, of what everybody may read."""
    owner, path = cast.owner, f"/stacks/{namespace}/{words['stack']}"
    layer = {"adapter": f"{Role.OWNER}/own", "weight": 1.0}
    body = {"layers": [layer], "update": "propose", "visibility": words["visibility"]}
    made = done(owner.put(path, body), 201)
    done(owner.post(f"{path}/lock"), 201)
    done(owner.put(path, body | {"layers": [layer | {"weight": 0.5}]}))
    cast.registry.services.following.update(UUID(made["uuid"]))
    assert [it["number"] for it in done(owner.get(f"{path}/proposals?state=open"))["items"]] == [1]
    return {}


def make_recall(cast: Cast, words: Mapping[str, str]) -> dict[str, str]:
    repository = f"{namespace}/{words['recalled']}"
    cast.owner.repository(repository, visibility=words["visibility"])
    cast.owner.publish(repository, dict(adapter_files(5)))
    body = {"version": f"{repository}@1.0.0", "reason": "the matrix"}
    return {"recall": done(cast.owner.post("/recalls", body), 201)["id"]}


def make_webhook(cast: Cast, words: Mapping[str, str]) -> dict[str, str]:
    """With one delivery, which nobody sends."""
    body = {"url": "https://example.org/", "events": ["version.published"], "namespace": namespace}
    webhook = done(cast.owner.post("/webhooks", body), 201)["id"]
    about = done(cast.owner.get(f"/repositories/{namespace}/{words['recalled']}"))["uuid"]
    with cast.registry.services.database.begin() as tx:
        told = {"type": "version.published"}
        delivery = webhooks.enqueue(tx, UUID(webhook), next(numbers), told, UUID(about), version=None)
    return {"webhook": webhook, "delivery": str(delivery)}
