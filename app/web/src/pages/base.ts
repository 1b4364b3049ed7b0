// What every page gains by a script; each works without it too.
import "../style.css";
import { copy } from "../copying";
import { ago } from "../format";

/** Buttons that copy the text of the element that they name: `<button data-copy="id">`. */
document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLButtonElement>("button[data-copy]");
  const source = button && document.getElementById(button.dataset.copy ?? "");
  if (!button || !source) return;
  const text = source instanceof HTMLInputElement ? source.value : (source.textContent ?? "");
  void copy(text.trim()).then(() => {
    const before = button.textContent;
    button.textContent = "Copied";
    button.disabled = true;
    window.setTimeout(() => {
      button.textContent = before;
      button.disabled = false;
    }, 1500);
  });
});

/** Menus close when somebody turns elsewhere. */
function closeMenus(except: Node | null): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
    if (!except || !menu.contains(except)) menu.open = false;
  }
}
document.addEventListener("click", (event) => closeMenus(event.target as Node));
document.addEventListener("focusin", (event) => closeMenus(event.target as Node));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const open = document.querySelector<HTMLDetailsElement>("details.menu[open]");
    closeMenus(null);
    open?.querySelector("summary")?.focus();
  }
  // as on every site where much is looked up
  const typing = (event.target as Element).closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector<HTMLInputElement>("#site-search");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

/** Times tell how long ago; the moment itself stands in their title. */
for (const time of document.querySelectorAll("time[datetime]")) {
  time.textContent = ago(new Date(time.getAttribute("datetime") ?? ""));
}

/** Forms that need a second thought: `<form data-confirm="…">`. */
document.addEventListener("submit", (event) => {
  const question = (event.target as HTMLElement).dataset["confirm"];
  if (question && !window.confirm(question)) event.preventDefault();
});

/** Fields that change what is shown send their form at once: `<form data-submit-on-change>`. */
document.addEventListener("change", (event) => {
  const form = (event.target as Element).closest<HTMLFormElement>("form[data-submit-on-change]");
  form?.requestSubmit();
});
