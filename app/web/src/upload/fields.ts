/**
 * Which field of the form a refusal concerns. The table is the registry's and comes with the page, which is why the form
 * without script shows every refusal at the same field.
 */
export interface FieldTable {
  /** Field by JSON pointer into the request; what stands below a pointer concerns its field, too. */
  pointers: Record<string, string>;
  /** Field by the problem's kebab name. */
  problems: Record<string, string>;
}

/** The field's name, or null for what concerns all of it. A pointer says more than the problem's name. */
export function fieldOf(problem: string, pointer: unknown, table: FieldTable): string | null {
  if (typeof pointer === "string") {
    for (let prefix = pointer; prefix !== ""; prefix = prefix.slice(0, prefix.lastIndexOf("/"))) {
      const field = table.pointers[prefix];
      if (field !== undefined) return field;
    }
  }
  return table.problems[problem] ?? null;
}
