// What a repository's pages gain by a script; each works without it too.
import "./repository.css";
import { found } from "../rows";

/** On a phone not all tabs are in sight; the one that is open is. */
document.querySelector(".tabs > [aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest" });

/** The table of modules follows the words while they are typed, where all of it is on the page. */
const field = document.querySelector<HTMLInputElement>("input[data-filters]");
const rows = [...document.querySelectorAll<HTMLTableRowElement>(`#${field?.dataset["filters"] ?? "rows"} > tr`)];
const told = document.getElementById("shown");
field?.addEventListener("input", () => {
  let count = 0;
  for (const row of rows) {
    row.hidden = !found(field.value, row.dataset["name"] ?? "");
    if (!row.hidden) count += 1;
  }
  if (told) told.textContent = `${count} of ${rows.length} shown`;
});

/** Whoever uses one tool uses it the next time, too. */
const choices = document.querySelectorAll<HTMLInputElement>('input[name="use"]');
const key = "glulam-tool";
const before = localStorage.getItem(key);
for (const choice of choices) {
  if (choice.value === before) choice.checked = true;
  choice.addEventListener("change", () => localStorage.setItem(key, choice.value));
}
