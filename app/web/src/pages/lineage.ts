// The lineage graph, beside the list that says the same without a script.
import "./drawing.css";
import "./lineage.css";
import { Lineage, type LineageAnswer } from "../graph/lineage";
import { GraphView } from "../graph/view";
import { announce } from "../regions";

const host = document.getElementById("graph");
const data = document.getElementById("lineage-data");

if (host && data) {
  performance.mark("graph-begin");
  const lineage = new Lineage(JSON.parse(data.textContent ?? "") as LineageAnswer);
  document.getElementById("graph-section")!.hidden = false;
  const view = new GraphView(host, lineage);
  press("zoom-in", () => view.zoomIn());
  press("zoom-out", () => view.zoomOut());
  press("zoom-all", () => view.overview());
  press("zoom-root", () => view.focus(lineage.root));
  search(view, lineage);
  new ResizeObserver(() => view.resized()).observe(host);
  // after the next frame it is on the screen
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      performance.measure("graph-drawn", "graph-begin");
      host.dataset["state"] = "drawn";
    }),
  );
}

function press(id: string, act: () => void): void {
  document.getElementById(id)?.addEventListener("click", act);
}

function search(view: GraphView, lineage: Lineage): void {
  const field = document.getElementById("graph-search") as HTMLInputElement;
  let found: string[] = [];
  let next = 0;
  field.addEventListener("input", () => {
    found = lineage.search(field.value);
    next = 0;
    view.mark(found);
    const versions = found.length === 1 ? "version" : "versions";
    announce("graph-found", field.value.trim() ? `${found.length} ${versions} found. Enter goes to the first.` : "");
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const id = found[next];
    if (id === undefined) return;
    next = (next + 1) % found.length;
    view.focus(id);
  });
}
