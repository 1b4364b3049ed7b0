import { api, Problem } from "../api";
import { byId } from "./elements";
import type { FormFields } from "./form";

interface Repository {
  repository: string;
  kind: string;
  visibility: string;
  base_model: { name: string } | null;
}

/** Whether the name is that of a repository that is there, or makes a new one. */
export class RepositoryPanel {
  private readonly owner = byId("namespace", HTMLSelectElement);
  private readonly name = byId("name", HTMLInputElement);
  private readonly help = byId("repository-help", HTMLSpanElement);
  private readonly settings = byId("new-repository", HTMLFieldSetElement);
  private readonly helpOfNew: string;
  private asked = 0;
  /** Of the newest version that is there; null: none is. */
  newest: string | null = null;
  existing: Repository | null = null;

  constructor(
    private readonly fields: FormFields,
    private readonly changed: () => void,
  ) {
    this.helpOfNew = this.help.textContent ?? "";
    for (const control of [this.owner, this.name]) control.addEventListener("change", () => void this.look());
  }

  get path(): string {
    return `${this.owner.value}/${this.name.value.trim()}`;
  }

  /** Throws: Problem, when the registry does not answer. */
  async look(): Promise<void> {
    const asked = ++this.asked;
    const path = this.path;
    const found = this.name.value.trim() === "" ? null : await this.find(path);
    const listed = found === null ? null : await api<{ items: { version: string }[] }>("GET", `/repositories/${path}/versions?limit=1`);
    if (asked !== this.asked) return;
    this.existing = found;
    this.newest = listed?.items[0]?.version ?? null;
    this.settings.hidden = found !== null;
    this.settings.disabled = found !== null;
    this.help.textContent =
      found === null
        ? this.name.value.trim() === ""
          ? this.helpOfNew
          : `${path} is made when this is published.`
        : `${found.repository} is there (${found.kind}, ${found.visibility}): this becomes its next version` +
          (this.newest === null ? ", the first." : `, after ${this.newest}.`);
    this.changed();
  }

  private async find(path: string): Promise<Repository | null> {
    try {
      return await api<Repository>("GET", `/repositories/${path.split("/").map(encodeURIComponent).join("/")}`);
    } catch (error) {
      // a deleted one of one's own is opened again
      if (error instanceof Problem && [404, 410, 422].includes(error.status)) return null;
      throw error;
    }
  }

  /** What `create` of a publication says; undefined of a repository that is there. */
  creation(kind: string, base: string): Record<string, unknown> | undefined {
    if (this.existing !== null) return undefined;
    const said = {
      kind,
      base_model: base,
      description: this.fields.text("description"),
      license: this.fields.text("license"),
      visibility: this.fields.text("visibility"),
    };
    const tags = this.fields.text("tags").split(",").map((tag) => tag.trim());
    return {
      ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== "")),
      tags: tags.filter((tag) => tag !== ""),
    };
  }
}
