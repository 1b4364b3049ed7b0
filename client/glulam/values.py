"""What the registry answers, as frozen values. Each keeps the JSON it came from in `record`: a newer server may say more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a version or of a merge's result."""

    path: str
    digest: str
    """`sha256:` and 64 hex digits, of the bytes."""
    size: int
    """Bytes."""

    @classmethod
    def from_json(cls, body: Json) -> Self:
        return cls(body["path"], body["digest"], body["size"])


@dataclass(frozen=True, slots=True)
class Parent:
    """A version that another was made from. One that the reader may not read has only its id, such as `hidden-1`."""

    reference: str
    digest: str | None = None
    weight: float = 1.0
    role: str | None = None
    """In a merge: `trunk`, `branch` or `base`."""
    is_hidden: bool = False

    @classmethod
    def from_json(cls, body: Json) -> Self:
        if body.get("hidden"):
            return cls(body["id"], weight=body.get("weight", 1.0), role=body.get("role"), is_hidden=True)
        return cls(body["reference"], body.get("digest"), body.get("weight", 1.0), body.get("role"))


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable, numbered state of a repository."""

    reference: str
    repository: str
    version: str
    kind: str
    """`adapter`, `model` or `stack`."""
    digest: str
    """Names this version, and through its parents all that came before."""
    content_digest: str
    """Names the delta: two versions that differ only in their README have one."""
    state: str
    base_model: Json | None
    files: tuple[File, ...]
    builds_on: tuple[Parent, ...]
    initialized_from: Parent | None
    merged_from: tuple[Parent, ...]
    adapter: Json | None
    """Rank, scaling, target modules: what the files say."""
    metrics: Json
    notes: str | None
    created_by: str
    created_at: str
    """RFC 3339, UTC."""
    warnings: tuple[str, ...]
    """Of a publication: what its publisher should know."""
    record: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        initialized_from = body.get("initialized_from")
        return cls(
            reference=body["reference"],
            repository=body["repository"],
            version=body["version"],
            kind=body["kind"],
            digest=body["digest"],
            content_digest=body["content_digest"],
            state=body["state"],
            base_model=body.get("base_model"),
            files=tuple(File.from_json(entry) for entry in body["files"]),
            builds_on=parents(body.get("builds_on")),
            initialized_from=Parent.from_json(initialized_from) if initialized_from else None,
            merged_from=parents(body.get("merged_from")),
            adapter=body.get("adapter"),
            metrics=body.get("metrics") or {},
            notes=body.get("notes"),
            created_by=body["created_by"],
            created_at=body["created_at"],
            warnings=tuple(body.get("warnings") or ()),
            record=body,
        )


@dataclass(frozen=True, slots=True)
class Repository:
    """`namespace/name`."""

    name: str
    """`namespace/name`."""
    kind: str
    description: str | None
    visibility: str | None
    base_model: Json | None
    record: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        return cls(
            name=f"{body['namespace']}/{body['name']}",
            kind=body["kind"],
            description=body.get("description"),
            visibility=body.get("visibility"),
            base_model=body.get("base_model"),
            record=body,
        )


@dataclass(frozen=True, slots=True)
class Edge:
    """From a child to a parent, by digest or hidden id."""

    child: str
    parent: str
    relation: str
    weight: float | None = None
    """None for a relation that has none."""
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version came from, what came from it, or both."""

    root: str
    """Digest of the version that was asked for."""
    nodes: Mapping[str, Json]
    """By digest or hidden id."""
    edges: tuple[Edge, ...]
    is_truncated: bool
    """There is more than one answer holds: ask with a depth."""
    record: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        root = body["root"]
        return cls(
            root=root if isinstance(root, str) else root["digest"],
            nodes={node.get("digest") or node["id"]: node for node in body["nodes"]},
            edges=tuple(
                Edge(edge["child"], edge["parent"], edge["relation"], edge.get("weight"), edge.get("role"))
                for edge in body["edges"]
            ),
            is_truncated=bool(body.get("truncated")),
            record=body,
        )

    def name(self, node: str) -> str:
        """The reference of a node, or its hidden id."""
        return str(self.nodes.get(node, {}).get("reference") or node)

    def parents_of(self, node: str) -> list[Edge]:
        return [edge for edge in self.edges if edge.child == node]

    def children_of(self, node: str) -> list[Edge]:
        return [edge for edge in self.edges if edge.parent == node]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a merge will execute, and its cost."""

    base_model: Json | None
    trunk: tuple[Parent, ...]
    branches: tuple[Parent, ...]
    covered: tuple[Parent, ...]
    substitutions: tuple[Json, ...]
    warnings: tuple[Any, ...]
    modules: int
    rank: Json
    """`min` and `max` of a module of the result."""
    is_exact: bool
    bytes_read: int
    bytes_written: int
    peak_bytes: int
    record: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Json) -> Self:
        return cls(
            base_model=body.get("base_model"),
            trunk=parents(body["trunk"]),
            branches=parents(body["branches"]),
            covered=parents(body.get("covered")),
            substitutions=tuple(body.get("substitutions") or ()),
            warnings=tuple(body.get("warnings") or ()),
            modules=body["modules"],
            rank=body["rank"],
            is_exact=body["exact"],
            bytes_read=body["bytes_read"],
            bytes_written=body["bytes_written"],
            peak_bytes=body["peak_bytes"],
            record=body,
        )


def parents(entries: Sequence[Json] | None) -> tuple[Parent, ...]:
    return tuple(Parent.from_json(entry) for entry in entries or ())
