"""The table of an adapter's modules, or of a model's tensors: rows, filtered, sorted and cut to a page."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from app.domain.adapter import Adapter, Checkpoint, Module, Replacement, TensorFact
from app.web.differences import shape_text

page_rows = 250
bar_width = 100
"""Of the longest bar, in the units of its drawing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A module, or a tensor that is whole."""

    name: str
    kind: str
    dtype: str
    shape: str
    parameters: int
    rank: int | None = None
    alpha: float | None = None
    scaling: float | None = None
    tensors: tuple[str, ...] = ()
    """Their names in the file."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Modules of one name in their layers: `q_proj`."""

    name: str
    modules: int
    lowest_rank: int
    highest_rank: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of the table."""

    rows: tuple[Row, ...]
    found: int
    """Rows that the filter lets through."""
    total: int
    page: int
    pages: int
    highest_rank: int

    def bar(self, rank: int) -> float:
        return round(bar_width * rank / self.highest_rank, 2) if self.highest_rank else 0


def row_of_module(module: Module) -> Row:
    keys = (module.a_key, module.b_key, module.bias_key, module.magnitude_key)
    notes = ["bias"] * (module.bias_key is not None) + ["DoRA"] * (module.magnitude_key is not None)
    return Row(
        name=module.name,
        kind=module.kind.value,
        dtype=module.a_dtype if module.a_dtype == module.b_dtype else f"{module.a_dtype}, {module.b_dtype}",
        shape=f"{module.in_features} → {module.out_features}",
        parameters=prod(module.a_shape) + prod(module.b_shape),
        rank=module.rank,
        alpha=module.alpha,
        scaling=module.scaling,
        tensors=tuple(key for key in keys if key is not None),
        notes=(*notes, *(["[in, out]"] if module.fan_in_fan_out else [])),
    )


def row_of_replacement(entry: Replacement) -> Row:
    rows = () if entry.rows is None else (f"{len(entry.rows)} rows",)
    return Row(
        name=entry.tensor,
        kind=entry.kind.value,
        dtype=entry.dtype,
        shape=shape_text(entry.shape),
        parameters=prod(entry.shape),
        tensors=(entry.key,),
        notes=("replaces the base's", *rows),
    )


def row_of_tensor(path: str, tensor: TensorFact) -> Row:
    return Row(
        name=tensor.name,
        kind="tensor",
        dtype=tensor.dtype,
        shape=shape_text(tensor.shape),
        parameters=prod(tensor.shape),
        tensors=(path,),
    )


def rows_of(facts: Adapter | Checkpoint) -> list[Row]:
    if isinstance(facts, Checkpoint):
        return [row_of_tensor(path, tensor) for path, tensor in facts.tensors]
    modules = [row_of_module(module) for module in facts.modules]
    return modules + [row_of_replacement(entry) for entry in facts.replacements]


keys: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: [natural(part) for part in row.name.split(".")],
    "rank": lambda row: row.rank or 0,
    "scaling": lambda row: row.scaling or 0.0,
    "parameters": lambda row: row.parameters,
}
"""By what the table may be sorted."""


def natural(part: str) -> tuple[int, int, str]:
    """Layer 10 after layer 9."""
    is_number = part.isdecimal() and len(part) < 10
    return (0, int(part), "") if is_number else (1, 0, part)


def table(rows: Sequence[Row], *, q: str, sort: str, is_descending: bool, page: int) -> Shown:
    """Rows whose name holds every word of `q`; `page` counts from 1, and what lies beyond is the last one."""
    words = q.lower().split()
    found = [row for row in rows if all(word in row.name.lower() for word in words)]
    found.sort(key=keys["name"])
    if sort != "name" or is_descending:
        found.sort(key=keys[sort], reverse=is_descending)
    pages = max(1, -(-len(found) // page_rows))
    page = min(page, pages)
    return Shown(
        rows=tuple(found[(page - 1) * page_rows : page * page_rows]),
        found=len(found),
        total=len(rows),
        page=page,
        pages=pages,
        highest_rank=max((row.rank or 0 for row in rows), default=0),
    )


def groups_of(modules: Iterable[Module]) -> tuple[Group, ...]:
    """The modules by the last part of their names, the most frequent first."""
    found: dict[str, list[Module]] = {}
    for module in modules:
        found.setdefault(module.name.rpartition(".")[2], []).append(module)
    groups = [
        Group(
            name,
            len(members),
            min(member.rank for member in members),
            max(member.rank for member in members),
            sum(prod(member.a_shape) + prod(member.b_shape) for member in members),
        )
        for name, members in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.modules, group.name)))
