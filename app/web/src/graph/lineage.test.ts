import { describe, expect, test } from "vitest";
import { Lineage, type LineageEdge, type LineageNode, type Relation, type Role } from "./lineage";

function version(name: string, state: "published" | "recalled" | "deleted" = "published"): LineageNode {
  return { reference: `team/${name}@1.0.0`, digest: name, repository: `team/${name}`, version: "1.0.0", kind: "adapter", state, rank: 8 };
}

function edge(child: string, parent: string, relation: Relation = "builds_on", role: Role | null = null, weight = 1): LineageEdge {
  return { child, parent, relation, weight, role };
}

// base ← instruct ← dialogue (the root) ← roleplay, tools ← agent; instruct also stands on something hidden
const lineage = new Lineage({
  root: "dialogue",
  nodes: [
    version("dialogue"),
    version("instruct"),
    { id: "hidden-1", hidden: true },
    version("base"),
    version("roleplay", "recalled"),
    version("tools"),
    version("agent"),
  ],
  edges: [
    edge("dialogue", "instruct"),
    edge("instruct", "base", "merged_from", "trunk"),
    edge("instruct", "hidden-1", "merged_from", "branch", 0.5),
    edge("roleplay", "dialogue"),
    edge("tools", "dialogue"),
    edge("agent", "tools"),
    edge("agent", "roleplay"),
    edge("stranger", "dialogue"),
  ],
});

describe("a lineage", () => {
  test("keeps no edge to what it does not show", () => expect(lineage.edges).toHaveLength(7));

  test("is seen from its root, nearest first", () => {
    expect([...lineage.visible(new Set())]).toEqual([
      "dialogue", "instruct", "roleplay", "tools", "base", "hidden-1", "agent",
    ]);
  });

  test("hides behind a collapsed ancestor what stands under it", () => {
    const seen = lineage.visible(new Set(["instruct"]));
    expect(seen.has("instruct")).toBe(true);
    expect(seen.has("base")).toBe(false);
    expect(lineage.countBehind("instruct", new Set(["instruct"]))).toBe(2);
  });

  test("keeps what there is another way to", () => {
    expect(lineage.visible(new Set(["tools"])).has("agent")).toBe(true);
    expect(lineage.visible(new Set(["tools", "roleplay"])).has("agent")).toBe(false);
  });

  test("has nothing to collapse at its ends and at its root", () => {
    expect(["dialogue", "base", "agent", "hidden-1"].filter((id) => lineage.isCollapsible(id))).toEqual([]);
  });

  test("is searched by all of the words, and never for what is hidden", () => {
    expect(lineage.search("TEAM dial")).toEqual(["dialogue"]);
    expect(lineage.search("hidden")).toEqual([]);
    expect(lineage.search("  ")).toEqual([]);
  });

  test("knows trunk and branches of a merge", () => {
    expect([...lineage.roles("instruct")]).toEqual([["base", "trunk"], ["hidden-1", "branch"]]);
  });

  test("is told in words, and a hidden ancestor without any name", () => {
    expect(lineage.describe("hidden-1", new Set())).toBe("An adapter that you may not read");
    expect(lineage.describe("roleplay", new Set())).toContain("recalled");
    expect(lineage.describe("instruct", new Set(["instruct"]))).toBe(
      "team/instruct@1.0.0; adapter; rank 8; merged from team/base@1.0.0, as trunk; " +
        "merged from a hidden adapter at weight 0.5, as branch; one version stands on it; collapsed, 2 hidden behind it",
    );
  });
});
