import { ago } from "../format";
import { Combobox, type Option } from "./combobox";
import { byId, made } from "./elements";
import type { FormFields } from "./form";
import { drawLineage, type Parent, told } from "./lineage_preview";

interface Suggestion {
  reference: string;
  base_model: string | null;
  is_same_base: boolean;
  rank: number | null;
  is_mine: boolean;
  created_at: string;
}

/** The rows of `builds on`, the field `initialized from`, suggestions for both, and the drawing of what comes of them. */
export class ParentsPanel {
  private readonly rows = byId("parents", HTMLOListElement);
  private readonly origin = byId("initialized_from", HTMLInputElement);
  private readonly drawing = byId("lineage-preview", HTMLElement);
  private readonly blank: HTMLLIElement;
  private made = 0;

  /** `base` and `kind` of the version that is to be; `itself` is what it is called. */
  constructor(
    fields: FormFields,
    private readonly base: () => string,
    private readonly kind: () => string,
    private readonly itself: () => string,
  ) {
    const [first] = this.rows.children;
    if (!(first instanceof HTMLLIElement)) throw new Error("no row for a parent");
    this.blank = first.cloneNode(true) as HTMLLIElement;
    for (const input of this.blank.querySelectorAll("input")) {
      input.removeAttribute("value");
      input.removeAttribute("autofocus");
      input.removeAttribute("aria-invalid");
    }
    // those that a page without script needs
    for (const row of [...this.rows.children].slice(1)) {
      if (row.querySelector("input")?.value === "") row.remove();
    }
    for (const row of this.rows.children) this.furnish(row);
    byId("parent-row", HTMLDivElement).hidden = false;
    byId("add-parent", HTMLButtonElement).addEventListener("click", () => this.add().querySelector("input")?.focus());
    this.suggesting(this.origin);
    fields.form.addEventListener("input", () => this.draw());
  }

  /** At least so many rows. */
  rowsAtLeast(count: number): void {
    while (this.rows.children.length < count) this.add();
  }

  private add(): HTMLLIElement {
    const row = this.blank.cloneNode(true) as HTMLLIElement;
    this.rows.append(row);
    this.furnish(row);
    return row;
  }

  /** Names for its fields of their own, suggestions, and a button that takes it away. */
  private furnish(row: Element): void {
    const number = ++this.made;
    for (const field of row.querySelectorAll(".field")) {
      const input = field.querySelector("input");
      const label = field.querySelector("label");
      if (input === null || label === null) continue;
      input.id = `${input.name}-${number}`;
      label.htmlFor = input.id;
      if (input.name === "builds_on") this.suggesting(input);
    }
    const remove = made("button", { type: "button", class: "slim", "aria-label": `Remove this adapter` }, "Remove");
    remove.addEventListener("click", () => {
      row.remove();
      if (this.rows.children.length === 0) this.add();
      this.number();
      this.rows.querySelector("input")?.focus();
      this.draw();
    });
    row.append(remove);
    this.number();
  }

  private number(): void {
    for (const [index, row] of [...this.rows.children].entries()) {
      const label = row.querySelector("label");
      if (label !== null) label.textContent = `Adapter ${index + 1}`;
    }
  }

  private suggesting(input: HTMLInputElement): void {
    input.placeholder = "Search, or owner/name@1.0.0";
    const changed = () => input.dispatchEvent(new Event("input", { bubbles: true }));
    new Combobox(input, (text) => this.suggest(text), changed);
  }

  private async suggest(text: string): Promise<Option[]> {
    const asked = new URLSearchParams({ q: text, base_model: this.base(), kind: this.kind() });
    const response = await fetch(`/upload/parents?${asked}`, { headers: { Accept: "application/json" } });
    // suggestions are a help: where there are none, the reference can be typed
    if (!response.ok) return [];
    const found = (await response.json()) as Suggestion[];
    return found.map((one) => ({ value: one.reference, about: aboutOf(one) }));
  }

  /** In the order of their rows; empty ones are left out. Weights that are no numbers are NaN. */
  parents(): Parent[] {
    const found: Parent[] = [];
    for (const row of this.rows.children) {
      const [reference, weight] = [...row.querySelectorAll("input")].map((input) => input.value.trim());
      if (reference) {
        const number = weight ? Number(weight.replace(",", ".")) : 1;
        found.push({ reference, weight: number, relation: "builds_on" });
      }
    }
    return found;
  }

  initializedFrom(): string {
    return this.origin.value.trim();
  }

  draw(): void {
    const origin = this.initializedFrom();
    // without an origin there is nothing to be taken over
    byId("nothing-row", HTMLDivElement).hidden = origin === "";
    const parents = this.parents().filter(({ weight }) => Number.isFinite(weight));
    if (origin !== "") parents.push({ reference: origin, weight: 1, relation: "initialized_from" });
    const drawn = drawLineage(parents, this.itself());
    this.drawing.hidden = drawn === null;
    if (drawn === null) return;
    const caption = made("figcaption", { class: "help" }, `${told(parents, this.itself())}.`);
    this.drawing.replaceChildren(drawn, caption);
  }
}

function aboutOf(one: Suggestion): string {
  const base = one.is_same_base ? "same base" : one.base_model === null ? "no base named" : `on ${one.base_model}`;
  const rank = one.rank === null ? [] : [`rank ${one.rank}`];
  return [base, ...rank, ...(one.is_mine ? ["yours"] : []), ago(new Date(one.created_at))].join(" · ");
}
