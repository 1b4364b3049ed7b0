/** How far a transfer has come, how fast it goes, and how long it will take: from what was seen in the last seconds. */
const windowSeconds = 8;

export class Meter {
  private readonly seen: { at: number; bytes: number }[] = [];
  private counted = 0;

  /** `total` in bytes; `now` gives seconds. */
  constructor(
    readonly total: number,
    private readonly now: () => number,
  ) {}

  /** Bytes that were sent just now; fewer than none when a broken attempt is taken back. */
  add(bytes: number): void {
    this.counted += bytes;
    this.note();
  }

  /** Bytes that were there before: they say nothing of the speed. */
  skip(bytes: number): void {
    this.counted += bytes;
    this.seen.length = 0;
    this.note();
  }

  get done(): number {
    return this.counted;
  }

  /** Bytes a second; null until there is something to tell it from. */
  get speed(): number | null {
    const first = this.seen[0];
    const last = this.seen.at(-1);
    if (first === undefined || last === undefined || last.at - first.at < 0.5) return null;
    return Math.max(0, (last.bytes - first.bytes) / (last.at - first.at));
  }

  /** Seconds; null until the speed is known. */
  get left(): number | null {
    const speed = this.speed;
    return speed === null || speed === 0 ? null : (this.total - this.counted) / speed;
  }

  private note(): void {
    const at = this.now();
    this.seen.push({ at, bytes: this.counted });
    while ((this.seen[0]?.at ?? at) < at - windowSeconds) this.seen.shift();
  }
}
