"""How long lineage takes to decide a plan: deep chains and wide diamonds, in CPU seconds. Prints, and judges nothing."""

import time
from collections.abc import Callable
from uuid import UUID

from app.domain.lineage import LineageVersion
from app.domain.recipe import ResolvedLayer
from app.merge.resolution import resolve
from tests.merge.test_large_lineages import catalogue_of, on, version

Catalogue = dict[UUID, LineageVersion]


def chain(depth: int) -> tuple[list[ResolvedLayer], Catalogue]:
    """One adapter on another, `depth` of them."""
    versions = [version(n, [on(n - 1)] if n else []) for n in range(depth)]
    return [ResolvedLayer(versions[-1].id, 1.0, "the last")], catalogue_of(versions)


def diamonds(levels: int, width: int) -> tuple[list[ResolvedLayer], Catalogue]:
    """Levels of `width` adapters, each standing on all of the level below."""
    versions = []
    for level in range(levels):
        below = range((level - 1) * width, level * width) if level else range(0)
        versions += [version(level * width + n, [on(parent) for parent in below]) for n in range(width)]
    return [ResolvedLayer(versions[-1].id, 1.0, "the last")], catalogue_of(versions)


shapes: dict[str, Callable[[], tuple[list[ResolvedLayer], Catalogue]]] = {
    "chain of 1,000": lambda: chain(1000),
    "chain of 5,000": lambda: chain(5000),
    "100 levels of 10": lambda: diamonds(100, 10),
    "20 levels of 50": lambda: diamonds(20, 50),
}


def main() -> None:
    print(f"{'lineage':<20}{'trunk':>8}{'CPU s':>10}")
    for name, make in shapes.items():
        layers, catalogue = make()
        began = time.process_time()
        found = resolve(layers, [], catalogue, {}, linear=True)
        print(f"{name:<20}{len(found.trunk):>8}{time.process_time() - began:>10.3f}")


if __name__ == "__main__":
    main()
