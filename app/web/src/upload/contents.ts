import { type AdapterConfig, readConfig } from "./adapter_config";
import { Fault, type Rules } from "./rules";
import { bytesOf, elementsOf, type Header, kindOf, readHeader } from "./safetensors";

/** A file that was chosen, under the path that it will have in the version. */
export interface Chosen {
  path: string;
  file: File;
}

/** What stands in the way of publishing these files, before the first byte is sent. */
export interface Obstacle {
  /** Of the file; of all of them together, an empty text. */
  path: string;
  text: string;
}

/** What the files say. */
export interface Contents {
  kind: "adapter" | "model";
  config: AdapterConfig | null;
  /** Elements of all weights together. */
  parameters: number | null;
  /** One dtype, or `mixed`. */
  dtype: string | null;
  modules: number | null;
  ranks: number[];
  /** The text of README.md. */
  card: string | null;
  obstacles: Obstacle[];
  /** Paths of attachments that can run code when they are loaded. They are taken, and marked. */
  pickles: string[];
}

export const configFile = "adapter_config.json";
export const weightFile = "adapter_model.safetensors";
export const cardFile = "README.md";
const pickledWeights = ["adapter_model.bin", "pytorch_model.bin", "adapter_model.pt"];
const pickledSuffixes = [".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth"];
const prefix = "base_model.model.";
const largestCardBytes = 2 ** 20;

/** Reads the beginnings of the files, and their configurations whole. Never throws: what is wrong is an obstacle. */
export async function readContents(chosen: Chosen[], rules: Rules): Promise<Contents> {
  const found: Contents = {
    kind: kindOfFiles(chosen),
    config: null,
    parameters: null,
    dtype: null,
    modules: null,
    ranks: [],
    card: null,
    obstacles: [],
    pickles: [],
  };
  const byPath = new Map(chosen.map(({ path, file }) => [path, file]));
  checkSizes(chosen, rules, found);
  checkWholeness(byPath, found);
  const headers: Header[] = [];
  for (const { path, file } of chosen) {
    if (!isWeights(path, found.kind)) {
      if (await isPickle(path, file)) found.pickles.push(path);
      continue;
    }
    await noting(path, found, async () => void headers.push(await readHeader(file, rules)));
  }
  const config = byPath.get(configFile);
  if (found.kind === "adapter" && config !== undefined) {
    await noting(configFile, found, async () => {
      found.config = readConfig(await bytesOf(config, 0, rules.largestConfigBytes + 1), rules);
    });
  }
  if (headers.length > 0) summarize(headers, found);
  if (found.kind === "adapter" && found.config?.peftType === "LORA" && headers[0] !== undefined) {
    checkModules(headers[0], found.config, found);
  }
  const card = byPath.get(cardFile);
  if (card !== undefined && card.size <= largestCardBytes) found.card = await card.text();
  return found;
}

/** A model is what has weights and is no adapter. */
function kindOfFiles(chosen: Chosen[]): "adapter" | "model" {
  const paths = new Set(chosen.map(({ path }) => path));
  if (paths.has(configFile) || paths.has(weightFile)) return "adapter";
  return paths.has("config.json") && [...paths].some((path) => /^model.*\.safetensors$/.test(path)) ? "model" : "adapter";
}

function isWeights(path: string, kind: "adapter" | "model"): boolean {
  return kind === "adapter" ? path === weightFile : path.endsWith(".safetensors");
}

function checkSizes(chosen: Chosen[], rules: Rules, found: Contents): void {
  if (chosen.length > rules.mostFiles) {
    found.obstacles.push({ path: "", text: `${chosen.length} files were chosen, at most ${rules.mostFiles} are taken` });
  }
  for (const { path, file } of chosen) {
    if (file.size > rules.largestFileBytes) {
      found.obstacles.push({ path, text: `it has ${file.size} bytes, at most ${rules.largestFileBytes} are taken` });
    }
  }
}

/** Whether the two files of an adapter are there; of a model, `kindOfFiles` has seen to it. */
function checkWholeness(byPath: Map<string, File>, found: Contents): void {
  if (found.kind === "model" || byPath.size === 0) return;
  if (!byPath.has(weightFile)) {
    const pickled = pickledWeights.find((path) => byPath.has(path));
    const below = [...byPath.keys()].find((path) => path.endsWith(`/${weightFile}`));
    const others = [...byPath.keys()].find((path) => path.endsWith(".safetensors"));
    if (pickled !== undefined) {
      const text =
        "it is a pickle, which can run code when loaded. Save the adapter again with " +
        "model.save_pretrained(folder, safe_serialization=True) and choose that folder";
      found.obstacles.push({ path: pickled, text });
    } else if (below !== undefined) {
      found.obstacles.push({ path: below, text: `the adapter must lie at the top: choose the folder that ${weightFile} is in` });
    } else {
      const hint = others === undefined ? "" : ` PEFT's name for it is needed: rename ${others}, if that is the adapter.`;
      found.obstacles.push({ path: "", text: `${weightFile} is missing: an adapter needs its weights.${hint}` });
    }
  }
  if (!byPath.has(configFile)) {
    const text = `${configFile} is missing: PEFT writes it beside the weights, and without it nobody knows their rank and base`;
    found.obstacles.push({ path: "", text });
  }
}

async function isPickle(path: string, file: File): Promise<boolean> {
  const isNamedSo = pickledSuffixes.some((suffix) => path.toLowerCase().endsWith(suffix));
  return isNamedSo || kindOf(await bytesOf(file, 0, 512)) === "pickle";
}

async function noting(path: string, found: Contents, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (error instanceof Fault) found.obstacles.push({ path, text: error.message });
    else if (error instanceof DOMException) found.obstacles.push({ path, text: `it cannot be read (${error.message})` });
    else throw error;
  }
}

function summarize(headers: Header[], found: Contents): void {
  const tensors = headers.flatMap((header) => header.tensors);
  const dtypes = new Set(tensors.map((tensor) => tensor.dtype));
  found.parameters = tensors.reduce((sum, tensor) => sum + elementsOf(tensor.shape), 0);
  found.dtype = dtypes.size === 1 ? ([...dtypes][0] ?? null) : "mixed";
}

/** The pairs of factors of a LoRA, as far as their names and shapes say without the configuration's patterns. */
function checkModules(header: Header, config: AdapterConfig, found: Contents): void {
  const factors = new Map<string, Map<string, number[]>>();
  for (const { name, shape } of header.tensors) {
    if (!name.startsWith(prefix)) {
      found.obstacles.push({ path: weightFile, text: `the tensor ${name} does not begin with ${prefix}, as PEFT's do` });
      return;
    }
    const match = /^(.*)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\..*)?$/.exec(name);
    if (match === null || name.endsWith(".bias")) continue;
    const [, module, factor] = match as unknown as [string, string, string];
    const held = factors.get(module) ?? new Map<string, number[]>();
    factors.set(module, held.set(factor.slice(-1), shape));
  }
  const ranks = new Set<number>();
  for (const [module, held] of factors) {
    const a = held.get("A");
    const isWrapped = module.split(".").includes("base_layer");
    if (config.hasOneRank && !isWrapped) {
      const missing = ["A", "B"].find((letter) => !held.has(letter));
      const short = module.slice(prefix.length);
      if (missing !== undefined) {
        found.obstacles.push({ path: weightFile, text: `the module ${short} has no lora_${missing}` });
        return;
      }
      if (a !== undefined && a[0] !== config.rank) {
        const text = `the module ${short} has rank ${a[0]}, and ${configFile} says ${config.rank}`;
        found.obstacles.push({ path: weightFile, text });
        return;
      }
    }
    if (a?.[0] !== undefined) ranks.add(a[0]);
  }
  found.modules = factors.size;
  found.ranks = [...ranks].sort((left, right) => left - right);
}
