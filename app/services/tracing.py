"""Lineage: what a version stands on and comes from, and what stands on it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.domain.reference import Selector
from app.lineage import graph
from app.lineage.engine import Database
from app.lineage.graph import Node, Traced
from app.services import finding

deepest = 1_000
"""Levels that may be asked for by number; without a number there is no such limit."""
most_nodes = 10_000


class Direction(StrEnum):
    ANCESTORS = "ancestors"
    DESCENDANTS = "descendants"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Lineage:
    root: str
    """Version digest."""
    nodes: tuple[dict[str, Any], ...]
    edges: tuple[dict[str, Any], ...]
    is_truncated: bool
    """There is more than an answer may hold; ask with a depth, or from another version."""


class Tracing:
    def __init__(self, database: Database) -> None:
        self.database = database

    def trace(self, caller: Caller, name: RepositoryName, ref: str, direction: Direction, depth: int | None) -> Lineage:
        """Nearest first. Hidden ancestors stand as such; hidden descendants are not there.

        Raises: InvalidReference, NotFound, Deleted.
        """
        found: list[Traced] = []
        with self.database.read() as tx:
            root = finding.version(tx, name, Selector.parse(ref), f"{name}@{ref}", caller)
            if direction is not Direction.DESCENDANTS:
                found.append(graph.ancestors(tx, root.id, caller, depth, most_nodes))
            if direction is not Direction.ANCESTORS:
                found.append(graph.descendants(tx, root.id, caller, depth, most_nodes))
        lines = [line for traced in found for line in traced.lines]
        unique = {node.digest: node for traced in found for node in traced.nodes}
        shown = dict(list(unique.items())[:most_nodes])
        order = {digest: place for place, digest in enumerate(shown)}
        hidden = [digest for digest, node in shown.items() if not node.is_readable]
        names = {digest: f"hidden-{number}" for number, digest in enumerate(hidden, start=1)}
        names |= {digest: digest for digest, node in shown.items() if node.is_readable}
        return Lineage(
            root=root.digest,
            nodes=tuple(body_of(node, names[node.digest]) for node in shown.values()),
            edges=tuple(
                {
                    "child": names[line.child],
                    "parent": names[line.parent],
                    "relation": line.relation.value,
                    "weight": line.weight,
                    "role": None if line.role is None else line.role.value,
                }
                # as their children stand above: an order of uuids would be another one in every registry
                for line in sorted(dict.fromkeys(lines), key=lambda line: order.get(line.child, 0))
                if line.child in names and line.parent in names
            ),
            is_truncated=len(unique) > most_nodes or any(traced.is_truncated for traced in found),
        )


def body_of(node: Node, name: str) -> dict[str, Any]:
    if not node.is_readable:
        return {"id": name, "hidden": True}
    return {
        "reference": node.reference,
        "digest": node.digest,
        "repository": node.repository,
        "version": str(node.number),
        "kind": node.kind.value,
        "state": node.state.value,
        "rank": node.rank,
    }
