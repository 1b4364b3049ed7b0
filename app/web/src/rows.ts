/** Whether a name in lower case holds every word of what is typed: as the server filters. */
export function found(typed: string, name: string): boolean {
  return typed
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.includes(word));
}
