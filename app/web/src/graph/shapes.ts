// What a lineage is drawn with: boxes in their places, lines between them.

import type { Layout, Point } from "./layout";
import type { LineageEdge } from "./lineage";

export const box = { width: 200, height: 46 };
export const step = { layer: 284, node: 62 };
export const margin = 40;
/** Between two edges that join the same boxes. */
const lane = 7;
const longestLabel = 27;
const cellHeight = 6 * step.node;

/** An edge, and the points that it goes through. */
export interface Routed {
  edge: LineageEdge;
  points: Point[];
}

/** The upper left corner of what stands at a place of the layout. */
export function cornerOf([layer, place]: Point): Point {
  return [margin + layer * step.layer, margin + place * step.node];
}

/** Each edge on its way; where several join the same boxes, beside each other. */
export function routed(layout: Layout, edges: readonly LineageEdge[]): Routed[] {
  return [...groupBy(edges, (edge) => `${edge.parent} ${edge.child}`)].flatMap(([pair, alike]) => {
    const [{ parent, child }] = alike as [LineageEdge];
    const stops = [layout.places.get(parent)!, ...(layout.routes.get(pair) ?? []), layout.places.get(child)!].map(cornerOf);
    const points = stops.map(([x, y]): Point => [x + box.width / 2, y + box.height / 2]);
    points[0]![0] += box.width / 2;
    points.at(-1)![0] -= box.width / 2;
    return alike.map((edge, index) => {
      const shift = (index - (alike.length - 1) / 2) * lane;
      return { edge, points: points.map(([x, y]): Point => [x, y + shift]) };
    });
  });
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, `${value}`);
  return element;
}

export function text(kind: string, x: number, y: number, content: string): SVGTextElement {
  const element = svg("text", { class: kind, x, y });
  element.textContent = content;
  return element;
}

export function classesOf(edge: LineageEdge): string {
  return ["line", edge.relation, ...(edge.role ? [edge.role] : [])].join(" ");
}

/**
 * All edges, cut where they pass a layer, and what lies in one part of the drawing as one path. Whole edges would reach
 * across half of it, and be painted again for each piece of it that comes into sight: with 1,000 versions that took most of the time.
 */
export function drawnInCells(routed: Routed[]): SVGGElement {
  const cells = new Map<string, { classes: string; pieces: string[] }>();
  for (const { edge, points } of routed) {
    const classes = classesOf(edge);
    for (let index = 1; index < points.length; index++) {
      const [from, to] = [points[index - 1]!, points[index]!];
      const cell = `${classes} ${from[0]} ${Math.floor((from[1] + to[1]) / 2 / cellHeight)}`;
      const found = cells.get(cell) ?? { classes, pieces: [] };
      cells.set(cell, found);
      found.pieces.push(curve([from, to]));
    }
  }
  const group = svg("g", {});
  group.append(...[...cells.values()].map(({ classes, pieces }) => svg("path", { class: classes, d: pieces.join("") })));
  return group;
}

/** From parent to child, level at each point. */
export function curve(points: Point[]): string {
  const [[x, y], ...others] = points as [Point, ...Point[]];
  let path = `M${x} ${y.toFixed(1)}`;
  let [fromX, fromY] = [x, y];
  for (const [toX, toY] of others) {
    const bend = (toX - fromX) / 2;
    path += `C${fromX + bend} ${fromY.toFixed(1)} ${toX - bend} ${toY.toFixed(1)} ${toX} ${toY.toFixed(1)}`;
    [fromX, fromY] = [toX, toY];
  }
  return path;
}

/** Cut in the middle: namespaces differ at the beginning, names of one family at the end. */
export function shortened(name: string): string {
  if (name.length <= longestLabel) return name;
  const head = Math.floor((longestLabel - 1) / 2);
  return `${name.slice(0, head)}…${name.slice(head + 1 - longestLabel)}`;
}

