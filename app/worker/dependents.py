"""Tensors that are more than a sum of products, tile by tile: DoRA, biases, and what adapters bring whole."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from uuid import UUID

import torch
from torch import Tensor

from app.domain.adapter import Module, TensorFact
from app.domain.digest import Digest
from app.domain.plan import Plan
from app.kernel.dora import with_lengths
from app.kernel.factors import Factors
from app.merge.composition import Composition, Expansion, Source, Sum
from app.merge.dependents import check_dependent
from app.objects.store import ByteStore
from app.worker.stacks import MemberFiles, compositions_of
from app.worker.tensors import read_facts, read_tensor, read_values, torch_dtypes

tile_values = 1 << 19
"""Values of one tile; several are held at once."""


@dataclass(frozen=True, slots=True)
class File:
    """Where one share's tensors lie."""

    digest: Digest
    facts: Mapping[str, TensorFact]

    def read(self, key: str, store: ByteStore, device: torch.device) -> Tensor:
        """Raises: BlobDamaged."""
        return read_tensor(store, self.digest, self.facts[key]).to(device)


@dataclass(frozen=True, slots=True)
class Dependent:
    """A tensor of the result, with the files of those who change it."""

    composition: Composition
    files: tuple[File, ...]
    """In the order of the composition's shares."""

    @property
    def tensor(self) -> str:
        return self.composition.tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what a share brings whole; else of the rows that an adapter brings, or of the bias that it adds."""
        for share in self.composition.shares:
            if share.is_whole and share.replacement is not None:
                return share.replacement.shape
        rows = sum(len(rows) for rows in self.composition.token_rows().values())
        for share in self.composition.shares:
            if share.replacement is not None:
                return (rows, share.replacement.shape[1])
        (first, *_) = (share.module for share in self.composition.shares if share.module is not None)
        return (first.out_features,)

    @property
    def copied(self) -> tuple[Digest, TensorFact] | None:
        """Where the whole result stands already, to the last bit."""
        index = self.composition.expansion().copied
        if index is None or self.composition.token_rows():
            return None
        replacement = self.composition.shares[index].replacement
        file = self.files[index]
        return None if replacement is None else (file.digest, file.facts[replacement.key])

    def load(self, store: ByteStore, device: torch.device) -> "Values":
        """What is held while the tensor is computed. Raises: BlobDamaged."""
        needed = self.composition.needed()
        held = []
        for index, (share, file) in enumerate(zip(self.composition.shares, self.files, strict=True)):
            delta = lengths = places = rows = None
            if share.module is not None and (Source.DELTA, index) in needed:
                delta = delta_of(share.module, file, store, device, is_bias=self.composition.is_bias)
            if share.module is not None and (Source.NORMED, index) in needed:
                lengths = vector_of(share.module.magnitude_key, file, store, device)
            if share.replacement is not None and share.replacement.rows is not None:
                places = torch.tensor(share.replacement.rows, device=device)
                rows = file.read(share.replacement.key, store, device).double()
            held.append(Held(delta, lengths, places, rows))
        of_rows = {rows: self.composition.expansion(shares) for shares, rows in self.composition.token_rows().items()}
        return Values(self, self.composition.expansion(), of_rows, tuple(held), store, device)


@dataclass(frozen=True, slots=True)
class Held:
    """Of one share; float64."""

    delta: tuple[Tensor, Tensor] | None
    """A [R, columns] and B [rows, R] as the base stores the tensor, the scaling in B."""
    lengths: Tensor | None
    """DoRA's magnitudes, [out]."""
    places: Tensor | None
    """Of trained tokens: the rows that they replace, whole numbers, in the order of the file."""
    rows: Tensor | None
    """The trained tokens, [rows, columns]."""


@dataclass(frozen=True, slots=True)
class Values:
    """A tensor as a matrix of rows by everything else, computed in float64."""

    dependent: Dependent
    default: Expansion
    of_rows: Mapping[tuple[int, ...], Expansion]
    """Of the rows that trained tokens replace."""
    held: tuple[Held, ...]
    store: ByteStore
    device: torch.device

    def rows_at_once(self, rows: int, columns: int) -> int:
        """All, where the outputs are columns whose lengths are needed."""
        if self.dim == 0 and any(one.lengths is not None for one in self.held):
            return rows
        return max(1, tile_values // max(columns, 1))

    @property
    def dim(self) -> int:
        """Of the inputs."""
        shares = self.dependent.composition.shares
        return 0 if any(share.module is not None and share.module.is_transposed for share in shares) else 1

    def tile(self, base: Tensor | None, first: int, last: int, columns: int) -> Tensor:
        """Rows of the tensor; [rows, columns], float64, new memory. `base` are those of the base, of any floating dtype.

        Raises: BlobDamaged.
        """
        bounds = first, last, columns
        result = self.sum_of(self.default, base, bounds)
        for replaced, expansion in self.of_rows.items():
            here = replaced[bisect_left(replaced, first) : bisect_left(replaced, last)]
            if here:
                places = torch.tensor(here, device=self.device) - first
                result[places] = self.sum_of(expansion, base, bounds)[places]
        return result

    def deltas(self, rows: int) -> Tensor:
        """What is added to a base's bias that is not at hand; [rows], float64."""
        result = torch.zeros(rows, 1, dtype=torch.float64, device=self.device)
        for term in self.default.terms:
            delta = self.held[term.share].delta if term.source is Source.DELTA else None
            if delta is not None:
                result.addmm_(delta[1], delta[0], alpha=term.coefficient)
        return result.flatten()

    def token_rows(self) -> Tensor:
        """The replaced rows alone, ascending, where the base is not needed to know them; [rows, columns], float64."""
        numbers: list[int] = []
        parts: list[Tensor] = []
        for replaced, expansion in self.of_rows.items():
            parts.append(sum_of([term.coefficient * self.rows_of(term.share, replaced) for term in expansion.terms]))
            numbers += replaced
        return torch.cat(parts)[torch.tensor(numbers, device=self.device).argsort()]

    def rows_of(self, index: int, rows: Sequence[int]) -> Tensor:
        """Trained tokens of one share, in the order of `rows`."""
        replacement, held = self.dependent.composition.shares[index].replacement, self.held[index].rows
        if replacement is None or replacement.rows is None or held is None:
            raise ValueError(f"share {index} of {self.dependent.tensor} replaces no rows")
        places = {row: place for place, row in enumerate(replacement.rows)}
        return held[torch.tensor([places[row] for row in rows], device=self.device)]

    def sum_of(self, expansion: Expansion, base: Tensor | None, bounds: tuple[int, int, int]) -> Tensor:
        first, last, columns = bounds
        normed: dict[int, Tensor] = {}

        def total(terms: Sum) -> Tensor:
            result = torch.zeros(last - first, columns, dtype=torch.float64, device=self.device)
            for term in terms:
                delta = self.held[term.share].delta if term.source is Source.DELTA else None
                if delta is not None:
                    result.addmm_(delta[1][first:last], delta[0], alpha=term.coefficient)
                elif term.source is Source.BASE and base is not None:
                    result.add_(base.double(), alpha=term.coefficient)
                elif term.source is Source.REPLACEMENT:
                    result.add_(self.replacement(term.share, bounds), alpha=term.coefficient)
                elif term.source is Source.NORMED:
                    result.add_(normed[term.share], alpha=term.coefficient)
                else:
                    raise ValueError(f"{self.dependent.tensor} has nothing for {term}")
            return result

        for index, terms in expansion.normed.items():
            lengths = self.held[index].lengths
            if lengths is None:
                raise ValueError(f"share {index} of {self.dependent.tensor} has no magnitudes")
            normed[index] = with_lengths(total(terms), lengths[first:last] if self.dim == 1 else lengths, self.dim)
        return total(expansion.terms)

    def replacement(self, index: int, bounds: tuple[int, int, int]) -> Tensor:
        """Rows of what a share brings; of trained tokens those alone, in their places."""
        first, last, columns = bounds
        share, file, held = self.dependent.composition.shares[index], self.dependent.files[index], self.held[index]
        if held.places is not None and held.rows is not None:
            result = torch.zeros(last - first, columns, dtype=torch.float64, device=self.device)
            is_here = (held.places >= first) & (held.places < last)
            result[held.places[is_here] - first] = held.rows[is_here]
            return result
        if share.replacement is None:
            raise ValueError(f"share {index} of {self.dependent.tensor} brings no values")
        fact = file.facts[share.replacement.key]
        start = fact.start + first * columns * torch_dtypes[fact.dtype].itemsize
        values = read_values(self.store, file.digest, fact.dtype, start, (last - first) * columns)
        return values.reshape(last - first, columns).to(self.device).double()


def dependents_of(plan: Plan, files: Mapping[UUID, MemberFiles], store: ByteStore) -> list[Dependent]:
    """The tensors of the result that are no sum of products, sorted by name.

    Raises: UnsupportedFeature, ReplacementConflict, ShapeMismatch, BlobDamaged.
    """
    found = [composition for composition in compositions_of(plan, files) if not composition.is_plain]
    in_plan = [member.content_digest for member in plan.members]
    for composition in found:
        check_dependent(composition, in_plan, plan.method, attrgetter("content_digest"))
    members = {share.member.version for composition in found for share in composition.shares}
    held = {
        version: File(files[version].weights.digest, read_facts(store, files[version].weights)) for version in members
    }
    return [
        Dependent(composition, tuple(held[share.member.version] for share in composition.shares))
        for composition in found
    ]


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(dim=0)


def delta_of(
    module: Module, file: File, store: ByteStore, device: torch.device, *, is_bias: bool
) -> tuple[Tensor, Tensor]:
    """A and B in the orientation of the base's tensor; a bias is a column. Raises: BlobDamaged."""
    if is_bias:
        bias = vector_of(module.bias_key, file, store, device)
        return torch.ones(1, 1, dtype=torch.float64, device=device), (bias * module.scaling).unsqueeze(1)
    a, b = (file.read(key, store, device).flatten(1).double() for key in (module.a_key, module.b_key))
    factors = Factors(a, b, module.scaling)
    if module.is_transposed:
        factors = factors.transposed()
    return factors.a, factors.b * factors.gain


def vector_of(key: str | None, file: File, store: ByteStore, device: torch.device) -> Tensor:
    """A value for each output, [out], float64. Raises: BlobDamaged."""
    if key is None:
        raise ValueError("the module has no such tensor")
    return file.read(key, store, device).flatten().double()


def matrix_of(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a tensor, its first dimension by all others; a number is one row."""
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def bounds_of(rows: int, rows_at_once: int) -> Iterator[tuple[int, int]]:
    for first in range(0, rows, rows_at_once):
        yield first, min(first + rows_at_once, rows)
