"""What stands in the registry that is attacked, so that the document's examples and links meet something."""

from dataclasses import dataclass
from typing import Any, Self

from app.api.bodies import example_digest
from tests.api.conftest import Registry, User, admin_token, digest_of, done, make_adapter

kept = ("instruct", "dialogue", "reasoning", "secret")
"""Repositories that a campaign reads and changes to its end; the document's examples name them."""
spare = ("old1", "old2", "old3", "old4", "old5")
"""Repositories that it may delete."""


@dataclass
class World:
    registry: Registry
    alice: User
    files: dict[str, str]
    """Digest by path, of `alice/instruct@1.0.0`: alice may publish them again."""
    identifiers: dict[str, list[str]]
    """Of what has an id: by the part of a path that stands before it."""

    @classmethod
    def build(cls, registry: Registry) -> Self:
        alice = registry.user("alice")
        registry.user("bob")
        version = alice.publish("alice/instruct", make_adapter(1, readme="# Instruct\n\nIt follows instructions."))
        alice.publish("alice/dialogue", make_adapter(2), builds_on=["alice/instruct@1.0.0"])
        alice.publish("alice/reasoning", make_adapter(3))
        alice.repository("secret", visibility="private")
        for seed, name in enumerate(("secret", *spare), start=4):
            alice.publish(f"alice/{name}", make_adapter(seed))
        for name in (*kept, *spare):
            done(alice.put(f"/repositories/alice/{name}/aliases/prod", {"version": "1.0.0"}))
        done(alice.post("/organizations", {"name": "lab"}), 201)
        layer = {"adapter": "alice/dialogue", "range": ">=1,<2"}
        done(alice.put("/stacks/alice/chat", {"layers": [layer], "visibility": "public"}), 201)
        done(alice.post("/stacks/alice/chat/lock"), 201)
        merge = registry.merge(alice, {"layers": [{"adapter": "alice/dialogue@1.0.0"}]})
        upload = done(alice.post("/uploads", {"digest": digest_of(b"to come"), "size": 7}), 201)
        token = done(alice.post("/tokens", {"name": "spare", "scopes": ["read"]}), 201)
        identifiers = {"merges": [merge["id"]], "uploads": [upload["id"]], "tokens": [token["id"]]}
        return cls(registry, alice, {file["path"]: file["digest"] for file in version["files"]}, identifiers)

    def token_of(self, who: str) -> str | None:
        return {"anonymous": None, "user": self.alice.token, "admin": admin_token}[who]

    def document(self) -> dict[str, Any]:
        """The served document; where its examples cannot know what stands here, they are told."""
        served = done(self.registry.anonymous.request("GET", "/api/openapi.json"))
        (example,) = served["components"]["schemas"]["NewVersionBody"]["examples"]
        assert example["files"]["adapter_config.json"] == example_digest
        example["files"] = self.files
        return served

    def words(self) -> dict[str, list[str]]:
        """By the name of a path's parameter, what stands here; `stack` is the name of one."""
        return {
            "namespace": ["alice"],
            "name": [*kept],
            "ref": ["1.0.0", "prod"],
            "alias": ["prod"],
            "stack": ["chat"],
            "path": [*self.files],
            "digest": [*self.files.values()],
            "hash": [*self.files.values()],
        }
