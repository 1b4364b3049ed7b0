import { Problem } from "../api";
import { byId, made } from "./elements";
import { type FieldTable, fieldOf } from "./fields";
import type { Memory } from "./memory";

/** What a script may put into the form again after a reload. */
type Draft = [name: string, value: string][];

const unkept = new Set(["csrf_token"]);

/** The form's fields: refusals shown at them, and what was typed kept until the tab is closed. */
export class FormFields {
  readonly form = byId("upload", HTMLFormElement);
  private readonly general = byId("form-error", HTMLDivElement);

  constructor(
    private readonly table: FieldTable,
    private readonly memory: Memory,
  ) {
    // what is mended is not marked any more
    this.form.addEventListener("input", ({ target }) => {
      if (target instanceof HTMLElement) this.clear(target);
      this.keep();
    });
  }

  text(name: string): string {
    const field = this.form.elements.namedItem(name);
    const isText = field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement || field instanceof HTMLSelectElement;
    return isText ? field.value.trim() : field instanceof RadioNodeList ? field.value : "";
  }

  /** Shows a refusal where it belongs, and goes there. */
  refuse(problem: Problem): void {
    const pointer = problem.body.pointer;
    this.show(fieldOf(problem.kind, pointer, this.table), problem.body.detail, rowOf(pointer));
  }

  /** `field` null: at the top. `row`: of several fields with one name, the one that it concerns. */
  show(field: string | null, detail: string, row = 0): void {
    const text = sentence(detail);
    const place = field === null ? null : document.getElementById(`${field}-error`);
    if (field === null || place === null) return this.showGeneral(made("p", {}, text));
    place.textContent = text;
    place.hidden = false;
    const control = this.control(field, row);
    control?.setAttribute("aria-invalid", "true");
    control?.focus();
  }

  /** The session is over; what was typed comes back, and what was sent is there. */
  signInAgain(): void {
    const link = made("a", { href: `/login?next=${encodeURIComponent(location.pathname + location.search)}` }, "Sign in again");
    this.showGeneral(made("p", {}, "You are not signed in any more. ", link, ": what was typed and what has arrived is kept."));
  }

  private showGeneral(...told: HTMLElement[]): void {
    this.general.replaceChildren(...told);
    this.general.hidden = false;
    this.general.focus();
  }

  clearAll(): void {
    this.general.hidden = true;
    for (const place of this.form.querySelectorAll<HTMLElement>('.error[id$="-error"]')) place.hidden = true;
    for (const control of this.form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  }

  private clear(control: Element): void {
    if (!control.hasAttribute("aria-invalid")) return;
    control.removeAttribute("aria-invalid");
    for (const id of (control.getAttribute("aria-describedby") ?? "").split(" ")) {
      const place = id.endsWith("-error") ? document.getElementById(id) : null;
      if (place !== null) place.hidden = true;
    }
  }

  private control(field: string, row: number): HTMLElement | null {
    const marked = this.form.querySelectorAll<HTMLElement>(`[aria-describedby~="${field}-error"]`);
    const described = [...marked].filter((control) => !control.hidden);
    return described[row] ?? described[0] ?? this.form.querySelector<HTMLElement>(`[name="${field}"]`);
  }

  private keep(): void {
    const draft: Draft = [];
    for (const [name, value] of new FormData(this.form)) {
      if (typeof value === "string" && !unkept.has(name)) draft.push([name, value]);
    }
    this.memory.write("draft", draft);
  }

  /** Puts back what was typed before a reload. `rows` makes so many rows for parents. */
  restore(rows: (count: number) => void): void {
    const draft = this.memory.read<Draft>("draft") ?? [];
    rows(draft.filter(([name]) => name === "builds_on").length);
    const seen = new Map<string, number>();
    for (const [name, value] of draft) {
      const index = seen.get(name) ?? 0;
      seen.set(name, index + 1);
      const controls = [...this.form.querySelectorAll<HTMLInputElement>(`[name="${CSS.escape(name)}"]`)];
      const first = controls[0];
      if (first?.type === "radio") for (const radio of controls) radio.checked = radio.value === value;
      else if (first?.type === "checkbox") first.checked = true;
      else if (controls[index] !== undefined) controls[index].value = value;
    }
  }
}

/** The row that `/builds_on/1` or `/builds_on/1/version` concerns. */
function rowOf(pointer: string | undefined): number {
  return Number(/^\/builds_on\/(\d+)/.exec(pointer ?? "")?.[1] ?? 0);
}

/** With a capital and a full stop; a name that it begins with stays as it is. */
export function sentence(detail: string): string {
  const begun = /^[a-z]+[ ,:]/.test(detail) ? detail.slice(0, 1).toUpperCase() + detail.slice(1) : detail;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
