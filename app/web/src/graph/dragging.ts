// A drawing moved by mouse, finger or pen, and zoomed by wheel or two fingers.

export interface Place {
  x: number;
  y: number;
}

export interface Movable {
  pan(x: number, y: number): void;
  /** Zoom by a factor; what is at this place of the host stays there. */
  zoomBy(factor: number, at: Place): void;
}

/** So far a trembling hand moves that means the link below. */
const tremble = 4;

export class Dragging {
  /** Buttons and fingers that are down, and where they were last. */
  readonly #pointers = new Map<number, Place>();
  #hasMoved = false;

  constructor(
    readonly host: HTMLElement,
    readonly movable: Movable,
  ) {
    host.addEventListener("pointerdown", (event) => this.#onDown(event));
    host.addEventListener("pointermove", (event) => this.#onMove(event));
    host.addEventListener("pointerup", (event) => this.#onUp(event));
    host.addEventListener("pointercancel", (event) => this.#onUp(event));
    // the browser would carry a link away instead of moving the drawing
    host.addEventListener("dragstart", (event) => event.preventDefault());
    host.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
  }

  get isGoingOn(): boolean {
    return this.#pointers.size > 0;
  }

  #onDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    if (!this.#pointers.size) this.#hasMoved = false;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  #onMove(event: PointerEvent): void {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    if (!event.buttons) {
      // let go elsewhere
      this.#onUp(event);
      return;
    }
    const here = { x: event.clientX, y: event.clientY };
    if (!this.#hasMoved && distance(last, here) < tremble) return;
    if (!this.#hasMoved) {
      this.#hasMoved = true;
      this.host.setPointerCapture(event.pointerId);
      this.host.classList.add("dragging");
    }
    this.#pointers.set(event.pointerId, here);
    const other = [...this.#pointers.values()].find((place) => place !== here);
    if (!other) {
      this.movable.pan(here.x - last.x, here.y - last.y);
      return;
    }
    // between two fingers stays what was between them
    const bounds = this.host.getBoundingClientRect();
    const between = { x: (here.x + other.x) / 2 - bounds.left, y: (here.y + other.y) / 2 - bounds.top };
    this.movable.zoomBy(distance(here, other) / Math.max(distance(last, other), 1), between);
    this.movable.pan((here.x - last.x) / 2, (here.y - last.y) / 2);
  }

  #onUp(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    if (!this.#pointers.size) this.host.classList.remove("dragging");
  }

  /** With Ctrl or ⌘, and of a pinch on a touchpad, it zooms; alone it scrolls the page, as everywhere. */
  #onWheel(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const bounds = this.host.getBoundingClientRect();
    const at = { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
    this.movable.zoomBy(Math.exp(-event.deltaY / 300), at);
  }
}

function distance(one: Place, other: Place): number {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
