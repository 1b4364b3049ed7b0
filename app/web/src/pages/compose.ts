// The composer, alive: each change is planned by the server, and its answer takes the place of what was shown.
// Without this script the same form does the same, one button at a time.
import "./compose.css";
import "./drawing.css";
import { announce, regions, replaced } from "../regions";

const settle = 300; // ms without a keystroke
const parts = ["layers", "candidates", "method", "output", "plan"];
const root = document.getElementById("composer");
const form = document.getElementById("recipe") as HTMLFormElement | null;

let waiting: number | undefined;
let asked: AbortController | undefined;

if (root && form) {
  enhance();
  root.addEventListener("input", (event) => {
    const field = event.target as HTMLInputElement;
    const mirrored = field.dataset["mirrors"];
    if (mirrored) (document.getElementById(mirrored) as HTMLInputElement).value = field.value;
    else if (field.name === "weight") mirror(field);
    if (field instanceof HTMLSelectElement) return;
    stale();
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => void show(query(), "replace"), settle);
  });
  root.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) void show(query(), "replace");
  });
  root.addEventListener("submit", (event) => {
    const sent = event.target as HTMLFormElement;
    if (sent.method !== "get") return;
    event.preventDefault();
    // a remedy is of the state that was planned; everything else of what the fields hold now
    const data = sent === form ? query(event.submitter) : fields(sent, event.submitter);
    void show(data, "push");
  });
  window.addEventListener("popstate", () => void show(new URLSearchParams(location.search), "none"));
}

function fields(from: HTMLFormElement, submitter?: HTMLElement | null): URLSearchParams {
  const data = new FormData(from, submitter instanceof HTMLButtonElement ? submitter : undefined);
  return new URLSearchParams([...data].map(([name, value]) => [name, `${value}`]));
}

function query(submitter?: HTMLElement | null): URLSearchParams {
  return fields(form!, submitter);
}

/** What is shown is of a state that is left by now: it cannot be started. */
function stale(): void {
  root!.setAttribute("aria-busy", "true");
  const start = document.querySelector<HTMLButtonElement>("#start button");
  if (start) start.disabled = true;
}

async function show(data: URLSearchParams, history: "push" | "replace" | "none"): Promise<void> {
  window.clearTimeout(waiting);
  stale();
  asked?.abort();
  asked = new AbortController();
  let answer: Response;
  try {
    answer = await fetch(`/merges/new?${data}`, { headers: { Accept: "text/html" }, signal: asked.signal });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    announce("plan-state", "The server does not answer. What you see may be old.");
    return;
  }
  if (!answer.ok || new URL(answer.url).pathname !== "/merges/new") {
    // what only a page of its own can tell: somebody was signed out, say
    location.assign(`/merges/new?${data}`);
    return;
  }
  const fresh = await regions(answer);
  const typing = history === "replace" ? document.activeElement : null;
  replaced(fresh, parts, typing);
  const search = document.getElementById("q") as HTMLInputElement;
  if (history !== "replace") search.value = (fresh.getElementById("q") as HTMLInputElement).value;
  root!.removeAttribute("aria-busy");
  enhance();
  const url = document.getElementById("plan")!.dataset["url"] ?? answer.url;
  if (history === "push") window.history.pushState(null, "", url);
  if (history === "replace") window.history.replaceState(null, "", url);
}

/** What only makes sense with a script: sliders, and the field that a refusal is about. */
function enhance(): void {
  for (const slider of root!.querySelectorAll<HTMLInputElement>("input[data-mirrors]")) {
    slider.hidden = false;
    mirror(document.getElementById(slider.dataset["mirrors"]!) as HTMLInputElement);
  }
  const refused = document.getElementById("plan")!.dataset["pointerRefused"];
  for (const field of form!.querySelectorAll<HTMLElement>("[data-pointer]")) {
    const isRefused = Boolean(refused) && field.dataset["pointer"] === refused;
    field.toggleAttribute("aria-invalid", isRefused);
    if (isRefused) field.setAttribute("aria-invalid", "true");
  }
}

/** The slider beside a number follows it as far as it goes. */
function mirror(field: HTMLInputElement): void {
  const slider = root!.querySelector<HTMLInputElement>(`input[data-mirrors="${CSS.escape(field.id)}"]`);
  const value = Number(field.value);
  if (slider && field.value.trim() !== "" && Number.isFinite(value)) slider.value = `${value}`;
}
