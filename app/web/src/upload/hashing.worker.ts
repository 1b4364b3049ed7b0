import { sha256 } from "@noble/hashes/sha2.js";

/** Hashes a file beside the page, piece by piece: memory is one piece, and the page stays quick. */
const pieceBytes = 4 * 2 ** 20;

export type Asked = { id: number; file: Blob };
export type Told = { id: number; done: number } | { id: number; digest: string } | { id: number; fault: string };

self.onmessage = async ({ data: { id, file } }: MessageEvent<Asked>) => {
  const tell = (told: Told) => self.postMessage(told);
  try {
    const hash = sha256.create();
    for (let start = 0; start < file.size; start += pieceBytes) {
      const piece = new Uint8Array(await file.slice(start, start + pieceBytes).arrayBuffer());
      hash.update(piece);
      tell({ id, done: start + piece.length });
    }
    const hex = Array.from(hash.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("");
    tell({ id, digest: `sha256:${hex}` });
  } catch (error) {
    // the file was moved or changed since it was chosen
    tell({ id, fault: error instanceof Error ? error.message : String(error) });
  }
};
