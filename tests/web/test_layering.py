"""Layouts of lineages: layers, order, places; and what is drawn with them."""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.web.drawing import box_height, draw_lineage, draw_paths, longest_label, node_step, shortened
from app.web.layering import layered, spread

cases: list[dict[str, Any]] = json.loads((Path(__file__).parent / "layouts.json").read_text())


@pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])
def test_a_layout_is_the_one_that_the_page_draws(case: dict[str, Any]) -> None:
    found = layered(case["nodes"], [tuple(edge) for edge in case["edges"]])
    assert {node: [layer, round(place, 10)] for node, (layer, place) in found.places.items()} == case["places"]
    routes = {f"{parent} {child}": points for (parent, child), points in found.routes.items() if points}
    assert {pair: [[x, round(y, 10)] for x, y in points] for pair, points in routes.items()} == case["routes"]


@pytest.mark.parametrize("seed", range(20))
def test_parents_stand_before_their_children_and_nothing_stands_on_anything(seed: int) -> None:
    dice = random.Random(seed)
    size = dice.randint(1, 60)
    edges = [
        (parent, child)
        for child in range(1, size)
        for parent in {dice.randrange(child) for _ in range(dice.randint(0, 3))}
    ]
    found = layered(range(size), edges)
    assert all(found.places[parent][0] < found.places[child][0] for parent, child in edges)
    assert all(len(found.routes[edge]) == found.places[edge[1]][0] - found.places[edge[0]][0] - 1 for edge in edges)
    rows: dict[float, list[float]] = {}
    for layer, place in [*found.places.values(), *(point for points in found.routes.values() for point in points)]:
        rows.setdefault(layer, []).append(place)
    for row in rows.values():
        row.sort()
        assert all(later - earlier >= 1 - 1e-9 for earlier, later in pairwise(row))
    assert min(place for row in rows.values() for place in row) == pytest.approx(0)
    assert found.breadth == pytest.approx(max(place for row in rows.values() for place in row))


def test_what_is_spread_is_as_near_as_it_can_be() -> None:
    dice = random.Random(1)
    for _ in range(50):
        wanted = [dice.uniform(0, 6) for _ in range(dice.randint(0, 8))]
        found = spread(wanted)
        cost = sum((one - other) ** 2 for one, other in zip(found, wanted, strict=True))
        for _ in range(50):
            # any other places that are far enough apart are no better
            other = sorted(dice.uniform(-3, 9) for _ in wanted)
            apart = [place + index for index, place in enumerate(other)]
            assert cost <= sum((one - place) ** 2 for one, place in zip(apart, wanted, strict=True)) + 1e-9


def node(name: str, state: str = "published") -> dict[str, Any]:
    reference = f"team/{name}@1.0.0"
    return {
        "digest": name, "reference": reference, "repository": f"team/{name}", "version": "1.0.0",
        "kind": "adapter", "state": state, "rank": 8,
    }  # fmt: skip


def edge(child: str, parent: str, relation: str, role: str | None = None, weight: float = 1.0) -> dict[str, Any]:
    return {"child": child, "parent": parent, "relation": relation, "role": role, "weight": weight}


def test_a_drawing_marks_roles_states_and_what_is_hidden() -> None:
    nodes = [node("chat"), node("instruct"), node("dialogue", "recalled"), {"id": "hidden-1", "hidden": True}]
    edges = [
        edge("chat", "instruct", "merged_from", "trunk"),
        edge("chat", "dialogue", "merged_from", "branch", 0.5),
        edge("dialogue", "instruct", "builds_on"),
        edge("dialogue", "hidden-1", "initialized_from"),
        edge("dialogue", "unknown", "builds_on"),
    ]
    drawing = draw_lineage("chat", nodes, edges)
    chat, instruct, dialogue, hidden = drawing.boxes
    assert chat.marks == ("root",)
    assert instruct.marks == ("trunk",)
    assert dialogue.marks == ("branch", "recalled")
    assert (hidden.marks, hidden.href, hidden.title) == (("hidden",), None, "An adapter that you may not read")
    assert "hidden-1" not in " ".join(line.title for line in drawing.lines)
    assert len(drawing.lines) == 4
    assert list(drawing.relations) == ["builds_on", "initialized_from", "merged_from"]
    assert "team/chat@1.0.0 merged from team/dialogue@1.0.0 at weight 0.5, as branch" in [
        line.title for line in drawing.lines
    ]


def test_two_edges_between_the_same_versions_are_two_lines() -> None:
    edges = [edge("b", "a", "builds_on"), edge("b", "a", "initialized_from")]
    first, second = draw_lineage("b", [node("b"), node("a")], edges).lines
    assert first.path != second.path


def test_a_tombstone_leads_nowhere() -> None:
    assert draw_lineage("a", [node("a", "deleted")], []).boxes[0].href is None


def test_paths_that_share_a_version_are_one_drawing() -> None:
    hidden = {"id": "hidden-1", "hidden": True}
    drawing = draw_paths(
        [["a/top@1.0.0", "a/mid@1.0.0", "a/x@1.0.0"], ["a/side@1.0.0", "a/mid@1.0.0", hidden]], ["a/x@1.0.0", hidden]
    )
    assert len(drawing.boxes) == 5
    assert len(drawing.lines) == 4
    assert [box.label for box in drawing.boxes if "layer" in box.marks] == ["a/top", "a/side"]
    assert [box.label for box in drawing.boxes if "culprit" in box.marks] == ["a/x", "hidden"]
    assert drawing.height >= box_height + node_step


@pytest.mark.parametrize("length", [1, longest_label, longest_label + 1, 96])
def test_a_long_name_keeps_its_ends(length: int) -> None:
    name = "".join(chr(ord("a") + place % 26) for place in range(length))
    short = shortened(name)
    assert len(short) <= longest_label
    assert (short[0], short[-1]) == (name[0], name[-1])
