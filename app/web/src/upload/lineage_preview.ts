/** What the new version will stand on, drawn: parents above, this version below, strokes as in the lineage graph. */
export interface Parent {
  reference: string;
  weight: number;
  relation: "builds_on" | "initialized_from";
}

const namespace = "http://www.w3.org/2000/svg";
const box = { width: 220, height: 44, gap: 20, drop: 64, margin: 4 };
const longestName = 30;

/** Null when there is no parent to draw. Names are only ever set as text. */
export function drawLineage(parents: Parent[], itself: string): SVGSVGElement | null {
  if (parents.length === 0) return null;
  const width = parents.length * box.width + (parents.length - 1) * box.gap + 2 * box.margin;
  const height = 2 * box.height + box.drop + 2 * box.margin;
  // its caption says the same in words
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const bottom = { x: width / 2, y: box.margin + box.height + box.drop };
  for (const [index, parent] of parents.entries()) {
    const x = box.margin + index * (box.width + box.gap) + box.width / 2;
    const top = box.margin + box.height;
    const middle = (top + bottom.y) / 2;
    const path = `M ${x} ${top} C ${x} ${middle}, ${bottom.x} ${middle}, ${bottom.x} ${bottom.y}`;
    svg.append(shape("path", { d: path, class: `edge ${parent.relation}` }));
  }
  for (const [index, parent] of parents.entries()) {
    const x = box.margin + index * (box.width + box.gap);
    const under = parent.relation === "builds_on" ? `this builds on it${times(parent.weight)}` : "this started from it";
    svg.append(...node(x, box.margin, parent.reference, under, parent.relation));
  }
  svg.append(...node(bottom.x - box.width / 2, bottom.y, itself, "this version", "itself"));
  return svg;
}

/** What the drawing says. */
export function told(parents: Parent[], itself: string): string {
  const said = parents.map(({ reference, weight, relation }) =>
    relation === "builds_on" ? `builds on ${reference}${times(weight)}` : `is initialized from ${reference}`,
  );
  return `${itself} ${said.join(" and ")}`;
}

function times(weight: number): string {
  return weight === 1 ? "" : `, weight ${weight}`;
}

function node(x: number, y: number, name: string, under: string, kind: string): SVGElement[] {
  const shown = name.length > longestName ? `${name.slice(0, longestName - 1)}…` : name;
  const centre = x + box.width / 2;
  const title = shape("title", {});
  title.textContent = name;
  const frame = shape("rect", { x, y, width: box.width, height: box.height, rx: 6, class: `node ${kind}` });
  frame.append(title);
  const label = shape("text", { x: centre, y: y + 19, class: "name" });
  label.textContent = shown;
  const line = shape("text", { x: centre, y: y + 35, class: "under" });
  line.textContent = under;
  return [frame, label, line];
}

function shape<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
