import { Fault } from "./rules";
import type { Asked, Told } from "./hashing.worker";

interface Waiting {
  done: (bytes: number) => void;
  resolve: (digest: string) => void;
  reject: (fault: Fault) => void;
}

/** Files by their sha256, one after the other, in a worker of its own. */
export class Hasher {
  private readonly waiting = new Map<number, Waiting>();
  private last: Promise<unknown> = Promise.resolve();
  private ids = 0;

  constructor(private readonly worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<Told>) => this.told(data);
    worker.onerror = (event) => this.failed(event.message);
  }

  /** `sha256:` and 64 hex digits. Throws: Fault when the file cannot be read any more. */
  hash(file: Blob, done: (bytes: number) => void): Promise<string> {
    const begun = this.last.then(
      () =>
        new Promise<string>((resolve, reject) => {
          const asked: Asked = { id: ++this.ids, file };
          this.waiting.set(asked.id, { done, resolve, reject });
          this.worker.postMessage(asked);
        }),
    );
    this.last = begun.catch(() => undefined);
    return begun;
  }

  private told(told: Told): void {
    const waiting = this.waiting.get(told.id);
    if (waiting === undefined) return;
    if ("done" in told) return waiting.done(told.done);
    this.waiting.delete(told.id);
    if ("digest" in told) waiting.resolve(told.digest);
    else waiting.reject(new Fault(`it cannot be read any more (${told.fault}); choose it again`));
  }

  private failed(message: string): void {
    for (const waiting of this.waiting.values()) waiting.reject(new Fault(`it could not be hashed (${message})`));
    this.waiting.clear();
  }
}
