import type { Rules } from "./rules";

/** What tests of several modules need. */
export const rules: Rules = {
  dtypes: { F32: 4, F16: 2, BF16: 2, U8: 1 },
  configKeys: ["peft_type", "r", "lora_alpha", "target_modules", "base_model_name_or_path", "rank_pattern", "use_rslora", "bias"],
  peftTypes: ["LORA", "IA3"],
  largestHeaderBytes: 4096,
  largestConfigBytes: 2048,
  largestFileBytes: 1e6,
  mostTensors: 100,
  mostFiles: 5,
};

/** A safetensors file: its header as given, and as many bytes of tensors. */
export function weights(header: unknown, dataBytes: number, name = "adapter_model.safetensors"): File {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return new File([length, json, new Uint8Array(dataBytes)], name);
}

/** Of a LoRA with a pair of factors of this rank for each module, 8 wide. */
export function lora(modules: string[], rank = 2): File {
  let position = 0;
  const header: Record<string, unknown> = {};
  for (const module of modules) {
    for (const [factor, shape] of [["lora_A", [rank, 8]], ["lora_B", [8, rank]]] as const) {
      const end = position + rank * 8 * 4;
      header[`base_model.model.${module}.${factor}.weight`] = { dtype: "F32", shape, data_offsets: [position, end] };
      position = end;
    }
  }
  return weights(header, position);
}

export function config(values: Record<string, unknown> = {}): File {
  const usual = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q"], base_model_name_or_path: "acme/tiny" };
  return new File([JSON.stringify({ ...usual, ...values })], "adapter_config.json");
}

/** The browser's storage, in memory. */
export class Drawer implements Storage {
  private readonly held = new Map<string, string>();
  isFull = false;
  get length(): number {
    return this.held.size;
  }
  clear(): void {
    this.held.clear();
  }
  getItem(key: string): string | null {
    return this.held.get(key) ?? null;
  }
  key(index: number): string | null {
    return [...this.held.keys()][index] ?? null;
  }
  removeItem(key: string): void {
    this.held.delete(key);
  }
  setItem(key: string, value: string): void {
    if (this.isFull) throw new DOMException("full", "QuotaExceededError");
    this.held.set(key, value);
  }
}
