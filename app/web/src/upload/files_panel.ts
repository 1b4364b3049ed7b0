import { count, size } from "../format";
import { type Chosen, type Contents, readContents } from "./contents";
import { byId, made } from "./elements";
import { sentence } from "./form";
import { handlesOf } from "./handles";
import { fromDrop, fromInput, type Picked } from "./picking";
import { type Rules } from "./rules";
import type { State } from "./sending";

const mostNames = 16;
const pickleNote = "A pickle: it is kept, and marked as code that can run when it is loaded.";

/** The files that were chosen: what they are, what stands in their way, and how far each has come. */
export class FilesPanel {
  chosen: Chosen[] = [];
  contents: Contents | null = null;
  /** While files are under way nobody takes any away. */
  isFrozen = false;
  private readonly input = byId("files", HTMLInputElement);
  private readonly list = byId("chosen", HTMLUListElement);
  private readonly summary = byId("contents", HTMLDivElement);
  private readonly leftOut = byId("left-out", HTMLParagraphElement);
  private readonly box = byId("drop", HTMLElement);
  private readings = 0;

  /** `changed` is called when the files were looked at, `dropped` with what the browser lets the page keep of a drop. */
  constructor(
    private readonly rules: Rules,
    private readonly changed: (contents: Contents) => void,
    private readonly dropped: (handles: FileSystemHandle[]) => void,
  ) {
    const folder = byId("folder", HTMLInputElement);
    // the script holds the files, so that the field itself stays empty
    this.input.required = false;
    this.input.hidden = true;
    byId("drop-here", HTMLDivElement).hidden = false;
    byId("choose-files", HTMLButtonElement).addEventListener("click", () => this.input.click());
    byId("choose-folder", HTMLButtonElement).addEventListener("click", () => folder.click());
    for (const input of [this.input, folder]) {
      input.addEventListener("change", () => {
        if (input.files !== null && input.files.length > 0) {
          // of what is chosen so the browser gives out nothing to keep
          this.dropped([]);
          void this.add(fromInput(input.files));
        }
        // the same files may be chosen once more; and nothing is sent twice
        input.value = "";
      });
    }
    this.box.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.box.classList.add("dropping");
    });
    for (const name of ["dragleave", "drop"]) {
      this.box.addEventListener(name, () => this.box.classList.remove("dropping"));
    }
    this.box.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer === null) return;
      void handlesOf(event.dataTransfer).then((handles) => this.dropped(handles));
      void fromDrop(event.dataTransfer).then((picked) => this.add(picked));
    });
  }

  /** What is chosen later comes beside what is there, and in the place of a file of the same name. */
  async add({ chosen, leftOut }: Picked): Promise<void> {
    if (this.isFrozen) return;
    const byPath = new Map(this.chosen.map((each) => [each.path, each]));
    for (const each of chosen) byPath.set(each.path, each);
    this.leftOut.hidden = leftOut.length === 0;
    this.leftOut.textContent = `Left out, as hidden or unfinished: ${leftOut.join(", ")}`;
    await this.look([...byPath.values()]);
  }

  private async look(chosen: Chosen[]): Promise<void> {
    this.chosen = chosen;
    const reading = ++this.readings;
    const contents = await readContents(chosen, this.rules);
    // other files were chosen meanwhile
    if (reading !== this.readings) return;
    this.contents = contents;
    this.show(contents);
    this.changed(contents);
  }

  private show(contents: Contents): void {
    this.list.hidden = this.chosen.length === 0;
    this.list.replaceChildren(...this.chosen.map((each) => this.row(each, contents)));
    this.summary.replaceChildren(...summaryOf(contents, this.chosen.length));
  }

  private row({ path, file }: Chosen, contents: Contents): HTMLLIElement {
    const remove = made("button", { type: "button", class: "slim", "aria-label": `Remove ${path}` }, "Remove");
    remove.addEventListener("click", () => {
      if (this.isFrozen) return;
      const place = this.chosen.findIndex((each) => each.path === path);
      void this.look(this.chosen.filter((each) => each.path !== path)).then(() => {
        const buttons = this.list.querySelectorAll("button");
        (buttons[Math.min(place, buttons.length - 1)] ?? byId("choose-files", HTMLButtonElement)).focus();
      });
    });
    const wrong = contents.obstacles.filter((obstacle) => obstacle.path === path).map(({ text }) => text);
    const row = made(
      "li",
      {},
      made("span", { class: "path" }, path),
      made("span", { class: "state" }),
      made("span", { class: "size" }, size(file.size)),
      remove,
      ...wrong.map((text) => made("span", { class: "error" }, sentence(text))),
      ...(contents.pickles.includes(path) ? [made("span", { class: "note" }, pickleNote)] : []),
    );
    row.dataset["path"] = path;
    return row;
  }

  tell(path: string, state: State): void {
    const index = this.chosen.findIndex((each) => each.path === path);
    const place = this.list.children[index]?.querySelector(".state");
    const file = this.chosen[index]?.file;
    if (place && file) place.textContent = wordsFor(state, file.size);
  }

  /** The first thing in the way of these files; null when there is none. */
  obstacle(): string | null {
    if (this.chosen.length === 0) return "Choose the adapter's files first";
    const first = this.contents?.obstacles[0];
    if (first === undefined) return null;
    return first.path === "" ? first.text : `${first.path}: ${first.text}`;
  }
}

function wordsFor(state: State, total: number): string {
  const share = (done: number) => `${total === 0 ? 100 : Math.floor((100 * done) / total)} %`;
  switch (state.name) {
    case "reading":
      return `Reading, ${share(state.done)}`;
    case "read":
      return "Read";
    case "sending":
      return `Sending, ${share(state.done)}`;
    case "checking":
      return "Sent; the registry reads it once more";
    case "arrived":
      return "Arrived";
  }
}

function some(names: string[]): string {
  const shown = names.slice(0, mostNames).join(", ");
  return names.length > mostNames ? `${shown} and ${count(names.length - mostNames)} more` : shown;
}

/** What the files say, as a list of facts; what is in the way of all of them together comes first. */
function summaryOf(contents: Contents, files: number): HTMLElement[] {
  if (files === 0) return [];
  const shown: HTMLElement[] = contents.obstacles
    .filter(({ path }) => path === "")
    .map(({ text }) => made("p", { class: "error" }, sentence(text)));
  const facts: [string, string][] = [];
  const { config } = contents;
  if (config !== null) {
    const kind = config.peftType === "LORA" ? (config.useDora ? "LoRA with DoRA" : config.useRslora ? "rsLoRA" : "LoRA") : config.peftType;
    facts.push(["Kind", kind]);
    const ranks = contents.ranks.length > 0 ? contents.ranks : config.rank === null ? [] : [config.rank];
    if (ranks.length > 0) facts.push(["Rank", ranks.length > 6 ? `${ranks[0]} to ${ranks.at(-1)}` : ranks.join(", ")]);
    if (config.alpha !== null) facts.push(["Alpha", String(config.alpha)]);
    if (config.targets !== null) facts.push(["Targets", typeof config.targets === "string" ? config.targets : some(config.targets)]);
    if (config.modulesToSave.length > 0) facts.push(["Saved whole", some(config.modulesToSave)]);
    facts.push(["Base model", config.base ?? "none named: say it below"]);
  } else if (contents.kind === "model") {
    facts.push(["Kind", "a full model"]);
  }
  if (contents.modules) facts.push(["Modules", count(contents.modules)]);
  if (contents.parameters !== null) facts.push(["Parameters", count(contents.parameters)]);
  if (contents.dtype !== null) facts.push(["Dtype", contents.dtype]);
  if (facts.length > 0) {
    const rows = facts.flatMap(([name, value]) => [made("dt", {}, name), made("dd", {}, value)]);
    shown.push(made("dl", { class: "facts" }, ...rows));
  }
  return shown;
}
