// Where versions stand in a drawing: in layers, parents before their children, with few crossings.
//
// The same as app/web/layering.py, step by step, so that a picture of a lineage and its page show one drawing; both are
// held to tests/web/layouts.json. Layout libraries took 13 to 35 s for 1,000 versions (docs/pages.md); this takes 0.1 s.

/** (layer, place within the layer); the unit is one step. */
export type Point = [number, number];

export interface Layout {
  places: Map<string, Point>;
  /** By `parent child`: a point in each layer that the edge passes. */
  routes: Map<string, Point[]>;
  layers: number;
  /** The largest place within a layer; the smallest is 0. */
  breadth: number;
}

const sweeps = 8;

/** Lay out a graph without cycles; `edges` are [parent, child], and the order of the nodes decides ties. */
export function layout(nodes: readonly string[], edges: readonly (readonly [string, string])[]): Layout {
  const number = new Map(nodes.map((node, index) => [node, index]));
  const pairs = new Map<string, [number, number]>();
  for (const [parent, child] of edges) {
    const [from, to] = [number.get(parent), number.get(child)];
    if (from !== undefined && to !== undefined) pairs.set(`${parent} ${child}`, [from, to]);
  }
  const layer = layersOf(nodes.length, [...pairs.values()]);
  const layers = layer.reduce((most, one) => Math.max(most, one + 1), 0);
  const rows: number[][] = Array.from({ length: layers }, () => []);
  layer.forEach((row, point) => rows[row]!.push(point));
  // a long edge has a point in each layer that it passes: nodes keep away from it, and it from them
  const before: number[][] = nodes.map(() => []);
  const after: number[][] = nodes.map(() => []);
  const passed = new Map<string, number[]>();
  for (const [pair, [parent, child]] of pairs) {
    const points: number[] = [];
    let last = parent;
    for (let between = layer[parent]! + 1; between < layer[child]!; between++) {
      const point = before.length;
      rows[between]!.push(point);
      points.push(point);
      after[last]!.push(point);
      before.push([last]);
      after.push([]);
      last = point;
    }
    after[last]!.push(child);
    before[child]!.push(last);
    passed.set(pair, points);
  }
  const place = placed(rows, before, after);
  return {
    places: new Map(nodes.map((node, index) => [node, [layer[index]!, place[index]!]])),
    routes: new Map(
      [...passed].map(([pair, points]) => {
        const first = layer[pairs.get(pair)![0]]! + 1;
        return [pair, points.map((point, index): Point => [first + index, place[point]!])];
      }),
    ),
    layers,
    breadth: place.reduce((most, one) => Math.max(most, one), 0),
  };
}

/** One more than the farthest parent's; and who has no parent stands right before the first child. */
function layersOf(count: number, pairs: readonly [number, number][]): number[] {
  const children: number[][] = Array.from({ length: count }, () => []);
  const waiting = new Array<number>(count).fill(0);
  for (const [parent, child] of pairs) {
    children[parent]!.push(child);
    waiting[child]!++;
  }
  const roots = [...waiting.keys()].filter((node) => waiting[node] === 0);
  const layer = new Array<number>(count).fill(0);
  const ready = [...roots];
  for (const node of ready) {
    for (const child of children[node]!) {
      layer[child] = Math.max(layer[child]!, layer[node]! + 1);
      if (--waiting[child]! === 0) ready.push(child);
    }
  }
  for (const root of roots) {
    const first = children[root]!.reduce((least, child) => Math.min(least, layer[child]!), Infinity);
    if (first !== Infinity) layer[root] = first - 1;
  }
  return layer;
}

/** A place for each point within its row, at least one step from the next; the smallest place is 0. */
function placed(rows: number[][], before: number[][], after: number[][]): number[] {
  const place = new Array<number>(before.length).fill(0);
  const number = (row: number[]): void => row.forEach((point, index) => (place[point] = index));
  rows.forEach(number);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const forth = sweep % 2 === 0;
    const neighbours = forth ? before : after;
    for (const row of forth ? rows : [...rows].reverse()) {
      const wanted = new Map(row.map((point) => [point, mean(neighbours[point]!, place, place[point]!)]));
      // a stable sort: who has no neighbours there stays among those beside it
      row.sort((one, other) => wanted.get(one)! - wanted.get(other)!);
      number(row);
    }
  }
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (const row of sweep % 2 === 0 ? rows : [...rows].reverse()) {
      const wanted = row.map((point) => mean([...before[point]!, ...after[point]!], place, place[point]!));
      spread(wanted).forEach((found, index) => (place[row[index]!] = found));
    }
  }
  const lowest = place.reduce((least, one) => Math.min(least, one), Infinity);
  return place.map((found) => found - lowest);
}

function mean(neighbours: readonly number[], place: readonly number[], otherwise: number): number {
  if (!neighbours.length) return otherwise;
  return neighbours.reduce((sum, point) => sum + place[point]!, 0) / neighbours.length;
}

/** The places nearest to those wanted, in the same order and one step apart: least squares by pooling neighbours. */
export function spread(wanted: readonly number[]): number[] {
  const blocks: [total: number, size: number][] = [];
  wanted.forEach((value, index) => {
    // with a step taken from each, at least one step apart is: not falling
    let [total, size] = [value - index, 1];
    for (let above = blocks.at(-1); above && above[0] / above[1] >= total / size; above = blocks.at(-1)) {
      blocks.pop();
      total += above[0];
      size += above[1];
    }
    blocks.push([total, size]);
  });
  return blocks
    .flatMap(([total, size]) => new Array<number>(size).fill(total / size))
    .map((value, index) => value + index);
}
