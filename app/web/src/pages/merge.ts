// A merge, watched: progress as the server tells it, and the result when it is there.
import "./compose.css";
import "./merge.css";
import "./drawing.css";
import { count } from "../format";
import { announce, regions } from "../regions";

interface News {
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  progress: { done: number; total: number; unit: string };
}

const merge = document.getElementById("merge");
const going = new Set(["queued", "running"]);

if (merge && going.has(merge.dataset["state"] ?? "")) watch(merge.dataset["id"]!);

function watch(id: string): void {
  const events = new EventSource(`/api/v1/merges/${id}/events`);
  const hear = (event: MessageEvent<string>): void => {
    const news = JSON.parse(event.data) as News;
    tell(news);
    if (going.has(news.state)) return;
    events.close();
    void finish();
  };
  // a cut connection is opened again by the browser, and the first event then tells everything
  events.addEventListener("state", hear);
  events.addEventListener("progress", hear);
}

function tell({ state, progress }: News): void {
  const bar = document.getElementById("progress") as HTMLProgressElement | null;
  if (!bar) return;
  bar.max = Math.max(progress.total, 1);
  bar.value = progress.done;
  document.getElementById("progress-label")!.textContent = state === "queued" ? "Waiting for a worker" : "Merging";
  announce("progress-text", `${count(progress.done)} of ${count(progress.total)} ${progress.unit}`);
}

/** The page as it is now, with the result. */
async function finish(): Promise<void> {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = await regions(answer);
  const next = fresh.getElementById("merge");
  if (!next) {
    // what only a page of its own can tell: somebody was signed out, say
    location.reload();
    return;
  }
  document.title = fresh.title;
  document.getElementById("merge")!.replaceWith(document.adoptNode(next));
  document.getElementById("merge-title")?.focus({ preventScroll: true });
}
