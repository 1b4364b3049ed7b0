/**
 * Files and folders that were dropped, as the browser lets a page keep them: with the person's leave they are there again after
 * a reload, and nobody has to look for them. Browsers without the File System Access API keep none.
 */
const database = "glulam-upload";
const store = "handles";

interface Permitted extends FileSystemHandle {
  requestPermission?(descriptor: { mode: "read" }): Promise<PermissionState>;
}

type Droppable = DataTransferItem & { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> };

/** To be called before the drop's event ends. Empty where the browser gives none out. */
export async function handlesOf(transfer: DataTransfer): Promise<FileSystemHandle[]> {
  const asked = [...transfer.items].map((item) => (item as Droppable).getAsFileSystemHandle?.() ?? null);
  const found: (FileSystemHandle | null)[] = await Promise.all(asked).catch(() => []);
  return found.flatMap((handle) => handle ?? []);
}

function request<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("the browser keeps nothing"));
  });
}

async function open(): Promise<IDBObjectStore> {
  const opening = indexedDB.open(database, 1);
  opening.onupgradeneeded = () => void opening.result.createObjectStore(store);
  return (await request(opening)).transaction(store, "readwrite").objectStore(store);
}

/** Keeps these in the place of those before, for one user. What cannot be kept is chosen again by hand. */
export async function keepHandles(owner: string, handles: FileSystemHandle[]): Promise<void> {
  try {
    await request((await open()).put(handles, owner));
  } catch {
    // private windows keep nothing
  }
}

export async function keptHandles(owner: string): Promise<FileSystemHandle[]> {
  try {
    const found: unknown = await request((await open()).get(owner));
    return Array.isArray(found) ? (found as FileSystemHandle[]) : [];
  } catch {
    return [];
  }
}

/** Files with their paths. The browser asks whether the page may read them: after a click. Null where it may not. */
export async function filesOf(handles: FileSystemHandle[]): Promise<{ path: string; file: File }[] | null> {
  const found: { path: string; file: File }[] = [];
  for (const handle of handles as Permitted[]) {
    if ((await handle.requestPermission?.({ mode: "read" })) === "denied") return null;
    await walk(handle, handle.name, found);
  }
  return found;
}

async function walk(handle: FileSystemHandle, path: string, found: { path: string; file: File }[]): Promise<void> {
  if (handle.kind === "file") {
    found.push({ path, file: await (handle as FileSystemFileHandle).getFile() });
    return;
  }
  const folder = handle as FileSystemDirectoryHandle & { values(): AsyncIterable<FileSystemHandle> };
  for await (const below of folder.values()) await walk(below, `${path}/${below.name}`, found);
}
