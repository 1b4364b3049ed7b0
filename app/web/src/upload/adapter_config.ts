import { Fault, type Rules } from "./rules";

/** What an adapter_config.json says, as far as a person wants to see it before publishing. */
export interface AdapterConfig {
  peftType: string;
  rank: number | null;
  alpha: number | null;
  /** Names, or one pattern; null where there are none. */
  targets: string[] | string | null;
  /** Null where none is named, or where the name is a folder on the trainer's disk. */
  base: string | null;
  baseRevision: string | null;
  useRslora: boolean;
  useDora: boolean;
  modulesToSave: string[];
  /** Whether modules have ranks of their own, or factors of something else than modules. */
  hasOneRank: boolean;
}

/** `text` is the file's bytes. Throws: Fault. The rules are those of app/formats/adapter_config.py, or fewer. */
export function readConfig(text: Uint8Array, rules: Rules): AdapterConfig {
  if (text.length > rules.largestConfigBytes) {
    throw new Fault(`it has ${text.length} bytes, at most ${rules.largestConfigBytes}`);
  }
  const values = parse(text);
  const known = new Set(rules.configKeys);
  const unknown = Object.keys(values).filter((key) => !known.has(key));
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 5).join(", ") + (unknown.length > 5 ? ", …" : "");
    throw new Fault(`it has keys that no PEFT release writes: ${shown}. Remove them, they would be lost`);
  }
  const peftType = values["peft_type"];
  if (typeof peftType !== "string" || !rules.peftTypes.includes(peftType)) {
    throw new Fault("its peft_type is no kind of adapter that PEFT knows");
  }
  const isLora = peftType === "LORA";
  const rank = values["r"] ?? (isLora ? 8 : null);
  const alpha = values["lora_alpha"] ?? values["alpha"] ?? (isLora ? 8 : null);
  if (isLora && !(Number.isInteger(rank) && (rank as number) > 0)) throw new Fault("its r must be an integer from 1 on");
  if (isLora && typeof alpha !== "number") throw new Fault("its lora_alpha must be a number");
  const base = textOf(values["base_model_name_or_path"]);
  return {
    peftType,
    rank: typeof rank === "number" ? rank : null,
    alpha: typeof alpha === "number" ? alpha : null,
    targets: targetsOf(values["target_modules"]),
    base: base !== null && isLocalPath(base) ? null : base,
    baseRevision: textOf(values["revision"]),
    useRslora: values["use_rslora"] === true,
    useDora: values["use_dora"] === true,
    modulesToSave: namesOf(values["modules_to_save"]),
    hasOneRank: isLora && isEmpty(values["rank_pattern"]) && isEmpty(values["target_parameters"]),
  };
}

function parse(text: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (error) {
    throw new Fault(`it is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Fault("it is not a JSON object");
  return value as Record<string, unknown>;
}

/** Where the trainer's disk kept the base; it says nothing to anybody else, and the registry does not take it for a name. */
export function isLocalPath(name: string): boolean {
  return /^[/.~]/.test(name) || name.includes("\\") || name.split("/").length > 2;
}

function textOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function namesOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === "string") : [];
}

function targetsOf(value: unknown): string[] | string | null {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? [...new Set(namesOf(value))].sort() : null;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);
}
