import { describe, expect, it } from "vitest";
import { Problem } from "../api";
import { parallel, send, smallBytes, type Upload, type Watcher, type Wire } from "./transfer";

const digest = "sha256:00";

function problem(kind: string, status: number, facts: Record<string, unknown> = {}): Problem {
  return new Problem({ type: `/problems/${kind}`, title: kind, status, detail: kind, ...facts });
}

const cut = () => problem("not-reached", 0);

/** A registry that keeps parts, and fails as a test says: by the number of the request. */
class Registry implements Wire {
  readonly partBytes = 2 ** 20;
  readonly done = new Set<number>();
  readonly requests: string[] = [];
  waited: number[] = [];
  most = 0;
  isWhole = false;
  private underWay = 0;
  storeUrl: string | null = null;

  constructor(
    readonly size: number,
    readonly fault: (request: number, url: string) => Error | null = () => null,
  ) {}

  private step(what: string): void {
    this.requests.push(what);
    const fault = this.fault(this.requests.length, what);
    if (fault !== null) throw fault;
  }

  async put(url: string, body: Blob, sent: (bytes: number) => void): Promise<void> {
    this.underWay++;
    this.most = Math.max(this.most, this.underWay);
    try {
      sent(Math.floor(body.size / 2));
      await Promise.resolve();
      this.step(url);
      sent(body.size);
      const part = /parts\/(\d+)$/.exec(url);
      if (part === null) this.isWhole = true;
      else this.done.add(Number(part[1]));
    } finally {
      this.underWay--;
    }
  }

  async begin(_: string, size: number): Promise<Upload> {
    this.step("begin");
    const count = Math.ceil(size / this.partBytes);
    const parts = Array.from({ length: count }, (_, index) => ({
      number: index + 1,
      size: Math.min(this.partBytes, size - index * this.partBytes),
      url: `${this.storeUrl ?? "/api/v1/uploads/u"}/parts/${index + 1}`,
      done: this.done.has(index + 1),
    }));
    return { id: "u", part_size: this.partBytes, parts };
  }

  async complete(): Promise<void> {
    this.step("complete");
    expect(this.done.size).toBe(Math.ceil(this.size / this.partBytes));
    this.isWhole = true;
  }

  async wait(seconds: number): Promise<void> {
    this.waited.push(seconds);
  }
}

class Counter implements Watcher {
  there = 0;
  gone = 0;
  waits: number[] = [];
  isChecked = false;
  skipped(bytes: number): void {
    this.there += bytes;
  }
  sent(bytes: number): void {
    this.gone += bytes;
  }
  waiting(seconds: number): void {
    this.waits.push(seconds);
  }
  checking(): void {
    this.isChecked = true;
  }
}

const size = 9 * 2 ** 20 + 17;
const file = new Blob([new Uint8Array(size)]);

async function sending(registry: Registry, body = file, signal = new AbortController().signal): Promise<Counter> {
  const counter = new Counter();
  await send(body, digest, registry, counter, signal);
  expect(registry.isWhole).toBe(true);
  return counter;
}

describe("a transfer", () => {
  it("sends a small file at once", async () => {
    const registry = new Registry(3);
    const counter = await sending(registry, new Blob(["abc"]));
    expect(registry.requests).toEqual([`/api/v1/blobs/${digest}`]);
    expect(counter.gone).toBe(3);
  });

  it("sends a large one in parts, a few at a time, each once", async () => {
    const registry = new Registry(size);
    const counter = await sending(registry);
    expect(registry.requests.length).toBe(1 + 10 + 1);
    expect(registry.most).toBe(parallel);
    expect([counter.there, counter.gone, counter.isChecked]).toEqual([0, size, true]);
  });

  it("sends only what is missing", async () => {
    const registry = new Registry(size);
    for (const number of [1, 2, 5]) registry.done.add(number);
    const counter = await sending(registry);
    expect([counter.there, counter.gone]).toEqual([3 * 2 ** 20, size - 3 * 2 ** 20]);
  });

  it("tries again after a cut, a little later each time, and counts what was lost as not sent", async () => {
    const registry = new Registry(size, (request) => (request >= 4 && request <= 9 ? cut() : null));
    const counter = await sending(registry);
    expect(counter.gone).toBe(size);
    expect(Math.max(...registry.waited)).toBeGreaterThan(registry.waited[0] ?? 0);
    expect(counter.waits.at(-1)).toBe(0);
  });

  it("waits as long as a busy registry asks for", async () => {
    const registry = new Registry(3, (request) => (request === 1 ? problem("too-many-requests", 429, { retry_seconds: 7 }) : null));
    await sending(registry, new Blob(["abc"]));
    expect(registry.waited).toEqual([7]);
  });

  it("asks for fresh addresses when the old ones are taken no more", async () => {
    let isOver = false;
    const registry = new Registry(size, (request, what) => {
      if (request === 6) isOver = true;
      if (what === "begin") isOver = false;
      return isOver ? problem("not-reached", 403) : null;
    });
    registry.storeUrl = "https://store.example/bucket";
    const counter = await sending(registry);
    expect(registry.requests.filter((what) => what === "begin").length).toBe(2);
    expect(counter.gone).toBe(size);
  });

  it("goes through the registry where the store lets no page in", async () => {
    const registry = new Registry(size, (_, what) => (what.startsWith("https://store.example") ? cut() : null));
    registry.storeUrl = "https://store.example/bucket";
    await sending(registry);
    const direct = registry.requests.filter((what) => what.startsWith("https:"));
    expect(direct.length).toBeLessThanOrEqual(parallel);
    expect(registry.done.size).toBe(10);
  });

  it("does not lose an answer to the completion", async () => {
    let completions = 0;
    const registry = new Registry(size, (_, what) => (what === "complete" && ++completions === 1 ? cut() : null));
    await sending(registry);
    expect(completions).toBe(2);
    expect(registry.requests.length).toBe(1 + 10 + 2);
  });

  it("ends at a refusal, and starts no further part", async () => {
    const registry = new Registry(size, (request) => (request >= 3 ? problem("quota-exceeded", 507) : null));
    await expect(sending(registry)).rejects.toMatchObject({ kind: "quota-exceeded" });
    expect(registry.requests.length).toBeLessThanOrEqual(1 + parallel + 1);
  });

  it("ends when it is stopped", async () => {
    const stopping = new AbortController();
    const registry = new Registry(size, (request) => {
      if (request === 5) stopping.abort();
      return null;
    });
    await expect(sending(registry, file, stopping.signal)).rejects.toThrow();
    expect(registry.done.size).toBeLessThan(10);
  });

  it("takes no file for small that a cut would cost much of", () => {
    expect(smallBytes).toBeLessThan(8 * 2 ** 20);
  });
});
