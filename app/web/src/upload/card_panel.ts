import { formToken } from "../api";
import { cardFile, type Chosen } from "./contents";
import { byId } from "./elements";

/** The card's two tabs: its text, and how the registry will show it. */
export class CardPanel {
  private readonly text = byId("card", HTMLTextAreaElement);
  private readonly shown = byId("card-preview", HTMLDivElement);
  /** As it stood in the README.md that was chosen; empty where none was. */
  private taken = "";
  private readonly tabs = [byId("card-write", HTMLButtonElement), byId("card-show", HTMLButtonElement)] as const;

  constructor() {
    byId("card-tabs", HTMLDivElement).hidden = false;
    for (const [index, tab] of this.tabs.entries()) {
      tab.addEventListener("click", () => void this.turn(index === 1));
      tab.addEventListener("keydown", (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        event.preventDefault();
        void this.turn(index === 0);
        this.tabs[1 - index]?.focus();
      });
    }
  }

  private async turn(toPreview: boolean): Promise<void> {
    for (const [index, tab] of this.tabs.entries()) {
      const isOpen = (index === 1) === toPreview;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
    }
    this.text.hidden = toPreview;
    this.shown.hidden = !toPreview;
    if (!toPreview) return;
    this.shown.textContent = "…";
    const body = new URLSearchParams({ card: this.text.value, csrf_token: formToken() });
    try {
      const response = await fetch("/upload/preview", { method: "POST", body });
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
      // sanitised by the registry, as on the adapter's own page
      this.shown.innerHTML = await response.text();
      if (this.text.value.trim() === "") this.shown.textContent = "Nothing is written yet.";
    } catch (error) {
      this.shown.textContent = `There is no preview at the moment (${error instanceof Error ? error.message : String(error)}).`;
    }
  }

  /** The text of a README.md that was chosen is edited here, unless a card was written already. */
  take(text: string | null): void {
    if (text === null || (this.text.value !== "" && this.text.value !== this.taken)) return;
    this.text.value = text;
    // as the field itself writes the ends of lines
    this.taken = this.text.value;
    this.text.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** The files with what stands here as their card; the one that was chosen, as long as nothing in it was changed. */
  among(chosen: Chosen[]): Chosen[] {
    if (this.text.value === this.taken) return chosen;
    const others = chosen.filter(({ path }) => path !== cardFile);
    if (this.text.value.trim() === "") return others;
    // one time for one text, so that it is known again after a reload
    const file = new File([this.text.value], cardFile, { type: "text/markdown", lastModified: 0 });
    return [...others, { path: cardFile, file }];
  }
}
