"""One line of a table, and the refusal to print one."""

from dataclasses import dataclass

from benchmarks.kernel.sides import Figures

heading = (
    "| what | Glulam | peer | | ratio, CPU | ratio, wall | bar | error | peak | share of the limit |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Line:
    """Glulam beside one peer in one case."""

    what: str
    peer: str
    own: Figures
    theirs: Figures | None
    bar: float
    error: str
    limit: str = ""

    def __str__(self) -> str:
        peak = f"{self.own.peak_bytes / 2**20:.0f}"
        own = f"| {self.what} | {seconds(self.own.cpu_seconds)} | {self.peer} "
        if self.theirs is None:
            return f"{own}| not run | | | {self.bar:g} | {self.error} | {peak} MiB | {self.limit} |"
        cpu = self.theirs.cpu_seconds / self.own.cpu_seconds
        wall = self.theirs.wall_seconds / self.own.wall_seconds
        peaks = f"{peak}, {self.theirs.peak_bytes / 2**20:.0f} MiB"
        ratios = f"**{cpu:.3g}** | {wall:.3g} | {self.bar:g}"
        return f"{own}| {seconds(self.theirs.cpu_seconds)} | {ratios} | {self.error} | {peaks} | {self.limit} |"


def seconds(value: float) -> str:
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def require(holds: bool, otherwise: str) -> None:
    """Raises: SystemExit; a figure of a wrong result is none."""
    if not holds:
        raise SystemExit(f"{otherwise}: nothing is reported")
