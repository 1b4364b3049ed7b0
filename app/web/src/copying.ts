/** Puts a text on the clipboard. Over plain http browsers keep their clipboard from scripts: there it is copied as a selection. */
export async function copy(text: string): Promise<void> {
  // it is not there, whatever the types say
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard) return clipboard.writeText(text);
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "visually-hidden";
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
}
