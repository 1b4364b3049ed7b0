import { describe, expect, it } from "vitest";
import { fieldOf } from "./fields";
import { fingerprintOf, Memory } from "./memory";
import { Meter } from "./meter";
import { sorted } from "./picking";
import { Drawer } from "./testing";

const hour = 3600 * 1000;

describe("what the browser keeps", () => {
  it("is a file's digest, for as long as the registry keeps its bytes, and for one user", () => {
    let now = 0;
    const drawer = new Drawer();
    const memory = new Memory(drawer, "alice", () => now);
    memory.note("f", "sha256:1", false);
    expect(memory.find("f")).toMatchObject({ digest: "sha256:1", arrivedAt: null });
    memory.note("f", "sha256:1", true);
    expect(new Memory(drawer, "alice", () => now).find("f")?.arrivedAt).toBe(0);
    expect(new Memory(drawer, "bob", () => now).find("f")).toBeNull();
    now = 21 * hour;
    expect(memory.find("f")).toBeNull();
  });

  it("is forgotten when it is wrong, bounded, and never a reason to fail", () => {
    let now = 0;
    const drawer = new Drawer();
    const memory = new Memory(drawer, "alice", () => now);
    for (now = 1; now <= 600; now++) memory.note(`f${now}`, "sha256:1", true);
    expect(memory.find("f1")).toBeNull();
    expect(memory.find("f600")).not.toBeNull();
    memory.forget("f600");
    expect(memory.find("f600")).toBeNull();
    drawer.isFull = true;
    memory.note("g", "sha256:2", true);
    expect(memory.find("g")).toBeNull();
    drawer.isFull = false;
    drawer.setItem("glulam.upload.alice.files", "{broken");
    expect(memory.find("f2")).toBeNull();
  });

  it("tells files apart by size, time and both ends", async () => {
    const print = (text: string, time: number) =>
      fingerprintOf(new File([text], "any", { lastModified: time }), (bytes) => new TextDecoder().decode(bytes.slice(0, 4)) + bytes.length);
    expect(await print("abcdef", 1)).toBe(await print("abcdef", 1));
    expect(await print("abcdef", 1)).not.toBe(await print("abcdef", 2));
    expect(await print("abcdef", 1)).not.toBe(await print("abxdef", 1));
    expect(await print("abcdef", 1)).not.toBe(await print("abcdefg", 1));
  });
});

describe("a meter", () => {
  it("tells speed and time left from the last seconds, and not from what was there before", () => {
    let now = 0;
    const meter = new Meter(1000, () => now);
    meter.skip(500);
    expect([meter.speed, meter.left]).toEqual([null, null]);
    for (now = 1; now <= 4; now++) meter.add(25);
    expect(meter.speed).toBe(25);
    expect(meter.left).toBe(16);
    expect(meter.done).toBe(600);
  });

  it("does not go backwards in time when a part is sent again", () => {
    let now = 0;
    const meter = new Meter(100, () => now);
    meter.add(50);
    now = 1;
    meter.add(-50);
    expect(meter.speed).toBe(0);
    expect(meter.left).toBeNull();
  });
});

describe("the field of a refusal", () => {
  const table = { pointers: { "/files": "files", "/create/tags": "tags" }, problems: { "version-exists": "version" } };
  it.each<[string, unknown, string | null]>([
    ["version-exists", undefined, "version"],
    ["version-exists", "/files/a~1b", "files"],
    ["malformed-request", "/create/tags/3", "tags"],
    ["malformed-request", "/elsewhere", null],
    ["not-ready", 7, null],
  ])("%s at %s is %s", (kind, pointer, field) => {
    expect(fieldOf(kind, pointer, table)).toBe(field);
  });
});

describe("what is picked", () => {
  const file = new File([], "x");
  const paths = (...all: string[]) => sorted(all.map((path) => ({ path, file })));
  it("loses the name of the folder that was chosen, and what glulam push leaves out, too", () => {
    const picked = paths("out/b.txt", "out/.git/config", "out/sub/a.txt", "out/glulam.json", "out/x.part");
    expect(picked.chosen.map(({ path }) => path)).toEqual(["b.txt", "sub/a.txt"]);
    expect(picked.leftOut).toEqual([".git/config", "glulam.json", "x.part"]);
  });
  it("keeps paths as they are where there is no one folder, in Unicode's form C", () => {
    expect(paths("a.txt", "b/c.txt").chosen.map(({ path }) => path)).toEqual(["a.txt", "b/c.txt"]);
    expect(paths("cafe\u0301.txt").chosen[0]?.path).toBe("caf\u00e9.txt");
  });
});
