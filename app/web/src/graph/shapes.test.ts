import { describe, expect, test } from "vitest";
import { layout } from "./layout";
import type { LineageEdge } from "./lineage";
import { box, cornerOf, curve, routed, shortened } from "./shapes";

function edge(child: string, parent: string, relation: LineageEdge["relation"] = "builds_on"): LineageEdge {
  return { child, parent, relation, weight: 1, role: null };
}

describe("an edge", () => {
  test("goes from the right side of the parent to the left side of the child", () => {
    const found = layout(["a", "b"], [["a", "b"]]);
    const [way] = routed(found, [edge("b", "a")]);
    const [from, to] = [cornerOf(found.places.get("a")!), cornerOf(found.places.get("b")!)];
    expect(way!.points).toEqual([
      [from[0] + box.width, from[1] + box.height / 2],
      [to[0], to[1] + box.height / 2],
    ]);
  });

  test("passes a point in each layer between", () => {
    const edges = [edge("b", "a"), edge("c", "b"), edge("c", "a")];
    const found = layout(["a", "b", "c"], edges.map(({ parent, child }) => [parent, child]));
    expect(routed(found, edges).map(({ points }) => points.length)).toEqual([2, 2, 3]);
  });

  test("lies beside another one that joins the same versions", () => {
    const edges = [edge("b", "a"), edge("b", "a", "initialized_from")];
    const [one, other] = routed(layout(["a", "b"], [["a", "b"]]), edges);
    expect(one!.points[0]![1]).toBe(other!.points[0]![1] - 7);
  });

  test("is level at both ends", () => {
    expect(curve([[0, 0], [10, 20]])).toBe("M0 0.0C5 0.0 5 20.0 10 20.0");
  });
});

test.each([1, 27, 28, 96])("a name of %i letters keeps its ends", (length) => {
  const name = Array.from({ length }, (_, place) => String.fromCharCode(97 + (place % 26))).join("");
  const short = shortened(name);
  expect(short.length).toBeLessThanOrEqual(27);
  expect([short[0], short.at(-1)]).toEqual([name[0], name.at(-1)]);
});
