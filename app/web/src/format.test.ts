import { describe, expect, it } from "vitest";
import { ago, count, duration, size } from "./format";

describe("sizes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [1234, "1.23 kB"],
    [99_949, "99.9 kB"],
    [123_456, "123 kB"],
    [999_499, "999 kB"],
    [999_500, "1 MB"],
    [1_600_000_000, "1.6 GB"],
  ])("writes %i as %s", (bytes, text) => expect(size(bytes)).toBe(text));
});

describe("times", () => {
  const now = new Date("2026-11-21T12:00:00Z");
  it.each([
    ["2026-11-21T11:59:30Z", "now"],
    ["2026-11-21T11:58:00Z", "2 minutes ago"],
    ["2026-11-21T09:00:01Z", "3 hours ago"],
    ["2026-11-20T11:00:00Z", "yesterday"],
    ["2026-11-24T12:00:00Z", "in 3 days"],
    ["2024-01-01T00:00:00Z", "3 years ago"],
  ])("writes %s as %s", (moment, text) => expect(ago(new Date(moment), now)).toBe(text));

  it.each([
    [0.4, "0 s"],
    [59, "59 s"],
    [252, "4 min 12 s"],
    [7260, "2 h 1 min"],
    [90_000, "1 d 1 h"],
  ])("writes %d seconds as %s", (seconds, text) => expect(duration(seconds)).toBe(text));
});

it("groups the digits of a count", () => expect(count(1_234_567)).toBe("1\u2009234\u2009567"));
