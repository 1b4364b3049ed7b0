"""Where the nodes of a lineage stand in a drawing: in layers, parents before their children, with few crossings.

Sugiyama's method: layers by the longest path, points on long edges, an order within each layer by the mean place of the
neighbours, and places by least squares that keep the order.
Source: Sugiyama, Tagawa, Toda, Methods for Visual Understanding of Hierarchical System Structures, IEEE SMC 11, 1981.
"""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)

sweeps = 8
"""Passes over the layers, there and back: more change little in drawings of this size."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout(Generic[Node]):
    """Places of nodes and of the points that edges pass; the unit is one step: from layer to layer, from node to node."""

    places: dict[Node, Point]
    """(layer, place within the layer) of each node's centre."""
    routes: dict[tuple[Node, Node], tuple[Point, ...]]
    """By (parent, child): the points between the two, one in each layer that the edge passes."""
    layers: int
    breadth: float
    """The largest place within a layer; the smallest is 0."""


def layered(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> Layout[Node]:
    """Lay out a graph without cycles; `edges` are (parent, child), and what leads from or to no node is left out.

    The order of `nodes` decides ties, so that the same lineage is drawn the same each time.
    """
    known = set(nodes)
    pairs = list(dict.fromkeys((parent, child) for parent, child in edges if parent in known and child in known))
    layer = layers_of(nodes, pairs)
    # a long edge has a point in each layer that it passes: nodes keep away from it, and it from them
    rows: list[list[int]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    number = {node: place for place, node in enumerate(nodes)}
    for node in nodes:
        rows[layer[node]].append(number[node])
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    points: dict[tuple[Node, Node], list[int]] = {}
    count = len(nodes)
    for parent, child in pairs:
        points[parent, child] = []
        last = number[parent]
        for between in range(layer[parent] + 1, layer[child]):
            rows[between].append(count)
            points[parent, child].append(count)
            after[last].append(count)
            before[count].append(last)
            last, count = count, count + 1
        after[last].append(number[child])
        before[number[child]].append(last)
    place = placed(rows, before, after)
    return Layout(
        places={node: (float(layer[node]), place[number[node]]) for node in nodes},
        routes={
            pair: tuple((float(layer[pair[0]] + step), place[point]) for step, point in enumerate(passed, 1))
            for pair, passed in points.items()
        },
        layers=len(rows),
        breadth=max(place.values(), default=0.0),
    )


def layers_of(nodes: Sequence[Node], pairs: Iterable[tuple[Node, Node]]) -> dict[Node, int]:
    """One more than the farthest parent's; and who has no parent stands right before the first child."""
    children: dict[Node, list[Node]] = defaultdict(list)
    waiting_for = dict.fromkeys(nodes, 0)
    for parent, child in pairs:
        children[parent].append(child)
        waiting_for[child] += 1
    roots = [node for node in nodes if waiting_for[node] == 0]
    layer = dict.fromkeys(roots, 0)
    ready = deque(roots)
    while ready:
        node = ready.popleft()
        for child in children[node]:
            layer[child] = max(layer.get(child, 0), layer[node] + 1)
            waiting_for[child] -= 1
            if waiting_for[child] == 0:
                ready.append(child)
    for root in roots:
        layer[root] = max(min((layer[child] for child in children[root]), default=layer[root] + 1) - 1, 0)
    return layer


def placed(rows: list[list[int]], before: dict[int, list[int]], after: dict[int, list[int]]) -> dict[int, float]:
    """A place for each point within its row, at least one step from the next; the smallest place is 0."""
    place = {point: float(index) for row in rows for index, point in enumerate(row)}
    for sweep in range(sweeps):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for row in rows if forth else reversed(rows):
            wanted = {point: mean_place(neighbours[point], place, place[point]) for point in row}
            # a stable sort: who has no neighbours there stays among those beside it
            row.sort(key=wanted.__getitem__)
            for index, point in enumerate(row):
                place[point] = float(index)
    for sweep in range(sweeps):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted_places = [mean_place(before[point] + after[point], place, place[point]) for point in row]
            place.update(zip(row, spread(wanted_places), strict=True))
    lowest = min(place.values(), default=0.0)
    return {point: found - lowest for point, found in place.items()}


def mean_place(neighbours: Sequence[int], place: dict[int, float], otherwise: float) -> float:
    if not neighbours:
        return otherwise
    return sum(place[point] for point in neighbours) / len(neighbours)


def spread(wanted: Sequence[float]) -> list[float]:
    """The places nearest to those wanted, in the same order and one step apart: least squares by pooling neighbours.

    Source: isotonic regression, Barlow, Bartholomew, Bremner, Brunk, Statistical Inference under Order Restrictions, 1972.
    """
    blocks: list[tuple[float, int]] = []
    for index, value in enumerate(wanted):
        # with a step taken from each, at least one step apart is: not falling
        total, size = value - index, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / size:
            above = blocks.pop()
            total, size = total + above[0], size + above[1]
        blocks.append((total, size))
    flat = [total / size for total, size in blocks for _ in range(size)]
    return [value + index for index, value in enumerate(flat)]
