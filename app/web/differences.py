"""What differs between two versions, as rows that a page shows: pure, and bounded."""

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.adapter import Adapter, Checkpoint, Module
from app.domain.lineage import Relation
from app.domain.version import Parent, Version
from app.formats.json_text import JsonRefused, parse_json
from app.web.filters import size

longest_value = 300
most_rows = 500
"""Of one table; whoever needs all of them has the API."""
most_lines = 4_000
"""Of each card: comparing takes time that grows faster than they do."""
context_lines = 3
config_depth = 16


@dataclass(frozen=True, slots=True)
class Change:
    """One row: None on one side, it is not there."""

    name: str
    before: str | None
    after: str | None
    gain: float | None = None
    """Of a number, as a share of what it was: 0.1 is a tenth more."""

    @property
    def kind(self) -> str:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one subject that differ."""

    rows: tuple[Change, ...] = ()
    more: int = 0
    """Rows that are not shown."""
    same: int = 0
    """Rows that do not differ."""

    @property
    def is_empty(self) -> bool:
        return not self.rows


def compared(before: Mapping[str, Any], after: Mapping[str, Any], alike: Callable[[str], str] | None = None) -> Table:
    """The members in which two flat mappings differ, by name.

    Args:
        alike: names for which it says the same, and which differ in the same way, are one row.
    """
    found: dict[tuple[str, str | None, str | None], list[Change]] = {}
    same = 0
    for name in sorted(before.keys() | after.keys()):
        left, right = before.get(name), after.get(name)
        if name in before and name in after and left == right and type(left) is type(right):
            same += 1
            continue
        texts = shown(left) if name in before else None, shown(right) if name in after else None
        group = (name if alike is None else alike(name), *texts)
        found.setdefault(group, []).append(Change(name, *texts, gain_of(left, right)))
    rows = [
        those[0] if len(those) == 1 else replace(those[0], name=f"{name} ({len(those)})")
        for (name, _, _), those in found.items()
    ]
    return Table(tuple(rows[:most_rows]), max(0, len(rows) - most_rows), same)


def shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= longest_value else text[:longest_value] + "…"


def gain_of(before: Any, after: Any) -> float | None:
    """None unless both are numbers, and the first is not 0."""
    numbers = [value for value in (before, after) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < 2 or not before:
        return None
    try:
        gain = (float(after) - float(before)) / abs(float(before))
    except OverflowError:
        # JSON knows integers that no float is
        return None
    return gain if math.isfinite(gain) else None


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Members of members by their whole names: `{"a": {"b": 1}}` is `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for name, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            found |= flat(entry, f"{prefix}{name}.")
        else:
            found[prefix + name] = entry
    return found


def config_members(text: bytes | None) -> dict[str, Any]:
    """Of a configuration file; nothing of one that is not there, or no object."""
    if text is None:
        return {}
    try:
        value = parse_json(text, config_depth)
    except JsonRefused:
        return {}
    return flat(value) if isinstance(value, dict) else {}


def files_table(before: Version, after: Version) -> Table:
    """By path: a file's size, and the beginning of its digest."""

    def listed(version: Version) -> dict[str, str]:
        return {file.path: f"{size(file.size_bytes)} · {file.digest[:19]}…" for file in version.files}

    return compared(listed(before), listed(after))


def modules_table(before: Adapter | Checkpoint, after: Adapter | Checkpoint) -> Table:
    """Of layers that differ in the same way one row: `model.layers.*.mlp.up_proj (32)`."""
    return compared(tensor_members(before), tensor_members(after), alike=layered)


def layered(name: str) -> str:
    """The name with a star for each number between dots."""
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))


def tensor_members(facts: Adapter | Checkpoint) -> dict[str, str]:
    """Of an adapter its modules and what it replaces, of a model its tensors; each with all that makes its shape."""
    if isinstance(facts, Checkpoint):
        return {tensor.name: f"{tensor.dtype} {shape_text(tensor.shape)}" for _, tensor in facts.tensors}
    replaced = {
        f"{entry.tensor} (replaced)": f"{entry.kind.value}, {entry.dtype} {shape_text(entry.shape)}"
        for entry in facts.replacements
    }
    return {module.name: module_text(module) for module in facts.modules} | replaced


def module_text(module: Module) -> str:
    parts = [f"rank {module.rank}", f"alpha {module.alpha:g}", f"scaling {module.scaling:g}", module.a_dtype]
    parts.append(f"{module.in_features} → {module.out_features}")
    if module.magnitude_key is not None:
        parts.append("DoRA")
    if module.bias_key is not None:
        parts.append("bias")
    return ", ".join(parts)


def shape_text(shape: Sequence[int]) -> str:
    return "[" + " × ".join(str(extent) for extent in shape) + "]"


relation_words = {
    Relation.BUILDS_ON: "builds on",
    Relation.INITIALIZED_FROM: "initialized from",
    Relation.MERGED_FROM: "merged from",
    Relation.EXTRACTED_FROM: "extracted from",
}


def lineage_table(before: Version, after: Version) -> Table:
    """By relation and parent, its weight; what the reader may not read is counted, and not told apart."""
    return compared(parent_members(before.parents), parent_members(after.parents))


def parent_members(parents: Sequence[Parent]) -> dict[str, str]:
    found: dict[str, str] = {}
    hidden: dict[Relation, int] = {}
    for parent in parents:
        if parent.is_readable:
            role = "" if parent.role is None else f", {parent.role.value}"
            found[f"{relation_words[parent.relation]} {parent.reference}"] = f"weight {parent.weight:g}{role}"
        else:
            hidden[parent.relation] = hidden.get(parent.relation, 0) + 1
    return found | {f"{relation_words[relation]} (hidden)": str(count) for relation, count in hidden.items()}


@dataclass(frozen=True, slots=True)
class Line:
    """Of two texts: a line that stands in both, in one of them, or a mark of where in them the next ones stand."""

    kind: str
    """`same`, `added`, `removed` or `place`."""
    text: str


def text_difference(before: str, after: str) -> tuple[Line, ...] | None:
    """None: they are too long to be compared here."""
    left, right = before.splitlines(), after.splitlines()
    if max(len(left), len(right)) > most_lines:
        return None
    kinds = {"+": "added", "-": "removed", " ": "same", "@": "place"}
    # the first two lines name files
    found = list(difflib.unified_diff(left, right, lineterm="", n=context_lines))[2:]
    return tuple(Line(kinds[line[0]], line if line[0] == "@" else line[1:]) for line in found)
