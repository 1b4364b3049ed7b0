"""Lineage drawn: boxes and lines with their places, for a template to write as SVG."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from app.web.layering import Point, layered

# in pixels at a scale of 1
box_width, box_height = 200.0, 46.0
layer_step, node_step = 284.0, 62.0
margin = 14.0
lane = 7.0
"""Between two edges that join the same boxes."""
longest_label = 27

relation_words: Mapping[str, str] = {
    "builds_on": "builds on",
    "initialized_from": "initialized from",
    "merged_from": "merged from",
    "extracted_from": "extracted from",
}
Node = Mapping[str, Any]
"""A node or an edge as `GET …/lineage` has it."""


@dataclass(frozen=True, slots=True)
class Box:
    """A version; x and y are of its upper left corner."""

    x: float
    y: float
    label: str
    """The repository, cut to what fits."""
    detail: str
    title: str
    """All of it, for those who point at the box or hear of it."""
    href: str | None
    marks: tuple[str, ...]
    """What it is shown as: `root`, `hidden`, `recalled`, `deleted`, `trunk`, `branch`, `base`, `layer`, `culprit`."""


@dataclass(frozen=True, slots=True)
class Line:
    path: str
    """As SVG's `d`, from the parent to the child."""
    title: str
    marks: tuple[str, ...]
    """The relation, and the role in a merge."""


@dataclass(frozen=True, slots=True)
class Drawing:
    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]

    @property
    def relations(self) -> dict[str, str]:
        """Those that are drawn, and the words for them."""
        drawn = {mark for line in self.lines for mark in line.marks}
        return {relation: words for relation, words in relation_words.items() if relation in drawn}


def draw_lineage(root: str, nodes: Sequence[Node], edges: Sequence[Node]) -> Drawing:
    """The drawing of a lineage answer; `root` is a digest. What went into the root's own merge is marked with its role."""
    marks = {root: ("root",)}
    for edge in edges:
        if edge["child"] == root and edge["role"] is not None:
            marks[edge["parent"]] = (edge["role"],)
    return draw(nodes, edges, marks)


def draw_paths(paths: Iterable[Sequence[Any]], culprits: Iterable[Any]) -> Drawing:
    """The paths of a refused plan, each from a layer to what it may not stand on: what they share stands once."""
    walked = [[named(entry) for entry in path] for path in paths if path]
    nodes = {id_of(node): node for path in walked for node in path}
    steps = {(id_of(child), id_of(parent)) for path in walked for child, parent in pairwise(path)}
    edges = [
        {"child": child, "parent": parent, "relation": "path", "weight": 1.0, "role": None}
        for child, parent in sorted(steps)
    ]
    marks = {id_of(path[0]): ("layer",) for path in walked}
    marks |= {id_of(named(culprit)): ("culprit",) for culprit in culprits}
    return draw(list(nodes.values()), edges, marks)


def draw(nodes: Sequence[Node], edges: Iterable[Node], marks: Mapping[str, tuple[str, ...]]) -> Drawing:
    """Parents stand to the left of their children; edges from or to no node are left out."""
    names = {id_of(node): node for node in nodes}
    joined: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for edge in edges:
        if edge["parent"] in names and edge["child"] in names:
            joined[edge["parent"], edge["child"]].append(edge)
    layout = layered(list(names), joined)

    def corner(place: Point) -> Point:
        return margin + place[0] * layer_step, margin + place[1] * node_step

    lines = []
    for (parent, child), alike in joined.items():
        stops = [layout.places[parent], *layout.routes[parent, child], layout.places[child]]
        points = [(x + box_width / 2, y + box_height / 2) for x, y in map(corner, stops)]
        points[0] = (points[0][0] + box_width / 2, points[0][1])
        points[-1] = (points[-1][0] - box_width / 2, points[-1][1])
        for number, edge in enumerate(alike):
            shift = (number - (len(alike) - 1) / 2) * lane
            lines.append(line_of(edge, [(x, y + shift) for x, y in points], names))
    return Drawing(
        width=2 * margin + box_width + max(layout.layers - 1, 0) * layer_step,
        height=2 * margin + box_height + layout.breadth * node_step,
        boxes=tuple(box_of(node, corner(layout.places[name]), marks.get(name, ())) for name, node in names.items()),
        lines=tuple(lines),
    )


def id_of(node: Node) -> str:
    found: str = node["id"] if node.get("hidden") else node["digest"]
    return found


def named(entry: Any) -> Node:
    """A path's entry, which is a reference or a hidden one, as a node."""
    if not isinstance(entry, str):
        return dict(entry)
    repository, _, version = entry.partition("@")
    return {"digest": entry, "reference": entry, "repository": repository, "version": version, "state": "published"}


def reference_of(node: Node) -> str:
    return "a hidden adapter" if node.get("hidden") else node["reference"]


def box_of(node: Node, corner: Point, marks: tuple[str, ...]) -> Box:
    if node.get("hidden"):
        return Box(
            *corner, "hidden", "you may not read it", "An adapter that you may not read", None, (*marks, "hidden")
        )
    details = [node["version"]]
    if node.get("rank") is not None:
        details.append(f"rank {node['rank']}")
    if node["state"] != "published":
        details.append(node["state"])
        marks = (*marks, node["state"])
    # a tombstone has no page of its own
    href = None if node["state"] == "deleted" else f"/{node['repository']}?version={node['version']}"
    roles = [mark for mark in marks if mark in {"trunk", "branch", "base"}]
    title = ", ".join([node["reference"], *details[1:], *(f"{role} of this merge" for role in roles)])
    return Box(*corner, shortened(node["repository"]), " · ".join(details), title, href, marks)


def line_of(edge: Node, points: Sequence[Point], names: Mapping[str, Node]) -> Line:
    path = f"M{points[0][0]:g} {points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in pairwise(points):
        bend = (to_x - x) / 2
        path += f"C{x + bend:g} {y:.1f} {to_x - bend:g} {to_y:.1f} {to_x:g} {to_y:.1f}"
    words = relation_words.get(edge["relation"], "stands on")
    title = f"{reference_of(names[edge['child']])} {words} {reference_of(names[edge['parent']])}"
    if edge["weight"] != 1:
        title += f" at weight {edge['weight']:g}"
    if edge["role"] is not None:
        title += f", as {edge['role']}"
    return Line(path, title, tuple(mark for mark in (edge["relation"], edge["role"]) if mark is not None))


def shortened(text: str) -> str:
    """Cut in the middle: namespaces differ at the beginning, names of one family at the end."""
    if len(text) <= longest_label:
        return text
    head = (longest_label - 1) // 2
    return f"{text[:head]}…{text[head + 1 - longest_label :]}"
