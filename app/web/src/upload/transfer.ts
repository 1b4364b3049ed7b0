import { Problem } from "../api";

/**
 * A file's bytes to the registry: small ones in one request, large ones in parts, which survive a cut and a reload, because
 * the registry keeps what has arrived for whoever sends the same bytes again.
 */
export interface Part {
  number: number;
  size: number;
  url: string;
  done: boolean;
}

export interface Upload {
  id: string;
  part_size: number;
  parts: Part[];
}

/** What a transfer needs of the page. What is refused, and with the status 0 what was cut, rejects with a Problem. */
export interface Wire {
  /** Sends bytes; `sent` is told how many have gone so far. */
  put(url: string, body: Blob, sent: (bytes: number) => void, signal: AbortSignal): Promise<void>;
  begin(digest: string, size: number): Promise<Upload>;
  complete(id: string): Promise<void>;
  /** After so many seconds, or as soon as the connection is said to be back. */
  wait(seconds: number, signal: AbortSignal): Promise<void>;
}

export interface Watcher {
  /** Bytes that need not be sent, because they are there. */
  skipped(bytes: number): void;
  sent(bytes: number): void;
  /** The connection is cut: it is tried again after so many seconds. 0: it goes on. */
  waiting(seconds: number): void;
  /** All bytes are there, and the registry reads them once more. */
  checking(): void;
}

/** Below that, all of a file is cheaper to send again than to send in parts. */
export const smallBytes = 4 * 2 ** 20;
/** Parts under way at a time: while one is being stored the next is sent, and a cut loses no more than these. */
export const parallel = 2;
const longestWaitSeconds = 30;
/** Statuses of what may succeed when it is tried again; 0 is a cut. */
export const passing = new Set([0, 408, 425, 429, 500, 502, 503, 504]);

/** Sends a file whose digest is known. Throws: Problem; the signal's reason when it is aborted. */
export async function send(file: Blob, digest: string, wire: Wire, watcher: Watcher, signal: AbortSignal): Promise<void> {
  const patience = new Patience(wire, watcher, signal);
  if (file.size < smallBytes) {
    const url = `/api/v1/blobs/${digest}`;
    await patience.with(() => counted((sent) => wire.put(url, file, sent, signal), watcher));
    return;
  }
  // addresses of the store end, and so does an upload that nobody went on with: a fresh beginning finds what is there
  for (let beginnings = 1; ; beginnings++) {
    try {
      return await sendParts(file, digest, wire, watcher, patience, signal, beginnings);
    } catch (error) {
      if (!(error instanceof Problem) || !isStale(error) || beginnings === 3) throw error;
    }
  }
}

/** Whether an answer to a part says no more than that its address is good no longer. */
function isStale({ kind, status }: Problem): boolean {
  return (kind === "not-reached" && status >= 400 && status < 500) || kind === "upload-expired" || kind === "not-found";
}

async function sendParts(
  file: Blob,
  digest: string,
  wire: Wire,
  watcher: Watcher,
  patience: Patience,
  signal: AbortSignal,
  beginnings: number,
): Promise<void> {
  const upload = await patience.with(() => wire.begin(digest, file.size));
  const missing = upload.parts.filter((part) => !part.done);
  const there = file.size - missing.reduce((sum, part) => sum + part.size, 0);
  // what was counted in an earlier beginning is counted still
  if (beginnings === 1) watcher.skipped(there);
  const route = new Route(wire, upload.id, signal);
  const lanes = Array.from({ length: parallel }, async () => {
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      const { number, size } = part;
      const start = (number - 1) * upload.part_size;
      const body = file.slice(start, start + size);
      const { url } = part;
      await patience.with(() => counted((sent) => route.put(number, url, body, sent), watcher));
    }
  });
  await allOf(lanes, () => missing.splice(0));
  watcher.checking();
  await patience.with(() => wire.complete(upload.id));
}

/** Where parts go: to the store itself where it has said so; through the registry where a browser cannot reach the store. */
class Route {
  private reachesStore = true;

  constructor(
    private readonly wire: Wire,
    private readonly upload: string,
    private readonly signal: AbortSignal,
  ) {}

  async put(number: number, url: string, body: Blob, sent: (bytes: number) => void): Promise<void> {
    const ours = `/api/v1/uploads/${this.upload}/parts/${number}`;
    if (url.endsWith(ours) || !this.reachesStore) return this.wire.put(ours, body, sent, this.signal);
    try {
      return await this.wire.put(url, body, sent, this.signal);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 0 || this.signal.aborted) throw error;
      // cut, or a store that does not let this page in: the registry takes the part in any case
      this.reachesStore = false;
      sent(0);
      return this.wire.put(ours, body, sent, this.signal);
    }
  }
}

/** Passes on what was sent as differences; what a broken attempt had sent is taken back. */
async function counted(attempt: (sent: (bytes: number) => void) => Promise<void>, watcher: Watcher): Promise<void> {
  let counted = 0;
  const sent = (bytes: number) => {
    watcher.sent(bytes - counted);
    counted = bytes;
  };
  try {
    await attempt(sent);
  } catch (error) {
    sent(0);
    throw error;
  }
}

/** All of them, or the first fault once the others have ended; `stop` is called at once, so that they take up nothing new. */
async function allOf(lanes: Promise<void>[], stop: () => void): Promise<void> {
  const ends = await Promise.allSettled(lanes.map((lane) => lane.catch((error: unknown) => (stop(), Promise.reject(error)))));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** Seconds until it is tried again after so many failures before this one. */
export function pauseAfter(failures: number): number {
  return Math.min(longestWaitSeconds, 0.5 * 2 ** failures);
}

/** Tries again what a cut connection or a busy registry stopped, each time a little later, for as long as the page is open. */
class Patience {
  constructor(
    private readonly wire: Wire,
    private readonly watcher: Watcher,
    private readonly signal: AbortSignal,
  ) {}

  async with<T>(attempt: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; failures++) {
      this.signal.throwIfAborted();
      try {
        const result = await attempt();
        if (failures > 0) this.watcher.waiting(0);
        return result;
      } catch (error) {
        this.signal.throwIfAborted();
        if (!(error instanceof Problem) || !passing.has(error.status)) throw error;
        const told = error.body["retry_seconds"];
        const seconds = typeof told === "number" ? told : pauseAfter(failures);
        this.watcher.waiting(seconds);
        await this.wire.wait(seconds, this.signal);
      }
    }
  }
}
