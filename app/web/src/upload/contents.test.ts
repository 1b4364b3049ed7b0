import { describe, expect, it } from "vitest";
import { type Chosen, readContents } from "./contents";
import { config, lora, rules, weights } from "./testing";

function chosen(...files: File[]): Chosen[] {
  return files.map((file) => ({ path: file.name, file }));
}

async function obstacles(...files: File[]): Promise<string[]> {
  const contents = await readContents(chosen(...files), rules);
  return contents.obstacles.map(({ path, text }) => `${path}: ${text}`);
}

const zip = (name: string, beginning: string) => new File([beginning], name);

describe("what an adapter's files say", () => {
  it("is told from the header and the configuration alone", async () => {
    const contents = await readContents(chosen(lora(["a.q", "b.q"]), config(), new File(["# Hello"], "README.md")), rules);
    expect(contents).toMatchObject({
      kind: "adapter",
      parameters: 64,
      dtype: "F32",
      modules: 2,
      ranks: [2],
      card: "# Hello",
      obstacles: [],
      pickles: [],
    });
    expect(contents.config).toMatchObject({ rank: 2, alpha: 4, targets: ["q"], base: "acme/tiny", useDora: false });
  });

  it("reads nothing of a large file but its beginning", async () => {
    const read: number[] = [];
    const whole = lora(["a.q"]);
    const watched = new Proxy(whole, {
      get(target, name) {
        if (name === "slice") return (start: number, end: number) => (read.push(end - start), target.slice(start, end));
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? (value as () => unknown).bind(target) : value;
      },
    });
    const contents = await readContents(chosen(watched, config()), rules);
    expect(contents.obstacles).toEqual([]);
    expect(read.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(512 + rules.largestHeaderBytes);
  });

  it("knows a model by its configuration and weights", async () => {
    const model = weights({ w: { dtype: "F16", shape: [2, 2], data_offsets: [0, 8] } }, 8, "model.safetensors");
    expect(await readContents(chosen(model, zip("config.json", "{}")), rules)).toMatchObject({
      kind: "model",
      parameters: 4,
      obstacles: [],
    });
  });

  it("marks pickles that lie beside, and takes them", async () => {
    const contents = await readContents(chosen(lora(["a.q"]), config(), zip("optimizer.pt", "x"), zip("odd", "\x80")), rules);
    expect(contents.pickles).toEqual(["optimizer.pt"]);
    expect(contents.obstacles).toEqual([]);
  });
});

describe("what stands in the way is named before anything is sent", () => {
  const entry = (start: number, end: number) => ({ dtype: "F32", shape: [(end - start) / 4], data_offsets: [start, end] });
  it.each<[string, File[], RegExp]>([
    ["no weights", [config()], /adapter_model.safetensors is missing/],
    ["weights of another name", [config(), weights({}, 0, "lora.safetensors")], /rename lora.safetensors/],
    ["a pickle", [config(), zip("adapter_model.bin", "PK\x03\x04data.pkl")], /pickle.*safe_serialization=True/],
    ["no configuration", [lora(["a.q"])], /adapter_config.json is missing/],
    ["weights that are a pickle", [config(), zip("adapter_model.safetensors", "PK\x03\x04archive/data.pkl")], /is a pickle/],
    ["weights that are an archive", [config(), zip("adapter_model.safetensors", "PK\x03\x04readme.txt")], /archive/],
    ["an empty file", [config(), zip("adapter_model.safetensors", "")], /empty/],
    ["a broken header", [config(), weights("{nothing", 0)], /header is not JSON/],
    ["a header that is cut off", [config(), new File([new Uint8Array([200, 0, 0, 0, 0, 0, 0, 0]), "{"], "adapter_model.safetensors")], /cut off/],
    ["too large a header", [config(), weights(`{"a": "${"b".repeat(5000)}"}`, 0)], /at most 4096/],
    ["tensors that overlap", [config(), weights({ a: entry(0, 8), b: entry(4, 12) }, 12)], /overlaps/],
    ["a hole", [config(), weights({ a: entry(0, 8), b: entry(12, 16) }, 16)], /belong to none/],
    ["missing bytes", [config(), weights({ a: entry(0, 8) }, 4)], /cut off: 4 bytes/],
    ["bytes behind the end", [config(), weights({ a: entry(0, 8) }, 9)], /1 bytes behind/],
    ["an unknown dtype", [config(), weights({ a: { dtype: "F9", shape: [], data_offsets: [0, 0] } }, 0)], /unknown dtype F9/],
    ["a wrong size", [config(), weights({ a: { dtype: "F32", shape: [3], data_offsets: [0, 8] } }, 8)], /needs 12 bytes/],
    ["names that are none of PEFT's", [config(), weights({ a: entry(0, 8) }, 8)], /does not begin with base_model.model./],
    ["another rank than the configuration's", [config({ r: 4 }), lora(["a.q"])], /rank 2, and adapter_config.json says 4/],
    ["a factor without its counterpart", [config(), weights({ "base_model.model.a.q.lora_A.weight": { dtype: "F32", shape: [2, 8], data_offsets: [0, 64] } }, 64)], /has no lora_B/],
    ["unknown keys", [config({ my_key: 1 }), lora(["a.q"])], /my_key/],
    ["an unknown kind", [config({ peft_type: "NEW" }), lora(["a.q"])], /no kind of adapter/],
    ["a rank that is none", [config({ r: "8" }), lora(["a.q"])], /its r must be/],
    ["a configuration that is no JSON", [zip("adapter_config.json", "{r: 8}"), lora(["a.q"])], /not JSON/],
    ["a configuration that is a list", [zip("adapter_config.json", "[]"), lora(["a.q"])], /not a JSON object/],
    ["too large a configuration", [zip("adapter_config.json", `{"bias": "${"b".repeat(3000)}"}`), lora(["a.q"])], /at most 2048/],
    ["too many files", [lora(["a.q"]), config(), zip("1", ""), zip("2", ""), zip("3", ""), zip("4", "")], /at most 5/],
    ["too large a file", [lora(["a.q"]), config(), new File([new Uint8Array(1e6 + 1)], "big")], /at most 1000000/],
  ])("%s", async (_, files, expected) => {
    expect((await obstacles(...files)).join("\n")).toMatch(expected);
  });

  it("and nothing is where the registry would take it", async () => {
    // ranks of their own, other layouts and kinds are the registry's to judge
    expect(await obstacles(config({ rank_pattern: { q: 4 }, r: 8 }), lora(["a.q"]))).toEqual([]);
    expect(await obstacles(config({ peft_type: "IA3" }), weights({ ia3: entry(0, 8) }, 8))).toEqual([]);
    expect(await obstacles(config({ base_model_name_or_path: "/home/me/model" }), lora(["a.q"]))).toEqual([]);
    expect(await obstacles(config({ r: null }), lora(["a.q"], 8))).toEqual([]);
  });

  it("a folder in a folder is pointed out", async () => {
    const below = { path: "checkpoint-500/adapter_model.safetensors", file: lora(["a.q"]) };
    const contents = await readContents([below, ...chosen(config())], rules);
    expect(contents.obstacles[0]?.text).toMatch(/choose the folder/);
  });

  it("a base on the trainer's own disk is none that others know", async () => {
    const contents = await readContents(chosen(lora(["a.q"]), config({ base_model_name_or_path: "../models/tiny" })), rules);
    expect(contents.config?.base).toBeNull();
  });
});
