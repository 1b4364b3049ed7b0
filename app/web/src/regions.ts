// Parts of a page taken from the server's answer, in place of those that are shown.

/** The page that an answer holds. */
export async function regions(answer: Response): Promise<Document> {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/**
 * Put the parts of these ids in place of those that are shown. The part in which somebody is typing stays as it is.
 * The focus stays on what has the same id, else on the first heading of the part in which it was.
 */
export function replaced(fresh: Document, ids: readonly string[], typing: Element | null = null): void {
  for (const id of ids) {
    const old = document.getElementById(id);
    const next = fresh.getElementById(id);
    if (!old || !next) continue;
    if (typing && isText(typing) && old.contains(typing)) continue;
    const had = old.contains(document.activeElement) ? document.activeElement : null;
    const open = new Set([...old.querySelectorAll("details[open][id]")].map((details) => details.id));
    old.replaceWith(document.adoptNode(next));
    for (const details of next.querySelectorAll<HTMLDetailsElement>("details[id]")) {
      if (open.has(details.id)) details.open = true;
    }
    if (had) refocus(next, had.id);
  }
}

function isText(element: Element): boolean {
  return element instanceof HTMLInputElement && !["range", "checkbox", "radio"].includes(element.type);
}

function refocus(part: HTMLElement, id: string): void {
  const same = id ? document.getElementById(id) : null;
  if (same && !(same as HTMLButtonElement).disabled) {
    same.focus({ preventScroll: true });
    return;
  }
  const heading = part.querySelector<HTMLElement>("h1, h2, h3");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
}

/** Say something in a region that is read out. */
export function announce(id: string, words: string): void {
  const region = document.getElementById(id);
  if (region) region.textContent = words;
}
