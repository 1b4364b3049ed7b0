import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { layout, spread, type Point } from "./layout";

interface Case {
  name: string;
  nodes: string[];
  edges: [string, string][];
  places: Record<string, Point>;
  routes: Record<string, Point[]>;
}

const cases = JSON.parse(readFileSync("../../tests/web/layouts.json", "utf8")) as Case[];

describe("a layout", () => {
  test.each(cases)("of $name is the one that the server draws", ({ nodes, edges, places, routes }) => {
    const found = layout(nodes, edges);
    expect(found.places.size).toBe(nodes.length);
    for (const [node, [layer, place]] of Object.entries(places)) {
      expect(found.places.get(node)![0]).toBe(layer);
      expect(found.places.get(node)![1]).toBeCloseTo(place, 9);
    }
    for (const [pair, points] of Object.entries(routes)) {
      expect(found.routes.get(pair)!.map(([layer]) => layer)).toEqual(points.map(([layer]) => layer));
      found.routes.get(pair)!.forEach(([, place], index) => expect(place).toBeCloseTo(points[index]![1], 9));
    }
  });

  test("of nothing is empty", () => {
    expect(layout([], [])).toEqual({ places: new Map(), routes: new Map(), layers: 0, breadth: 0 });
  });

  test("leaves out what leads from or to no node", () => {
    expect(layout(["a"], [["a", "b"]]).routes.size).toBe(0);
  });
});

describe("spread", () => {
  test("keeps what is far enough apart", () => expect(spread([0, 1, 5])).toEqual([0, 1, 5]));
  test("moves what is too near as little as it can", () => expect(spread([0, 0, 0, 5])).toEqual([-1, 0, 1, 5]));
  test("of nothing is nothing", () => expect(spread([])).toEqual([]));
});
