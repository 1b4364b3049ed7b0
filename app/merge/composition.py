"""What is summed in each tensor of the base, and what that is where a part depends on what it was trained upon.

A plain LoRA adds scaling·B·A whatever it stands on. DoRA gives the rows of W + ΔW a length, and a saved tensor stands in the
place of W: what such a member changes is Δ = V − F, with F the tensor as its own foundation leaves it, and V as it was trained.
Written out as a sum over the base, the deltas and the Vs, most of it cancels: of a chain in which each member saved the
tensor the last one's value is left, and the base is not needed to know it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from uuid import UUID

from app.domain.adapter import Adapter, Module, Replacement
from app.domain.plan import Member


class Source(StrEnum):
    """Where the values of a term come from."""

    BASE = "base"
    DELTA = "delta"
    """scaling·B·A of a share, or scaling·b of its bias."""
    REPLACEMENT = "replacement"
    """What a share brings whole."""
    NORMED = "normed"
    """The sum in `Expansion.normed`, each row made as long as a share's DoRA says."""


@dataclass(frozen=True, slots=True)
class Term:
    source: Source
    share: int
    """Index of the share; −1 of the base."""
    coefficient: float


Sum = tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Expansion:
    """A tensor of the result as a sum; terms that cancel are not there."""

    terms: Sum
    normed: Mapping[int, Sum]
    """By share: what its DoRA norms, of all shares that `terms` need; each comes after those that it needs itself."""

    @property
    def is_sum(self) -> bool:
        """The base as it is, and deltas added to it."""
        others = [term.source for term in self.terms if term != Term(Source.BASE, -1, 1.0)]
        return len(others) == len(self.terms) - 1 and all(source is Source.DELTA for source in others)

    @property
    def is_known_without_base(self) -> bool:
        """An adapter can bring the tensor whole."""
        return all(term.source not in (Source.BASE, Source.NORMED) for term in self.terms)

    @property
    def copied(self) -> int | None:
        """The share whose replacement is the result, to the last bit."""
        if len(self.terms) == 1 and self.terms[0].source is Source.REPLACEMENT and self.terms[0].coefficient == 1:
            return self.terms[0].share
        return None


@dataclass(frozen=True, slots=True)
class Share:
    """What one member does to one tensor."""

    member: Member
    module: Module | None = None
    """The module whose delta, or whose bias, is added."""
    replacement: Replacement | None = None

    @property
    def is_whole(self) -> bool:
        return self.replacement is not None and self.replacement.rows is None

    @property
    def feature(self) -> str:
        """What makes this more than a product of factors."""
        if self.replacement is not None:
            return self.replacement.kind.value
        is_normed = self.module is not None and self.module.magnitude_key is not None
        return "dora" if is_normed else "lora_bias"


@dataclass(frozen=True, slots=True)
class Composition:
    """A tensor of the base, with the shares of all members that change it, in the order of their content digests."""

    tensor: str
    shares: tuple[Share, ...]

    @property
    def owner(self) -> str:
        """The module that the tensor belongs to."""
        return self.tensor.rpartition(".")[0]

    @property
    def is_bias(self) -> bool:
        """What is added to it are biases, and no product of factors."""
        return any(share.module is not None and self.tensor != share.module.tensor for share in self.shares)

    @property
    def is_added(self) -> bool:
        """A bias to which biases are added, whatever the base has there."""
        return self.is_bias and self.expansion().is_sum

    def is_normed(self, share: Share) -> bool:
        module = share.module
        return module is not None and module.magnitude_key is not None and self.tensor == module.tensor

    @property
    def is_plain(self) -> bool:
        """A sum of products of factors, whatever they stand on."""
        return not self.is_bias and not any(share.replacement or self.is_normed(share) for share in self.shares)

    @property
    def unusual(self) -> Share:
        """The first share that makes this more than a sum of products."""
        return next(share for share in self.shares if self.is_bias or share.replacement or self.is_normed(share))

    @property
    def is_whole(self) -> bool:
        """A share brings all of the tensor."""
        return any(share.is_whole for share in self.shares)

    def expansion(self, tokens: frozenset[int] = frozenset()) -> Expansion:
        """Of rows that these shares' trained tokens replace; of none, the tensor but for such rows."""
        places = {share.member.content_digest: index for index, share in enumerate(self.shares)}
        return expanded(
            tuple(
                Standing(
                    weight=share.member.weight,
                    has_delta=share.module is not None,
                    is_replaced=share.is_whole or index in tokens,
                    is_normed=self.is_normed(share),
                    foundation=tuple(
                        (places[content], weight) for content, weight in share.member.foundation if content in places
                    ),
                )
                for index, share in enumerate(self.shares)
            )
        )

    def needed(self) -> frozenset[tuple[Source, int]]:
        """What has to be at hand to compute the tensor."""
        expansions = [self.expansion(), *(self.expansion(shares) for shares in self.token_rows())]
        sums = [terms for one in expansions for terms in (one.terms, *one.normed.values())]
        return frozenset((term.source, term.share) for terms in sums for term in terms)

    def token_rows(self) -> dict[frozenset[int], tuple[int, ...]]:
        """The rows that are replaced one by one: the shares that do → their rows, ascending."""
        holders: dict[int, set[int]] = {}
        for index, share in enumerate(self.shares):
            rows = share.replacement.rows if share.replacement is not None else None
            for row in rows or ():
                holders.setdefault(row, set()).add(index)
        found: dict[frozenset[int], list[int]] = {}
        for row in sorted(holders):
            found.setdefault(frozenset(holders[row]), []).append(row)
        return {shares: tuple(rows) for shares, rows in found.items()}


@dataclass(frozen=True, slots=True)
class Standing:
    """How one share stands in a tensor: all that its expansion depends on."""

    weight: float
    has_delta: bool
    is_replaced: bool
    is_normed: bool
    foundation: tuple[tuple[int, float], ...]
    """Shares that it was trained upon, at the weights of the edges."""


Form = dict[tuple[Source, int], Fraction]
"""A linear form in the sources; exact, so that what cancels does."""


@lru_cache(maxsize=256)
def expanded(shares: tuple[Standing, ...]) -> Expansion:
    """base + Σ weight·Δ, written out. Most modules of a plan have the same shares, and are expanded once."""
    base: Form = {(Source.BASE, -1): Fraction(1)}
    deltas: dict[int, Form] = {}
    normed: dict[int, Form] = {}
    # a foundation holds the foundations of all that is in it, so that a shorter one comes before
    order = sorted(range(len(shares)), key=lambda index: len(shares[index].foundation))
    for index in order:
        share = shares[index]
        before = added(base, [(Fraction(weight), deltas[other]) for other, weight in share.foundation])
        value = {(Source.REPLACEMENT, index): Fraction(1)} if share.is_replaced else before
        if share.has_delta:
            value = added(value, [(Fraction(1), {(Source.DELTA, index): Fraction(1)})])
        if share.is_normed:
            normed[index] = value
            value = {(Source.NORMED, index): Fraction(1)}
        deltas[index] = added(value, [(Fraction(-1), before)])
    total = added(base, [(Fraction(share.weight), deltas[index]) for index, share in enumerate(shares)])
    needed: set[int] = set()
    waiting = [total]
    while waiting:
        for source, index in waiting.pop():
            if source is Source.NORMED and index not in needed:
                needed.add(index)
                waiting.append(normed[index])
    return Expansion(sum_of(total), {index: sum_of(normed[index]) for index in order if index in needed})


def added(form: Form, others: Iterable[tuple[Fraction, Form]]) -> Form:
    total = dict(form)
    for factor, other in others:
        for place, coefficient in other.items():
            total[place] = total.get(place, Fraction(0)) + factor * coefficient
    return {place: coefficient for place, coefficient in total.items() if coefficient}


def sum_of(form: Form) -> Sum:
    return tuple(Term(source, index, float(form[source, index])) for source, index in sorted(form))


def compose(members: Sequence[Member], adapters: Mapping[UUID, Adapter]) -> list[Composition]:
    """Every tensor that the members change, sorted by its name.

    A member at weight 0 has no share of a tensor that depends on more than deltas, unless another was trained upon it there.
    """
    shares: dict[str, list[Share]] = {}
    for member in sorted(members, key=lambda member: member.content_digest):
        adapter = adapters[member.version]
        found: dict[str, Share] = {}
        for module in adapter.modules:
            found[module.tensor] = Share(member, module)
            if module.bias_key is not None:
                found[f"{module.name}.bias"] = Share(member, module)
        for replacement in adapter.replacements:
            held = found.get(replacement.tensor)
            found[replacement.tensor] = Share(member, None if held is None else held.module, replacement)
        for tensor, share in found.items():
            shares.setdefault(tensor, []).append(share)
    compositions = [Composition(tensor, tuple(held)) for tensor, held in sorted(shares.items())]
    return [kept for composition in compositions if (kept := without_silent(composition)).shares]


def without_silent(composition: Composition) -> Composition:
    if composition.is_plain:
        return composition
    stood_on = {content for share in composition.shares for content, _ in share.member.foundation}
    shares = (
        share for share in composition.shares if share.member.weight != 0 or share.member.content_digest in stood_on
    )
    return Composition(composition.tensor, tuple(shares))
