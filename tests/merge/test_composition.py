"""What depends on what it was trained upon, written out as a sum: checked against the definition in numbers."""

from collections.abc import Sequence
from fractions import Fraction
from random import Random

import pytest

from app.merge.composition import Expansion, Source, Standing, Sum, expanded

plain = {"has_delta": True, "is_replaced": False, "is_normed": False}
normed = {"has_delta": True, "is_replaced": False, "is_normed": True}
saved = {"has_delta": False, "is_replaced": True, "is_normed": False}


def standing(kind: dict[str, bool], weight: float = 1.0, *on: tuple[int, float]) -> Standing:
    return Standing(weight=weight, foundation=on, **kind)


def shown(terms: Sum) -> dict[str, float]:
    return {f"{term.source.value}{term.share if term.share >= 0 else ''}": term.coefficient for term in terms}


def test_a_plain_sum_is_the_base_and_the_deltas() -> None:
    expansion = expanded((standing(plain, 0.5), standing(plain, -2.0)))
    assert shown(expansion.terms) == {"base": 1.0, "delta0": 0.5, "delta1": -2.0}
    assert expansion.is_sum
    assert not expansion.is_known_without_base


def test_of_a_chain_that_saved_the_tensor_the_last_value_is_left() -> None:
    chain = [standing(saved, 1.0, *((below, 1.0) for below in range(place))) for place in range(4)]
    expansion = expanded(tuple(chain))
    assert shown(expansion.terms) == {"replacement3": 1.0}
    assert (expansion.copied, expansion.is_known_without_base) == (3, True)


def test_weights_that_are_no_binary_fractions_cancel_too() -> None:
    """0.1 + 0.2 is not 0.3 in floating point; an edge of 0.1 is the same 0.1 wherever it stands."""
    shares = (standing(saved, 0.1), standing(saved, 1.0, (0, 0.1)))
    assert shown(expanded(shares).terms) == {"replacement1": 1.0}


def test_what_dora_norms_is_the_tensor_as_its_own_foundation_leaves_it() -> None:
    shares = (standing(plain, 0.25), standing(normed, 2.0, (0, 1.0)), standing(normed, 1.0, (0, 1.0), (1, 1.0)))
    expansion = expanded(shares)
    assert shown(expansion.normed[1]) == {"base": 1.0, "delta0": 1.0, "delta1": 1.0}
    assert shown(expansion.normed[2]) == {"delta2": 1.0, "normed1": 1.0}
    assert shown(expansion.terms) == {"base": -1.0, "delta0": -1.75, "normed1": 1.0, "normed2": 1.0}


def test_what_cancels_is_not_computed() -> None:
    shares = (standing(normed), standing(saved, 1.0, (0, 1.0)))
    expansion = expanded(shares)
    assert shown(expansion.terms) == {"replacement1": 1.0}
    assert expansion.normed == {}


def test_a_long_line_is_written_out_each_after_what_it_needs() -> None:
    line = tuple(standing(normed, 1.0, *((below, 1.0) for below in range(place))) for place in range(200))
    expansion = expanded(line)
    assert shown(expansion.terms) == {"normed199": 1.0}
    assert list(expansion.normed) == list(range(200))
    assert shown(expansion.normed[150]) == {"delta150": 1.0, "normed149": 1.0}


def value_of(terms: Sum, numbers: Sequence[tuple[Fraction, Fraction, Fraction]], expansion: Expansion) -> Fraction:
    """With one number for a tensor: of each share its delta, its replacement, and the factor of its norm."""
    total = Fraction(0)
    for term in terms:
        delta, replacement, factor = numbers[term.share] if term.share >= 0 else (Fraction(0),) * 3
        match term.source:
            case Source.BASE:
                value = Fraction(7)
            case Source.DELTA:
                value = delta
            case Source.REPLACEMENT:
                value = replacement
            case Source.NORMED:
                value = factor * value_of(expansion.normed[term.share], numbers, expansion)
        total += Fraction(term.coefficient) * value
    return total


@pytest.mark.parametrize("seed", range(40))
def test_the_sum_is_what_the_definition_says(seed: int) -> None:
    """Δ = V − F on random lineages, all kinds mixed, each member on everything below those that it was trained upon."""
    random = Random(seed)
    below: list[set[int]] = []
    shares: list[Standing] = []
    for place in range(random.randint(1, 6)):
        direct = {other for other in range(place) if random.random() < 0.5}
        below.append(direct.union(*(below[other] for other in direct)))
        kind = random.choice([plain, normed, saved, {"has_delta": True, "is_replaced": True, "is_normed": False}])
        weights = [(other, random.choice([1.0, 0.5, -2.0])) for other in sorted(below[place])]
        # a plain delta is the same whatever it stands on, and says nothing of it
        shares.append(standing(kind, random.choice([1.0, 0.0, 0.75, -1.0]), *([] if kind is plain else weights)))
    numbers = [(Fraction(random.randint(1, 9)), Fraction(random.randint(1, 9)), Fraction(3, 4)) for _ in shares]
    deltas: list[Fraction] = []
    for share, (delta, replacement, factor) in zip(shares, numbers, strict=True):
        before = 7 + sum((Fraction(weight) * deltas[other] for other, weight in share.foundation), Fraction(0))
        trained = replacement if share.is_replaced else before
        trained += delta if share.has_delta else 0
        deltas.append((factor * trained if share.is_normed else trained) - before)
    expected = 7 + sum(
        (Fraction(share.weight) * delta for share, delta in zip(shares, deltas, strict=True)), Fraction(0)
    )
    expansion = expanded(tuple(shares))
    assert value_of(expansion.terms, numbers, expansion) == expected
