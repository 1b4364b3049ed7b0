"""Which files a `.gitignore` leaves out, matched in linear time.

Source: gitignore(5), "Pattern format".
"""

from functools import lru_cache

import re2

from app.errors import TooManyIgnoreRules, UploadTooLarge

largest_bytes = 64 * 1024
most_rules = 1_000
most_matches = 250_000
"""Of a rule with the name of a file or folder, for all paths that are asked: a second or so."""
remembered_names = 4_096
"""The files of a folder come one after another, and ask for it again."""

quiet = re2.Options()
quiet.log_errors = False


class Ignored:
    """The rules of one file; those that cannot be read say nothing, as in git."""

    def __init__(self, text: str) -> None:
        """Raises: UploadTooLarge, TooManyIgnoreRules."""
        if len(text) > largest_bytes:
            raise UploadTooLarge(largest_bytes, len(text))
        found = [rule for line in text.splitlines() if (rule := rule_of(line)) is not None]
        if len(found) > most_rules:
            raise TooManyIgnoreRules(len(found), most_rules)
        self.rules: list[tuple[re2._Regexp, bool]] = found
        """Patterns, each with whether it takes back what an earlier one left out; the last that fits decides."""
        self.names = 0
        """That were matched so far."""
        self.leaves_out = lru_cache(maxsize=remembered_names)(self._leaves_out)

    def __contains__(self, path: str) -> bool:
        """Raises: TooManyIgnoreRules for the names that were asked by now."""
        # what lies in a folder that is left out cannot be taken back
        folders = (path[: at + 1] for at, character in enumerate(path) if character == "/")
        return any(map(self.leaves_out, folders)) or self.leaves_out(path)

    def _leaves_out(self, name: str) -> bool:
        """What the rules say of a file `a/b`, or of a folder `a/b/` for itself."""
        self.names += 1
        if self.names * len(self.rules) > most_matches:
            raise TooManyIgnoreRules(len(self.rules), most_matches, self.names)
        return next((not is_kept for pattern, is_kept in reversed(self.rules) if pattern.fullmatch(name)), False)


def rule_of(line: str) -> tuple[re2._Regexp, bool] | None:
    """Matches files as `a/b`, folders as `a/b/`."""
    line = line.rstrip("\n\r")
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    is_kept = line.startswith("!")
    pattern = line.removeprefix("!")
    is_folder = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    is_anchored = "/" in pattern
    pattern = pattern.lstrip("/")
    if not pattern:
        return None
    start = "" if is_anchored else "(?:.*/)?"
    try:
        return re2.compile(start + translated(pattern) + ("/" if is_folder else "/?"), quiet), is_kept
    except re2.error:
        return None


def translated(pattern: str) -> str:
    """The regular expression of a glob."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(f".{times(pattern, at, 2)}")
            at += 2
        elif pattern[at] == "*":
            parts.append(f"[^/]{times(pattern, at, 1)}")
            at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append("[" + ("^/" + inside[1:] if inside[0] in "!^" else inside) + "]")
            at = end + 1
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            parts.append(re2.escape(pattern[at]))
            at += 1
    return "".join(parts)


def times(pattern: str, at: int, length: int) -> str:
    """How often a wildcard's character stands: the content of a folder is not the folder, so `a/*` and `a/**` want one."""
    is_whole_segment = (at == 0 or pattern[at - 1] == "/") and at + length == len(pattern)
    return "+" if is_whole_segment else "*"
