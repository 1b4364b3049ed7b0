// A lineage answer as a graph: who stands on whom, seen from its root.

export type Relation = "builds_on" | "initialized_from" | "merged_from" | "extracted_from";
export type Role = "trunk" | "branch" | "base";

/** A version, or a hidden ancestor, of which nothing is known but that it is there. */
export type LineageNode =
  | { id: string; hidden: true }
  | {
      reference: string;
      digest: string;
      repository: string;
      version: string;
      kind: "adapter" | "model" | "stack";
      state: "published" | "recalled" | "deleted";
      rank: number | null;
      hidden?: undefined;
    };

export interface LineageEdge {
  child: string;
  parent: string;
  relation: Relation;
  weight: number;
  role: Role | null;
}

/** As `GET …/lineage` answers. */
export interface LineageAnswer {
  root: string;
  nodes: LineageNode[];
  edges: LineageEdge[];
}

export const relationWords: Record<Relation, string> = {
  builds_on: "builds on",
  initialized_from: "initialized from",
  merged_from: "merged from",
  extracted_from: "extracted from",
};

/** What a hidden ancestor is called. */
export const hiddenName = "a hidden adapter";

export class Lineage {
  readonly root: string;
  readonly nodes = new Map<string, LineageNode>();
  /** Those between two known nodes. */
  readonly edges: LineageEdge[];
  readonly #above = new Map<string, LineageEdge[]>();
  readonly #below = new Map<string, LineageEdge[]>();
  readonly #ancestors: Set<string>;

  constructor(answer: LineageAnswer) {
    this.root = answer.root;
    for (const node of answer.nodes) this.nodes.set(idOf(node), node);
    this.edges = answer.edges.filter((edge) => this.nodes.has(edge.child) && this.nodes.has(edge.parent));
    for (const edge of this.edges) {
      append(this.#above, edge.child, edge);
      append(this.#below, edge.parent, edge);
    }
    this.#ancestors = reached(this.root, (id) => this.parents(id));
  }

  /** The edges to what a version stands on or comes from. */
  above(id: string): readonly LineageEdge[] {
    return this.#above.get(id) ?? [];
  }

  /** The edges from what stands on a version or was made of it. */
  below(id: string): readonly LineageEdge[] {
    return this.#below.get(id) ?? [];
  }

  parents(id: string): string[] {
    return [...new Set(this.above(id).map((edge) => edge.parent))];
  }

  children(id: string): string[] {
    return [...new Set(this.below(id).map((edge) => edge.child))];
  }

  isAncestor(id: string): boolean {
    return this.#ancestors.has(id) && id !== this.root;
  }

  /** The neighbours away from the root: of an ancestor its parents, of others their children, of the root both. */
  outward(id: string): string[] {
    if (id === this.root) return [...this.parents(id), ...this.children(id)];
    return this.#ancestors.has(id) ? this.parents(id) : this.children(id);
  }

  /** Whether collapsing would hide anything. */
  isCollapsible(id: string): boolean {
    return id !== this.root && this.outward(id).length > 0;
  }

  /** What is seen where nothing behind the collapsed versions is, nearest to the root first. */
  visible(collapsed: ReadonlySet<string>): Set<string> {
    return reached(this.root, (id) => (collapsed.has(id) && id !== this.root ? [] : this.outward(id)));
  }

  /** How many versions come into sight when this one is expanded. */
  countBehind(id: string, collapsed: ReadonlySet<string>): number {
    const others = new Set(collapsed);
    others.delete(id);
    return this.visible(others).size - this.visible(new Set([...others, id])).size;
  }

  /** What went into a version's own merge, with its role there. */
  roles(id: string): Map<string, Role> {
    const found = new Map<string, Role>();
    for (const edge of this.above(id)) if (edge.role) found.set(edge.parent, edge.role);
    return found;
  }

  /** The versions whose references hold all of the words, nearest first. */
  search(text: string): string[] {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    return [...this.nodes].flatMap(([id, node]) => {
      const name = node.hidden ? "" : node.reference.toLowerCase();
      return words.every((word) => name.includes(word)) ? [id] : [];
    });
  }

  name(id: string): string {
    const node = this.nodes.get(id);
    return !node || node.hidden ? hiddenName : node.reference;
  }

  /** A version in words, for those who do not see the drawing. */
  describe(id: string, collapsed: ReadonlySet<string>): string {
    const node = this.nodes.get(id);
    if (!node || node.hidden) return "An adapter that you may not read";
    const said = [node.reference, node.kind];
    if (node.rank !== null) said.push(`rank ${node.rank}`);
    if (node.state !== "published") said.push(node.state);
    if (id === this.root) said.push("where this lineage begins");
    const role = this.roles(this.root).get(id);
    if (role) said.push(`${role} of this merge`);
    for (const edge of this.above(id)) {
      const weight = edge.weight === 1 ? "" : ` at weight ${edge.weight}`;
      const part = edge.role ? `, as ${edge.role}` : "";
      said.push(`${relationWords[edge.relation]} ${this.name(edge.parent)}${weight}${part}`);
    }
    const below = this.children(id).length;
    if (below) said.push(below === 1 ? "one version stands on it" : `${below} versions stand on it`);
    if (collapsed.has(id)) said.push(`collapsed, ${this.countBehind(id, collapsed)} hidden behind it`);
    return said.join("; ");
  }
}

export function idOf(node: LineageNode): string {
  return node.hidden ? node.id : node.digest;
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

function reached(root: string, step: (id: string) => string[]): Set<string> {
  const found = new Set([root]);
  // a set is walked in the order of insertion, also through what is added on the way
  for (const id of found) for (const next of step(id)) found.add(next);
  return found;
}
