import type { Chosen } from "./contents";

/** Files out of a drop, a folder or a plain file field, each under the path that it will have in the version. */
export interface Picked {
  chosen: Chosen[];
  /** Paths that were left out, as `glulam push` leaves them out: hidden files, unfinished downloads, the client's own record. */
  leftOut: string[];
}

export function fromInput(files: Iterable<File>): Picked {
  return sorted([...files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/** Folders are walked. To be called before the drop's event ends: the browser forgets the items then. */
export async function fromDrop(transfer: DataTransfer): Promise<Picked> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const walked = await Promise.all(entries.map((entry) => walk(entry)));
  return sorted(walked.flat());
}

async function walk(entry: FileSystemEntry): Promise<Chosen[]> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Chosen[] = [];
  // a reader gives a hundred entries at a time, and none when there are no more
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    for (const below of some) found.push(...(await walk(below)));
  }
}

/** The folder itself is not part of the paths in it; names are in Unicode's form C, as the registry wants them. */
export function sorted(all: Chosen[]): Picked {
  const folders = new Set(all.map(({ path }) => (path.includes("/") ? path.split("/", 1)[0] : "")));
  const folder = folders.size === 1 ? [...folders][0] : "";
  const start = folder ? folder.length + 1 : 0;
  const named = all.map(({ path, file }) => ({ path: path.slice(start).normalize("NFC"), file }));
  const isKept = ({ path }: Chosen) =>
    !path.split("/").some((part) => part.startsWith(".")) && path !== "glulam.json" && !path.endsWith(".part");
  const chosen = named.filter(isKept).sort((left, right) => (left.path < right.path ? -1 : 1));
  return { chosen, leftOut: named.filter((each) => !isKept(each)).map(({ path }) => path) };
}
