import { Problem } from "../api";
import type { Chosen } from "./contents";
import type { Hasher } from "./hashing";
import { fingerprintOf, type Memory } from "./memory";
import { Meter } from "./meter";
import { send, type Wire } from "./transfer";

/** What happens to one file, for whoever shows it. */
export type State =
  | { name: "reading"; done: number }
  | { name: "read" }
  | { name: "sending"; done: number }
  | { name: "checking" }
  | { name: "arrived" };

export interface Shown {
  file(path: string, state: State): void;
  total(meter: Meter): void;
  /** Seconds until the connection is tried again; 0: it is there. */
  waiting(seconds: number): void;
}

/** The files of one version: read when they are chosen, sent when it is asked for, and each only once. */
export class Sending {
  private readonly read = new Map<File, Promise<{ digest: string; fingerprint: string }>>();

  constructor(
    private readonly hasher: Hasher,
    private readonly memory: Memory,
    private readonly wire: Wire,
    private readonly shown: Shown,
    private readonly hash: (bytes: Uint8Array) => string,
  ) {}

  /** Begins to read a file in the background; what was read before a reload is known by its fingerprint. */
  prepare({ path, file }: Chosen): Promise<{ digest: string; fingerprint: string }> {
    const begun = this.read.get(file) ?? this.digest(path, file);
    this.read.set(file, begun);
    // what goes wrong is told where the digest is asked for
    begun.catch(() => this.read.delete(file));
    return begun;
  }

  private async digest(path: string, file: File): Promise<{ digest: string; fingerprint: string }> {
    const fingerprint = await fingerprintOf(file, this.hash);
    let digest = this.memory.find(fingerprint)?.digest;
    if (digest === undefined) {
      digest = await this.hasher.hash(file, (done) => this.shown.file(path, { name: "reading", done }));
      this.memory.note(fingerprint, digest, false);
    }
    this.shown.file(path, { name: "read" });
    return { digest, fingerprint };
  }

  /** Path → digest, when the registry has all of the files. While one is sent the next is read. Throws: Problem, Fault. */
  async sendAll(chosen: Chosen[], signal: AbortSignal): Promise<Record<string, string>> {
    const total = chosen.reduce((sum, { file }) => sum + file.size, 0);
    const meter = new Meter(total, () => performance.now() / 1000);
    const digests: Record<string, string> = {};
    // small ones last: they are nothing beside the first, and what can go wrong shows early
    for (const each of [...chosen].sort((left, right) => right.file.size - left.file.size)) {
      digests[each.path] = await this.sendOne(each, meter, signal);
    }
    return digests;
  }

  private async sendOne(each: Chosen, meter: Meter, signal: AbortSignal, isAgain = false): Promise<string> {
    const { path, file } = each;
    const { digest, fingerprint } = await this.prepare(each);
    signal.throwIfAborted();
    const kept = this.memory.find(fingerprint);
    if (kept !== null && kept.digest === digest && kept.arrivedAt !== null) {
      meter.skip(file.size);
      this.showSent(path, { name: "arrived" }, meter);
      return digest;
    }
    let sent = 0;
    const count = (bytes: number, isNews: boolean) => {
      sent += bytes;
      if (isNews) meter.add(bytes);
      else meter.skip(bytes);
      this.showSent(path, { name: "sending", done: sent }, meter);
    };
    const watcher = {
      skipped: (bytes: number) => count(bytes, false),
      sent: (bytes: number) => count(bytes, true),
      waiting: (seconds: number) => this.shown.waiting(seconds),
      checking: () => this.shown.file(path, { name: "checking" }),
    };
    try {
      await send(file, digest, this.wire, watcher, signal);
    } catch (error) {
      if (isAgain || !(error instanceof Problem) || error.kind !== "digest-mismatch") throw error;
      // it was changed since it was read, and its size and time say nothing of it: read it again
      meter.skip(-sent);
      this.forget(file, fingerprint);
      return this.sendOne(each, meter, signal, true);
    }
    this.memory.note(fingerprint, digest, true);
    this.showSent(path, { name: "arrived" }, meter);
    return digest;
  }

  /** The registry has a file no more that it had: next time it is read and sent anew. */
  async forgetPath(each: Chosen): Promise<void> {
    this.forget(each.file, (await this.prepare(each)).fingerprint);
  }

  private forget(file: File, fingerprint: string): void {
    this.memory.forget(fingerprint);
    this.read.delete(file);
  }

  private showSent(path: string, state: State, meter: Meter): void {
    this.shown.file(path, state);
    this.shown.total(meter);
  }
}
