// A lineage drawn as SVG: panned, zoomed, collapsed, searched, and walked along with the arrow keys.

import { Dragging, type Place } from "./dragging";
import { layout, type Layout, type Point } from "./layout";
import type { Lineage } from "./lineage";
import { box, classesOf, cornerOf, curve, drawnInCells, margin, routed, type Routed, shortened, step, svg, text } from "./shapes";

/** Of more, dashes are left out while they move. */
const manyEdges = 300;
const zooms = { least: 0.05, readable: 0.6, near: 0.8, most: 2.5, factor: 1.25 };
/** So much of the drawing stays in sight, however far it is dragged. */
const keptInSight = 60;

interface Drawn {
  link: SVGAElement;
  corner: Point;
}

export class GraphView {
  readonly collapsed = new Set<string>();
  #svg = svg("svg", { class: "lineage-drawing", role: "group", "aria-label": "Lineage graph" });
  #drawn = new Map<string, Drawn>();
  /** The edges at each version. */
  #routed = new Map<string, Routed[]>();
  #litLines = svg("g", {});
  #litBoxes: Element[] = [];
  #layout: Layout = { places: new Map(), routes: new Map(), layers: 0, breadth: 0 };
  #size = { width: 0, height: 0 };
  #zoom = 1;
  #shift: Place = { x: 0, y: 0 };
  #current: string;
  #found = new Set<string>();
  #dragging: Dragging;
  #isFitted = false;

  constructor(
    readonly host: HTMLElement,
    readonly lineage: Lineage,
  ) {
    this.#current = lineage.root;
    this.#svg.addEventListener("keydown", (event) => this.#onKey(event));
    this.#svg.addEventListener("focusin", (event) => this.#onFocus(event));
    this.#svg.addEventListener("click", (event) => this.#onClick(event));
    this.#svg.addEventListener("pointerover", (event) => {
      // what flies by under a moving drawing was not pointed at
      if (!this.#dragging.isGoingOn) this.#light(idUnder(event.target) ?? this.#current);
    });
    this.#svg.addEventListener("pointerleave", () => this.#light(this.#current));
    this.#dragging = new Dragging(host, this);
    host.replaceChildren(this.#svg);
    this.draw();
    this.fit();
  }

  /** Everything that is not behind a collapsed version, in its place. */
  draw(): void {
    const seen = this.lineage.visible(this.collapsed);
    const edges = this.lineage.edges.filter((edge) => seen.has(edge.child) && seen.has(edge.parent));
    this.#layout = layout(
      [...this.lineage.nodes.keys()].filter((id) => seen.has(id)),
      edges.map((edge) => [edge.parent, edge.child]),
    );
    this.#size = {
      width: 2 * margin + box.width + Math.max(this.#layout.layers - 1, 0) * step.layer,
      height: 2 * margin + box.height + this.#layout.breadth * step.node,
    };
    if (!seen.has(this.#current)) this.#current = this.lineage.root;
    const roles = this.lineage.roles(this.lineage.root);
    const boxes = svg("g", {});
    const ways = routed(this.#layout, edges);
    this.#routed.clear();
    for (const one of ways) {
      for (const end of [one.edge.child, one.edge.parent]) this.#routed.set(end, [...(this.#routed.get(end) ?? []), one]);
    }
    this.#litBoxes = [];
    this.#drawn.clear();
    for (const id of this.#layout.places.keys()) boxes.append(...this.#drawBox(id, roles.get(id)));
    this.#svg.setAttribute("viewBox", `0 0 ${this.#size.width} ${this.#size.height}`);
    this.#svg.replaceChildren(drawnInCells(ways), this.#litLines, boxes);
    this.host.classList.toggle("large", edges.length > manyEdges);
    // as high as what is drawn, where that is less than there is room
    this.host.style.setProperty("--drawn", `${this.#size.height}px`);
    this.#place();
    this.#light(this.#current);
  }

  #drawBox(id: string, role: string | undefined): SVGElement[] {
    const node = this.lineage.nodes.get(id)!;
    const [x, y] = cornerOf(this.#layout.places.get(id)!);
    const marks = ["box"];
    if (id === this.lineage.root) marks.push("root");
    if (role) marks.push(role);
    if (node.hidden) marks.push("hidden");
    else if (node.state !== "published") marks.push(node.state);
    if (this.#found.has(id)) marks.push("found");
    const link = svg("a", {
      class: marks.join(" "),
      transform: `translate(${x} ${y.toFixed(1)})`,
      "data-id": id,
      tabindex: id === this.#current ? 0 : -1,
    });
    const told = this.lineage.describe(id, this.collapsed);
    if (node.hidden || node.state === "deleted") {
      // a hidden one has no page, and a tombstone none of its own
      link.setAttribute("role", "img");
      link.setAttribute("aria-label", told);
    } else {
      link.setAttribute("href", `/${node.repository}?version=${node.version}`);
      const description = svg("desc", {});
      description.textContent = told;
      link.append(description);
    }
    link.append(svg("rect", { width: box.width, height: box.height, rx: 7 }));
    const details = node.hidden ? ["you may not read it"] : [node.version];
    if (!node.hidden && node.rank !== null) details.push(`rank ${node.rank}`);
    if (!node.hidden && node.state !== "published") details.push(node.state);
    link.append(text("label", 11, 19, node.hidden ? "hidden" : shortened(node.repository)));
    link.append(text("detail", 11, 36, details.join(" · ")));
    this.#drawn.set(id, { link, corner: [x, y] });
    if (!this.lineage.isCollapsible(id)) return [link];
    return [link, ...this.#drawToggle(id, x, y)];
  }

  /** For the pointer; with the keyboard it is the space bar, and the description tells of it. */
  #drawToggle(id: string, x: number, y: number): SVGElement[] {
    const isAncestor = this.lineage.isAncestor(id);
    const [toX, toY] = [isAncestor ? x - 12 : x + box.width + 12, y + box.height / 2];
    const isCollapsed = this.collapsed.has(id);
    const toggle = svg("path", {
      class: "toggle",
      // one element: there may be a thousand of them
      d: `M9 0A9 9 0 1 1 -9 0A9 9 0 1 1 9 0M-4 0H4${isCollapsed ? "M0 -4V4" : ""}`,
      transform: `translate(${toX} ${toY.toFixed(1)})`,
      "data-toggle": id,
      "aria-hidden": "true",
    });
    if (!isCollapsed) return [toggle];
    const count = text("behind", toX + (isAncestor ? -14 : 14), toY + 4, `${this.lineage.countBehind(id, this.collapsed)}`);
    if (isAncestor) count.setAttribute("text-anchor", "end");
    count.setAttribute("aria-hidden", "true");
    return [toggle, count];
  }

  // -- what is in sight --

  #place(): void {
    this.#svg.setAttribute("width", `${this.#size.width * this.#zoom}`);
    this.#svg.setAttribute("height", `${this.#size.height * this.#zoom}`);
    this.#svg.classList.toggle("far", this.#zoom < 0.45);
    this.#move(this.#shift.x, this.#shift.y);
  }

  #move(x: number, y: number): void {
    const { clientWidth, clientHeight } = this.host;
    const bound = (value: number, drawn: number, room: number): number =>
      Math.min(Math.max(value, keptInSight - drawn), room - keptInSight);
    this.#shift = {
      x: bound(x, this.#size.width * this.#zoom, clientWidth),
      y: bound(y, this.#size.height * this.#zoom, clientHeight),
    };
    // moved by the compositor: nothing is painted again
    this.#svg.style.transform = `translate(${this.#shift.x}px, ${this.#shift.y}px)`;
  }

  pan(x: number, y: number): void {
    this.#isFitted = false;
    this.#move(this.#shift.x + x, this.#shift.y + y);
  }

  /** The host has another size: what nobody has moved yet is fitted to it. */
  resized(): void {
    if (this.#isFitted) this.fit();
    else this.#move(this.#shift.x, this.#shift.y);
  }

  /** Zoom by a factor; what is at this point of the host stays there. */
  zoomBy(factor: number, at?: Place): void {
    const { x, y } = at ?? { x: this.host.clientWidth / 2, y: this.host.clientHeight / 2 };
    this.#isFitted = false;
    const zoom = Math.min(Math.max(this.#zoom * factor, zooms.least), zooms.most);
    const ratio = zoom / this.#zoom;
    this.#zoom = zoom;
    this.#shift = { x: x - (x - this.#shift.x) * ratio, y: y - (y - this.#shift.y) * ratio };
    this.#place();
  }

  zoomIn(): void {
    this.zoomBy(zooms.factor);
  }

  zoomOut(): void {
    this.zoomBy(1 / zooms.factor);
  }

  /** All of it, where it can be read then; else what is around the root. */
  fit(): void {
    this.overview();
    if (this.#zoom < zooms.readable) {
      this.#zoom = zooms.near;
      this.#place();
      this.#centre(this.lineage.root);
    }
    this.#isFitted = true;
  }

  /** All of it, as large as there is room, and never larger than life. */
  overview(): void {
    const { clientWidth, clientHeight } = this.host;
    this.#zoom = Math.max(Math.min(clientWidth / this.#size.width, clientHeight / this.#size.height, 1), zooms.least);
    this.#place();
    this.#move((clientWidth - this.#size.width * this.#zoom) / 2, (clientHeight - this.#size.height * this.#zoom) / 2);
  }

  #centre(id: string): void {
    const [x, y] = this.#drawn.get(id)!.corner;
    this.#move(
      this.host.clientWidth / 2 - (x + box.width / 2) * this.#zoom,
      this.host.clientHeight / 2 - (y + box.height / 2) * this.#zoom,
    );
  }

  /** Move as little as is needed to see a version whole. */
  #bringIntoSight(id: string): void {
    const [x, y] = this.#drawn.get(id)!.corner;
    const missing = (start: number, length: number, shift: number, room: number): number => {
      const [from, to] = [start * this.#zoom + shift, (start + length) * this.#zoom + shift];
      if (from < 8) return 8 - from;
      return to > room - 8 ? room - 8 - to : 0;
    };
    const across = missing(x, box.width, this.#shift.x, this.host.clientWidth);
    const down = missing(y, box.height, this.#shift.y, this.host.clientHeight);
    if (across || down) this.pan(across, down);
  }

  // -- what is looked at --

  /** Give a version the focus, and expand what hides it. */
  focus(id: string): void {
    if (!this.#drawn.has(id)) {
      this.collapsed.clear();
      this.draw();
    }
    // the browser would scroll the drawing under our feet
    this.#drawn.get(id)?.link.focus({ preventScroll: true });
  }

  toggle(id: string): void {
    if (!this.lineage.isCollapsible(id)) return;
    const before = this.#drawn.get(id)!.corner;
    if (!this.collapsed.delete(id)) this.collapsed.add(id);
    const hadFocus = this.#svg.contains(document.activeElement);
    this.draw();
    const after = this.#drawn.get(id)!.corner;
    // what was clicked stays under the pointer
    this.pan((before[0] - after[0]) * this.#zoom, (before[1] - after[1]) * this.#zoom);
    if (hadFocus) this.focus(id);
  }

  /** Mark what a search has found. */
  mark(found: readonly string[]): void {
    this.#found = new Set(found);
    for (const [id, { link }] of this.#drawn) link.classList.toggle("found", this.#found.has(id));
  }

  /** Show what a version stands on, and what stands on it; of a merge, its trunk and branches. */
  #light(id: string): void {
    this.#litLines.replaceChildren(
      ...(this.#routed.get(id) ?? []).map(({ edge, points }) =>
        svg("path", { class: `${classesOf(edge)} lit`, d: curve(points) }),
      ),
    );
    for (const lit of this.#litBoxes) lit.classList.remove("lit-trunk", "lit-branch");
    this.#litBoxes = [];
    for (const [other, role] of this.lineage.roles(id)) {
      const link = this.#drawn.get(other)?.link;
      if (!link) continue;
      link.classList.add(role === "trunk" ? "lit-trunk" : "lit-branch");
      this.#litBoxes.push(link);
    }
  }

  #onFocus(event: FocusEvent): void {
    const id = idUnder(event.target);
    if (id === null) return;
    this.#drawn.get(this.#current)?.link.setAttribute("tabindex", "-1");
    this.#current = id;
    this.#drawn.get(id)?.link.setAttribute("tabindex", "0");
    this.#bringIntoSight(id);
    this.#light(id);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act: Record<string, () => void> = {
      ArrowLeft: () => this.#go(this.lineage.parents(this.#current)),
      ArrowRight: () => this.#go(this.lineage.children(this.#current)),
      ArrowUp: () => this.#go(this.#beside(-1)),
      ArrowDown: () => this.#go(this.#beside(1)),
      Home: () => this.focus(this.lineage.root),
      " ": () => this.toggle(this.#current),
      "+": () => this.zoomIn(),
      "-": () => this.zoomOut(),
      "0": () => this.overview(),
    };
    const chosen = act[event.key];
    if (!chosen) return;
    event.preventDefault();
    chosen();
  }

  /** To the nearest of these that is drawn. */
  #go(ids: string[]): void {
    const [, here] = this.#drawn.get(this.#current)!.corner;
    const drawn = ids.filter((id) => this.#drawn.has(id));
    const distance = (id: string): number => Math.abs(this.#drawn.get(id)!.corner[1] - here);
    drawn.sort((one, other) => distance(one) - distance(other));
    if (drawn[0] !== undefined) this.focus(drawn[0]);
  }

  /** The versions above (-1) or below (1) in the same layer. */
  #beside(direction: 1 | -1): string[] {
    const [x, y] = this.#drawn.get(this.#current)!.corner;
    return [...this.#drawn].flatMap(([id, { corner }]) =>
      corner[0] === x && (corner[1] - y) * direction > 0 ? [id] : [],
    );
  }

  #onClick(event: MouseEvent): void {
    const toggle = (event.target as Element).closest("[data-toggle]")?.getAttribute("data-toggle");
    if (toggle) this.toggle(toggle);
  }
}

function idUnder(target: EventTarget | null): string | null {
  return target instanceof Element ? (target.closest("[data-id]")?.getAttribute("data-id") ?? null) : null;
}
