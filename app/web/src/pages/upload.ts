import "./upload.css";
import { sha256 } from "@noble/hashes/sha2.js";
import { api, Problem } from "../api";
import { duration, size } from "../format";
import { CardPanel } from "../upload/card_panel";
import type { Chosen, Contents } from "../upload/contents";
import { byId } from "../upload/elements";
import type { FieldTable } from "../upload/fields";
import { FilesPanel } from "../upload/files_panel";
import { FormFields } from "../upload/form";
import { filesOf, keepHandles, keptHandles } from "../upload/handles";
import { Hasher } from "../upload/hashing";
import { Memory } from "../upload/memory";
import type { Meter } from "../upload/meter";
import { ParentsPanel } from "../upload/parents_panel";
import { sorted } from "../upload/picking";
import { RepositoryPanel } from "../upload/repository_panel";
import { Fault, type Rules } from "../upload/rules";
import { Sending } from "../upload/sending";
import { passing, pauseAfter } from "../upload/transfer";
import { wire } from "../upload/wire";

interface Data {
  user: string;
  rules: Rules;
  fields: FieldTable;
}

/** What is kept of an upload under way, so that it is known after a reload. */
interface Interrupted {
  paths: string[];
  bytes: number;
}

const data = JSON.parse(byId("upload-data", HTMLScriptElement).text) as Data;
const now = () => Date.now();
// typed text belongs to this tab; what was read and sent, to whoever chooses the same files again
const tab = new Memory(sessionStorage, data.user, now);
const fields = new FormFields(data.fields, tab);
const card = new CardPanel();
const files = new FilesPanel(data.rules, showContents, (handles) => void keepHandles(data.user, handles));
const repository = new RepositoryPanel(fields, () => parents.draw());
const parents = new ParentsPanel(
  fields,
  () => fields.text("base_model") || files.contents?.config?.base || repository.existing?.base_model?.name || "",
  () => repository.existing?.kind ?? fields.text("kind"),
  () => (fields.text("name") === "" ? "this adapter" : repository.path),
);
const status = byId("status", HTMLParagraphElement);
const figures = byId("figures", HTMLSpanElement);
const bar = byId("bar", HTMLProgressElement);
const sending = new Sending(
  new Hasher(new Worker(new URL("../upload/hashing.worker.ts", import.meta.url), { type: "module" })),
  new Memory(localStorage, data.user, now),
  wire,
  {
    file: (path, state) => files.tell(path, state),
    total: showTotal,
    waiting: (seconds) => {
      // what was measured before says nothing of when it is done
      if (seconds > 0) figures.textContent = (figures.textContent ?? "").split(" · ", 1).join("");
      say(seconds === 0 ? "Sending." : `The connection is cut. Trying again in ${duration(seconds)}; nothing that has arrived is lost.`);
    },
  },
  (bytes) => Array.from(sha256(bytes), (byte) => byte.toString(16).padStart(2, "0")).join(""),
);

function showContents(contents: Contents): void {
  byId("kind", HTMLInputElement).value = contents.kind;
  byId("base_model", HTMLInputElement).placeholder = contents.config?.base ?? "";
  card.take(contents.card);
  fields.clearAll();
  parents.draw();
  for (const each of files.chosen) void sending.prepare(each).catch(() => undefined);
}

function showTotal(meter: Meter): void {
  bar.value = meter.total === 0 ? 1 : Math.min(1, meter.done / meter.total);
  const speed = meter.speed === null ? "" : ` · ${size(meter.speed)}/s`;
  const left = meter.left === null ? "" : ` · ${duration(meter.left)} left`;
  figures.textContent = `${size(meter.done)} of ${size(meter.total)}${speed}${left}`;
}

/** For those who listen, too; only what is new, not every figure. */
function say(text: string): void {
  if (status.textContent !== text) status.textContent = text;
}

const nameRule =
  "A name has letters, digits, '-', '_' and '.', neither '--' nor '..', and does not begin or end with '-' or '.'";

/** As app/domain/names.py checks it, or less strictly. */
function isName(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,96}$/.test(text) && !/--|\.\./.test(text) && !/^[-.]|[-.]$/.test(text);
}

/** The nearest name to what was typed. */
function asName(text: string): string {
  const near = text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/-{2,}/g, "-").replace(/\.{2,}/g, ".");
  return near.slice(0, 96).replace(/^[-.]+|[-.]+$/g, "") || "my-adapter";
}

/** What can be seen before anything is sent; shown at its field. */
function isReady(): boolean {
  const obstacle = files.obstacle();
  if (obstacle !== null) fields.show("files", obstacle);
  else if (fields.text("name") === "") fields.show("repository", "Give it a name");
  else if (!isName(fields.text("name"))) fields.show("repository", `${nameRule}: for example ${asName(fields.text("name"))}`);
  else if (parents.parents().some(({ weight }) => !Number.isFinite(weight))) fields.show("builds_on", "A weight is a number");
  else return true;
  return false;
}

interface Publication {
  repository: string;
  version: string;
}

/** That the versions which are named are there: nobody waits for large files to hear that one is not. Throws: Problem. */
async function checkParents(signal: AbortSignal): Promise<void> {
  const named = parents.parents().map(({ reference }, index) => ({ reference, pointer: `/builds_on/${index}` }));
  const origin = parents.initializedFrom();
  if (origin !== "") named.push({ reference: origin, pointer: "/initialized_from" });
  for (const { reference, pointer } of named) {
    const [name = "", version = ""] = reference.split("@");
    const path = [...name.split("/").slice(0, 2), "versions", version || "none"].map(encodeURIComponent).join("/");
    try {
      await api("GET", `/repositories/${path}`, undefined, { signal });
    } catch (error) {
      if (!(error instanceof Problem) || ![404, 410, 422].includes(error.status)) throw error;
      const detail = version === "" ? `${reference} says no version: add one, as in ${name}@1.0.0` : `${reference} does not exist, or you may not read it`;
      throw new Problem({ ...error.body, pointer, detail });
    }
  }
}

async function publish(signal: AbortSignal): Promise<Publication> {
  await repository.look();
  await checkParents(signal);
  const chosen = card.among(files.chosen);
  for (let attempt = 1; ; attempt++) {
    const digests = await sending.sendAll(chosen, signal);
    say("All files have arrived. Publishing.");
    try {
      return await posted(asked(digests), signal);
    } catch (error) {
      const forgotten = attempt === 1 ? missingIn(error, chosen) : undefined;
      if (forgotten === undefined) throw error;
      // it had arrived, longer ago than the registry keeps what nobody publishes
      await sending.forgetPath(forgotten);
    }
  }
}

/** Asks until there is an answer; with one key, so that an answer that was lost makes no second version. */
async function posted(body: Record<string, unknown>, signal: AbortSignal): Promise<Publication> {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const path = `/repositories/${repository.path}/versions`;
  for (let failures = 0; ; failures++) {
    try {
      return await api<Publication>("POST", path, body, { signal, key });
    } catch (error) {
      if (!(error instanceof Problem) || !(passing.has(error.status) || error.kind === "request-in-progress")) throw error;
      const seconds = pauseAfter(failures);
      say(`The registry does not answer. Asking again in ${duration(seconds)}.`);
      await wire.wait(seconds, signal);
    }
  }
}

function missingIn(error: unknown, chosen: Chosen[]): Chosen | undefined {
  if (!(error instanceof Problem) || error.kind !== "unknown-blob") return undefined;
  const path = error.body.pointer?.replace(/^\/files\//, "").replaceAll("~1", "/").replaceAll("~0", "~");
  return chosen.find((each) => each.path === path);
}

/** The body of `POST …/versions`. */
function asked(digests: Record<string, string>): Record<string, unknown> {
  const base = fields.text("base_model");
  const named = parents.parents().map(({ reference, weight }) => ({ version: reference, weight }));
  const standsOnNothing = byId("stands_on_nothing", HTMLInputElement).checked;
  const said: Record<string, unknown> = {
    files: digests,
    version: fields.text("version"),
    base_model: base,
    initialized_from: parents.initializedFrom(),
    notes: fields.text("notes"),
  };
  const filled = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== ""));
  if (named.length > 0 || standsOnNothing) filled["builds_on"] = named;
  const create = repository.creation(fields.text("kind"), base || (files.contents?.config?.base ?? ""));
  return create === undefined ? filled : { ...filled, create };
}

const button = byId("publish", HTMLButtonElement);
const progress = byId("progress", HTMLDivElement);
let stopping: AbortController | null = null;

function setBusy(isBusy: boolean): void {
  files.isFrozen = isBusy;
  progress.hidden = !isBusy;
  button.disabled = isBusy;
}

async function submitted(): Promise<void> {
  fields.clearAll();
  if (stopping !== null || !isReady()) return;
  stopping = new AbortController();
  const going: Interrupted = {
    paths: files.chosen.map(({ path }) => path),
    bytes: files.chosen.reduce((sum, { file }) => sum + file.size, 0),
  };
  tab.write("interrupted", going);
  setBusy(true);
  say("Sending.");
  try {
    const made = await publish(stopping.signal);
    for (const name of ["draft", "interrupted"]) tab.remove(name);
    await keepHandles(data.user, []);
    stopping = null;
    say("Published.");
    location.assign(`/${made.repository}?version=${encodeURIComponent(made.version)}`);
  } catch (error) {
    const wasStopped = stopping?.signal.aborted === true;
    stopping = null;
    setBusy(false);
    tab.remove("interrupted");
    if (wasStopped) {
      say("Stopped. What has arrived is kept for a day: Publish goes on from there.");
      button.focus();
      return;
    }
    say("");
    if (error instanceof Problem && (error.status === 401 || error.kind === "cross-site-request")) {
      tab.write("interrupted", going);
      fields.signInAgain();
    } else if (error instanceof Problem) fields.refuse(error);
    else if (error instanceof Fault) fields.show("files", error.message);
    else throw error;
  }
}

byId("upload", HTMLFormElement).noValidate = true;
byId("upload", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  void submitted();
});
byId("stop", HTMLButtonElement).addEventListener("click", () => stopping?.abort());
window.addEventListener("beforeunload", (event) => {
  if (stopping !== null) event.preventDefault();
});

// a refusal that the page brought itself has its values in it; else what was typed before a reload comes back
if (byId("form-error", HTMLDivElement).hidden && document.querySelector("[aria-invalid]") === null) {
  fields.restore((count) => parents.rowsAtLeast(count));
}
const interrupted = tab.read<Interrupted>("interrupted");
if (interrupted !== null) {
  const notice = byId("resume", HTMLDivElement);
  const again = byId("resume-files", HTMLButtonElement);
  notice.hidden = false;
  void keptHandles(data.user).then((handles) => {
    again.hidden = handles.length === 0;
    again.addEventListener("click", () => {
      void filesOf(handles)
        .then((found) => (found === null ? undefined : files.add(sorted(found))))
        // moved or deleted since: then they are chosen by hand
        .catch(() => (again.hidden = true));
    });
  });
  byId("resume-text", HTMLParagraphElement).textContent =
    `Choose the same files again (${interrupted.paths.join(", ")}; ${size(interrupted.bytes)}) and press Publish: ` +
    "it goes on where it was, and what has arrived is not sent again.";
  byId("resume-forget", HTMLButtonElement).addEventListener("click", () => {
    tab.remove("interrupted");
    notice.hidden = true;
  });
}
void repository.look().catch(() => undefined);
parents.draw();
