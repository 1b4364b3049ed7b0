"""Cases whose result is known without a computation: of the methods that no peer computes on LoRA as they are meant."""

import torch

from app.kernel.factors import Branch, Factors
from tests.kernel.branches import expected, merged


def plane(out_index: int, in_index: int, size: float, weight: float = 1.0) -> Branch:
    """A delta of one element."""
    a, b = torch.zeros(1, 6), torch.zeros(5, 1)
    a[0, in_index], b[out_index, 0] = 1.0, size
    return Branch(Factors(a, b, 1.0), weight, f"{out_index}, {in_index}")


def check(name: str, found: list[Branch], parameters: dict[str, float], known: dict[tuple[int, int], float]) -> None:
    delta = torch.zeros(5, 6, dtype=torch.float64)
    for place, value in known.items():
        delta[place] = value
    for result in (merged(name, found, parameters), expected(name, found, parameters)):
        assert torch.allclose(result, delta, rtol=0, atol=1e-9), result


apart = [plane(0, 0, 4.0), plane(1, 1, 2.0)]
"""Orthogonal in outputs and inputs."""


def test_linear() -> None:
    check("linear", [plane(0, 0, 4.0, 0.5), plane(0, 0, 1.0, -1.0)], {}, {(0, 0): 1.0})


def test_tsv_leaves_alone_what_is_apart_and_counts_what_is_equal_once() -> None:
    check("tsv", apart, {"lambda": 1.0}, {(0, 0): 4.0, (1, 1): 2.0})
    check("tsv", [plane(0, 0, 4.0), plane(0, 0, 4.0)], {"lambda": 2.0}, {(0, 0): 8.0})


def test_iso_c_makes_all_directions_equal() -> None:
    check("iso_c", apart, {"lambda": 1.0}, {(0, 0): 3.0, (1, 1): 3.0})


def test_iso_cts_gives_the_least_direction_to_what_each_has_of_its_own() -> None:
    found = [*apart, plane(2, 2, 1.0), plane(3, 3, 1.0)]
    # rank 4, half of it common: 4 and 2; the other two are shared by four deltas, so that nothing changes hands
    check("iso_cts", found, {"lambda": 1.0, "common_fraction": 0.5}, {(i, i): 2.0 for i in range(4)})
    # all shared: each brings its own direction
    check("iso_cts", found, {"lambda": 1.0, "common_fraction": 0.0}, {(i, i): 2.0 for i in range(4)})


def test_cart_adds_the_main_differences_to_the_mean() -> None:
    # of each difference (2, -1) and (-2, 1) one direction of two is kept: ±2 at (0, 0), which cancel
    check("cart", apart, {"lambda": 1.0, "fraction": 0.5}, {(0, 0): 2.0, (1, 1): 1.0})
    # three deltas: mean (1, 1, 1), differences (2, -1, -1) and so on, of which the largest stays
    found = [plane(0, 0, 3.0), plane(1, 1, 3.0), plane(2, 2, 3.0)]
    check("cart", found, {"lambda": 0.5, "fraction": 0.3}, {(i, i): 2.0 for i in range(3)})


def test_knots_ties_votes_on_coordinates() -> None:
    # what is apart has coordinates apart: nobody disagrees, and a mean over one is that one
    check("knots_ties", apart, {"density": 1.0, "lambda": 1.0}, {(0, 0): 4.0, (1, 1): 2.0})
    check("knots_ties", [plane(0, 0, 4.0), plane(0, 0, -1.0)], {"density": 1.0, "lambda": 1.0}, {(0, 0): 4.0})


def test_core_ties_votes_on_cores() -> None:
    check("core_ties", apart, {"density": 1.0, "lambda": 1.0}, {(0, 0): 4.0, (1, 1): 2.0})
    # one of the four elements of the core: each delta's only one
    check("core_ties", apart, {"density": 0.25, "lambda": 1.0}, {(0, 0): 4.0, (1, 1): 2.0})
    check("core_ties", [plane(0, 0, 4.0), plane(0, 0, -1.0)], {"density": 1.0, "lambda": 1.0}, {(0, 0): 4.0})
