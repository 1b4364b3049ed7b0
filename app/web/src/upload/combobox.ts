import { made } from "./elements";

/** Something to choose: the value that the field gets, and a line that explains it. */
export interface Option {
  value: string;
  about: string;
}

const pauseMilliseconds = 150;

/**
 * A text field with suggestions under it, as the ARIA pattern of an editable combobox wants it: arrows move, Enter takes,
 * Escape closes, and what is typed stays what it is when nothing is taken.
 */
export class Combobox {
  private readonly list: HTMLUListElement;
  private options: Option[] = [];
  private active = -1;
  private asked = 0;
  private timer: number | undefined;

  constructor(
    private readonly input: HTMLInputElement,
    private readonly suggest: (text: string) => Promise<Option[]>,
    private readonly changed: () => void,
  ) {
    this.list = made("ul", { id: `${input.id}-list`, role: "listbox", "aria-label": "Suggestions", class: "suggestions" });
    this.list.hidden = true;
    input.after(this.list);
    for (const [name, value] of Object.entries({
      role: "combobox",
      autocomplete: "off",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": this.list.id,
    })) {
      input.setAttribute(name, value);
    }
    input.addEventListener("focus", () => this.later(0));
    input.addEventListener("input", () => this.later(pauseMilliseconds));
    input.addEventListener("keydown", (event) => this.pressed(event));
    input.addEventListener("blur", () => this.close());
    // the field keeps the focus, so that choosing is no blur
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest("li") : null;
      const option = row === null ? undefined : this.options[[...this.list.children].indexOf(row)];
      if (option !== undefined) this.take(option);
    });
  }

  private later(milliseconds: number): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), milliseconds);
  }

  private async ask(): Promise<void> {
    const question = ++this.asked;
    const options = await this.suggest(this.input.value.trim());
    // an answer to an older question, or one that nobody waits for any more
    if (question !== this.asked || document.activeElement !== this.input) return;
    this.options = options;
    this.list.replaceChildren(
      ...options.map(({ value, about }, index) =>
        made(
          "li",
          { id: `${this.list.id}-${index}`, role: "option", "aria-selected": "false" },
          made("span", { class: "suggestion" }, value),
          made("span", { class: "about" }, about),
        ),
      ),
    );
    this.move(-1);
    this.show(options.length > 0);
  }

  private pressed(event: KeyboardEvent): void {
    if (event.key === "Escape" && !this.list.hidden) {
      event.preventDefault();
      this.close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) return this.later(0);
      const step = event.key === "ArrowDown" ? 1 : -1;
      const count = this.options.length;
      this.move(this.active < 0 ? (step > 0 ? 0 : count - 1) : (this.active + step + count) % count);
    } else if (event.key === "Enter" && !this.list.hidden) {
      // Enter in an open list never sends the form
      event.preventDefault();
      const option = this.options[this.active];
      if (option === undefined) this.close();
      else this.take(option);
    }
  }

  private move(index: number): void {
    this.active = index;
    for (const [place, row] of [...this.list.children].entries()) {
      row.setAttribute("aria-selected", String(place === index));
      if (place === index) row.scrollIntoView({ block: "nearest" });
    }
    if (index < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `${this.list.id}-${index}`);
  }

  private take(option: Option): void {
    this.input.value = option.value;
    this.close();
    this.changed();
  }

  private show(isOpen: boolean): void {
    this.list.hidden = !isOpen;
    this.input.setAttribute("aria-expanded", String(isOpen));
  }

  private close(): void {
    window.clearTimeout(this.timer);
    this.asked++;
    this.show(false);
    this.move(-1);
  }
}
