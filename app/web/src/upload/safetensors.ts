import { Fault, type Rules } from "./rules";

/**
 * The header of a safetensors file: 8 bytes of length (little endian), as many bytes of JSON, then the tensors without gap or
 * overlap. Only the header is read, whatever the file's size. The rules are those of app/formats/header.py, or fewer.
 */
export interface Tensor {
  name: string;
  dtype: string;
  shape: number[];
  /** Offsets in bytes, from the end of the header. */
  start: number;
  end: number;
}

export interface Header {
  /** In the order of the file. */
  tensors: Tensor[];
  metadata: Map<string, string>;
}

export const lengthBytes = 8;
const openingBrace = 0x7b;

/** What a file is by its first bytes. */
export type Kind = "safetensors" | "pickle" | "archive" | "other";

const magics: [number[], number, Kind][] = [
  [[0x50, 0x4b, 0x03, 0x04], 0, "archive"],
  [[0x50, 0x4b, 0x05, 0x06], 0, "archive"],
  [[0x1f, 0x8b], 0, "archive"],
  [[0x42, 0x5a, 0x68], 0, "archive"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], 0, "archive"],
  [[0x28, 0xb5, 0x2f, 0xfd], 0, "archive"],
  [[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], 0, "archive"],
  [[0x52, 0x61, 0x72, 0x21, 0x1a, 0x07], 0, "archive"],
  [[0x75, 0x73, 0x74, 0x61, 0x72], 257, "archive"],
];

/** Of a file that begins with these (up to 512) bytes. */
export function kindOf(beginning: Uint8Array): Kind {
  if (headerBytesOf(beginning) !== null) return "safetensors";
  if (beginning[0] === 0x80 && [2, 3, 4, 5].includes(beginning[1] ?? 0)) return "pickle";
  for (const [magic, offset, kind] of magics) {
    if (magic.every((byte, index) => beginning[offset + index] === byte)) {
      // torch.save: a zip archive whose first entry is the pickle
      return offset === 0 && magic[0] === 0x50 && latin(beginning).includes("data.pkl") ? "pickle" : kind;
    }
  }
  return "other";
}

function latin(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** The length that a file could have, where the brace follows that a header begins with; else null. */
export function headerBytesOf(beginning: Uint8Array): number | null {
  if (beginning.length <= lengthBytes || beginning[lengthBytes] !== openingBrace) return null;
  const view = new DataView(beginning.buffer, beginning.byteOffset, lengthBytes);
  const length = Number(view.getBigUint64(0, true));
  return length > 0 && length < 2 ** 40 ? length : null;
}

export async function bytesOf(file: Blob, start: number, end: number): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(start, end).arrayBuffer());
}

/** Reads the header and nothing behind it. Throws: Fault, naming what is wrong. */
export async function readHeader(file: Blob, rules: Rules): Promise<Header> {
  const beginning = await bytesOf(file, 0, 512);
  const headerBytes = headerBytesOf(beginning);
  if (headerBytes === null) throw new Fault(refusalOf(kindOf(beginning), file.size));
  if (headerBytes > rules.largestHeaderBytes) {
    throw new Fault(`its header claims ${headerBytes} bytes, at most ${rules.largestHeaderBytes} are taken`);
  }
  if (lengthBytes + headerBytes > file.size) throw new Fault("it is cut off: its header is not complete");
  return parseHeader(await bytesOf(file, lengthBytes, lengthBytes + headerBytes), file.size, rules);
}

function refusalOf(kind: Kind, size: number): string {
  if (size === 0) return "it is empty";
  if (kind === "pickle") return "it is a pickle, which can run code when loaded; save it with safetensors and choose that";
  if (kind === "archive") return "it is an archive; choose the files in it";
  return "it is no safetensors file: it does not begin with the length of a header and {";
}

/** `text` is the header's JSON as bytes. Throws: Fault. */
export function parseHeader(text: Uint8Array, fileBytes: number, rules: Rules): Header {
  const entries = parseObject(text);
  const metadata = new Map<string, string>();
  const tensors: Tensor[] = [];
  for (const [name, entry] of Object.entries(entries)) {
    if (name === "__metadata__") {
      for (const [key, value] of Object.entries(asObject(entry, "its __metadata__ is not an object"))) {
        if (typeof value !== "string") throw new Fault("its __metadata__ is not a map of texts to texts");
        metadata.set(key, value);
      }
    } else {
      tensors.push(readEntry(name, entry, rules));
    }
  }
  if (tensors.length > rules.mostTensors) throw new Fault(`it has ${tensors.length} tensors, at most ${rules.mostTensors}`);
  tensors.sort((left, right) => left.start - right.start || left.end - right.end);
  let position = 0;
  for (const tensor of tensors) {
    if (tensor.start < position) throw new Fault(`the tensor ${tensor.name} overlaps the one before it`);
    if (tensor.start > position) {
      throw new Fault(`${tensor.start - position} bytes before the tensor ${tensor.name} belong to none`);
    }
    position = tensor.end;
  }
  const difference = fileBytes - lengthBytes - text.length - position;
  if (difference < 0) throw new Fault(`it is cut off: ${-difference} bytes of its tensors are missing`);
  if (difference > 0) throw new Fault(`${difference} bytes behind its last tensor belong to none`);
  return { tensors, metadata };
}

function parseObject(text: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (error) {
    throw new Fault(`its header is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  return asObject(value, "its header is not a JSON object");
}

function asObject(value: unknown, otherwise: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Fault(otherwise);
  return value as Record<string, unknown>;
}

function readEntry(name: string, entry: unknown, rules: Rules): Tensor {
  const { dtype, shape, data_offsets: offsets } = asObject(entry, `the entry of the tensor ${name} is not an object`);
  if (typeof dtype !== "string" || !Object.hasOwn(rules.dtypes, dtype)) {
    throw new Fault(`the tensor ${name} has the unknown dtype ${String(dtype).slice(0, 40)}`);
  }
  if (!isSizes(shape)) throw new Fault(`the shape of the tensor ${name} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) throw new Fault(`the offsets of the tensor ${name} are not two integers`);
  const [start, end] = offsets as [number, number];
  const expected = elementsOf(shape) * (rules.dtypes[dtype] ?? 0);
  if (end - start !== expected) {
    throw new Fault(`the tensor ${name} needs ${expected} bytes, its offsets span ${end - start}`);
  }
  return { name, dtype, shape, start, end };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isInteger(size) && size >= 0);
}

export function elementsOf(shape: number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
