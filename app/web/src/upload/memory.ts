/**
 * What the browser keeps of an upload: by fingerprint the digests of files that were read, so that after a reload they need
 * not be read again, and which of them have arrived; and until the tab is closed what was typed into the form.
 */
export interface Kept {
  digest: string;
  /** When the registry had all of it, in milliseconds; null: not yet. */
  arrivedAt: number | null;
  /** In milliseconds. */
  notedAt: number;
}

/** The registry keeps what has arrived, whole or in parts, for about a day; what is older is asked for anew. */
const keptMilliseconds = 20 * 3600 * 1000;
const mostKept = 500;

export class Memory {
  /** `owner` is the user's name: two who share a browser do not share what was sent. */
  constructor(
    private readonly storage: Storage,
    private readonly owner: string,
    private readonly now: () => number,
  ) {}

  find(fingerprint: string): Kept | null {
    return this.files()[fingerprint] ?? null;
  }

  note(fingerprint: string, digest: string, hasArrived: boolean): void {
    const files = this.files();
    files[fingerprint] = { digest, arrivedAt: hasArrived ? this.now() : null, notedAt: this.now() };
    const newest = Object.entries(files).sort(([, left], [, right]) => right.notedAt - left.notedAt);
    this.write("files", Object.fromEntries(newest.slice(0, mostKept)));
  }

  /** The registry has these bytes no more, or the file is another one by now. */
  forget(fingerprint: string): void {
    const files = this.files();
    delete files[fingerprint];
    this.write("files", files);
  }

  private files(): Record<string, Kept> {
    const all = this.read<Record<string, Kept>>("files") ?? {};
    const oldest = this.now() - keptMilliseconds;
    return Object.fromEntries(Object.entries(all).filter(([, kept]) => kept.notedAt > oldest));
  }

  private key(name: string): string {
    return `glulam.upload.${this.owner}.${name}`;
  }

  read<T>(name: string): T | null {
    const text = this.storage.getItem(this.key(name));
    if (text === null) return null;
    try {
      return JSON.parse(text) as T;
    } catch {
      // written by something else, or cut off: as if nothing had been kept
      return null;
    }
  }

  write(name: string, value: unknown): void {
    try {
      this.storage.setItem(this.key(name), JSON.stringify(value));
    } catch {
      // the browser keeps no more (private window, full): then a reload asks for more to be read and sent again
    }
  }

  remove(name: string): void {
    this.storage.removeItem(this.key(name));
  }
}

const sampleBytes = 64 * 1024;

/** Tells files apart without reading them whole: size, time of the last change, and both ends. */
export async function fingerprintOf(file: File, hash: (bytes: Uint8Array) => string): Promise<string> {
  const ends = await new Blob([
    file.slice(0, sampleBytes),
    file.slice(Math.max(sampleBytes, file.size - sampleBytes)),
  ]).arrayBuffer();
  return `${file.size}-${file.lastModified}-${hash(new Uint8Array(ends))}`;
}
