"""A merge's report as plots: what each module kept, and its singular values. Places for a template to write as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]

plot_width, plot_height = 640.0, 240.0
left, right, top, bottom = 58.0, 12.0, 12.0, 34.0
"""Room for the axes' labels."""
most_points = 400
least_ratio = 1e-9
"""Of the largest singular value: what is smaller stands on the plot's floor."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a module of a truncated result kept."""

    module: str
    rank: int
    of_rank: int
    """Singular values that there were, or that were found."""
    energy: float
    """Share of the squared singular values, 0 to 1."""

    @property
    def lost(self) -> str:
        """As it reads best: shares near to 1 differ in what is missing."""
        lost = 1 - self.energy
        return "nothing" if lost <= 0 else f"{lost:.1%}" if lost >= 0.001 else f"{lost:.1e}"


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values, the largest first, on a logarithmic scale; the first `rank` of them were kept."""

    module: str
    rank: int
    count: int
    kept_path: str
    lost_path: str
    cut: float
    """x of the line between what was kept and what was not."""
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def kept_by_module(report: Mapping[str, Any]) -> list[Kept]:
    """Of a report, the modules that lost most first; none of an exact result."""
    found = [
        Kept(module, entry["rank"], len(entry["singular_values"]), entry["energy_kept"])
        for module, entry in report.get("per_module", {}).items()
    ]
    return sorted(found, key=lambda kept: (kept.energy, kept.module))


def spectrum(module: str, entry: Mapping[str, Any]) -> Spectrum:
    values: Sequence[float] = entry["singular_values"]
    rank = entry["rank"]
    largest = values[0] if values and values[0] > 0 else 1.0
    floor = largest * least_ratio
    lowest = math.floor(math.log10(max(min((value for value in values if value > floor), default=largest), floor)))
    highest = max(math.ceil(math.log10(largest)), lowest + 1)

    def x(place: float) -> float:
        return left + (plot_width - left - right) * place / max(len(values) - 1, 1)

    def y(value: float) -> float:
        share = (math.log10(max(value, 10.0**lowest)) - lowest) / (highest - lowest)
        return plot_height - bottom - (plot_height - top - bottom) * share

    def path(first: int, last: int) -> str:
        stride = max(1, math.ceil((last - first) / most_points))
        places = [*range(first, last, stride), last - 1] if last > first else []
        return "".join(
            f"{'M' if index == 0 else 'L'}{x(place):.1f} {y(values[place]):.1f}" for index, place in enumerate(places)
        )

    return Spectrum(
        module=module,
        rank=rank,
        count=len(values),
        kept_path=path(0, rank),
        lost_path=path(max(rank - 1, 0), len(values)),
        cut=x(max(rank - 0.5, 0)),
        across=tuple(Tick(x(place - 1), f"{place}") for place in steps(len(values))),
        up=tuple(
            Tick(y(10.0**power), f"1e{power}")
            for power in range(lowest, highest + 1, max(1, math.ceil((highest - lowest) / 6)))
        ),
    )


def steps(count: int) -> list[int]:
    """1 and the last, and round numbers between them."""
    step = next(
        (step for scale in range(9) for step in (10**scale, 2 * 10**scale, 5 * 10**scale) if count / step <= 6), count
    )
    between = [place for place in range(step, count, step) if place - 1 >= step / 2 and count - place >= step / 2]
    return sorted({1, *between, count})
