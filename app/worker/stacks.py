"""The members of a plan, module by module."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import torch

from app.domain.adapter import Adapter, Module, TensorFact
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import Member, Plan
from app.domain.recipe import Method, Output, Trunk, WeightFile
from app.errors import ShapeMismatch, UnknownMethod, UnsupportedFeature
from app.kernel.convolutions import spread
from app.kernel.experts import split
from app.kernel.factors import Branch, Factors
from app.kernel.methods import merge_factors, merge_tiles
from app.kernel.tiles import Tiled
from app.kernel.vectorized import concatenate
from app.merge.composition import Composition, compose
from app.merge.methods import methods
from app.objects.store import ByteStore
from app.worker.tensors import read_facts, read_tensor


@dataclass(frozen=True, slots=True)
class MemberFiles:
    """One member's adapter and the file with its weights."""

    adapter: Adapter
    weights: WeightFile


@dataclass(frozen=True, slots=True)
class Part:
    """What one member does to one module."""

    member: Digest
    """The member's content digest: what an error calls it, since every reader of the merge knows it by another name."""
    module: Module
    weight: float
    is_branch: bool
    """Put to the method; else added linearly, at its weight."""
    digest: Digest
    a: TensorFact
    b: TensorFact

    def load(self, store: ByteStore, device: torch.device, gain: float) -> list[Factors]:
        """Of each of the module's matrices; a convolution's as those of one matrix. Raises: BlobDamaged."""
        a, b = (read_tensor(store, self.digest, fact).to(device).flatten(1) for fact in (self.a, self.b))
        if self.module.groups > 1:
            b = spread(b, self.module.groups)
        return [Factors(*pair, gain) for pair in split(a, b, self.module.experts)]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that is merged in one matrix of the base, loaded."""

    summed: Sequence[Factors]
    """What is added linearly."""
    branches: Sequence[Branch]
    """What the method takes."""
    method: Method

    def factors(self) -> list[Factors]:
        """The result as factors to be summed, where it is low rank; for one thread, since a method may decompose."""
        merged = merge_factors(self.method.name, self.branches, self.method.parameters) if self.branches else []
        return [*self.summed, *merged]

    def tiled(self, dtype: torch.dtype = torch.float64) -> Tiled:
        """The result of an element-wise method. `dtype` is to compute in; see `Tiles`."""
        tiled = merge_tiles(self.method.name, self.branches, self.method.parameters, dtype)
        return replace(tiled, summed=concatenate(self.summed, tiled.tiles.dtype)) if self.summed else tiled

    def transposed(self) -> "Matrix":
        """As a base has it that stores the inputs before the outputs."""
        summed = [factors.transposed() for factors in self.summed]
        return Matrix(summed, [branch.transposed() for branch in self.branches], self.method)


@dataclass(frozen=True, slots=True)
class ModuleStack:
    """All that is merged in one module: what is summed in the order of the members' content digests, and the branches."""

    name: str
    parts: tuple[Part, ...]
    method: Method

    @property
    def module(self) -> Module:
        """The first member's; the others agree with it on kind and shape."""
        return self.parts[0].module

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.module.out_features, self.module.in_features

    @property
    def is_low_rank(self) -> bool:
        """The result is factors; else it is there in tiles only."""
        return methods[self.method.name].is_low_rank or not any(part.is_branch for part in self.parts)

    @property
    def rank(self) -> int:
        """Of the exact result."""
        of_branches = sum(part.module.rank for part in self.parts if part.is_branch)
        of_summed = sum(part.module.rank for part in self.parts if not part.is_branch)
        return methods[self.method.name].space.rank(of_summed, of_branches, *self.shape)

    def load(self, store: ByteStore, device: torch.device) -> list[Matrix]:
        """One matrix, of experts one for each. Raises: BlobDamaged."""
        summed: list[list[Factors]] = [[] for _ in range(self.module.experts)]
        branches: list[list[Branch]] = [[] for _ in summed]
        for part in self.parts:
            gain = part.module.scaling if part.is_branch else part.weight * part.module.scaling
            for expert, factors in enumerate(part.load(store, device, gain)):
                if part.is_branch:
                    branches[expert].append(Branch(factors, part.weight, self.identity(part, expert)))
                else:
                    summed[expert].append(factors)
        return [Matrix(*members, self.method) for members in zip(summed, branches, strict=True)]

    def identity(self, part: Part, expert: int) -> str:
        """By which a branch's random numbers go."""
        name = self.name if self.module.experts == 1 else f"{self.name}\n{expert}"
        return f"{part.member}\n{name}"

    def rank_of(self, output: Output) -> int | None:
        """Of the module in the result; None where an energy decides."""
        if output.rank is None:
            return self.rank
        asked = output.rank_of(self.name)
        return None if asked is None else min(asked, self.rank, *self.shape)


def stacks_of(plan: Plan, files: Mapping[UUID, MemberFiles], store: ByteStore) -> list[ModuleStack]:
    """What is merged in each module, sorted by the module's name; a module that a member lacks is no part of it.

    With a referenced trunk the branches alone are merged. A branch at weight 0 has no vote: it is summed, at weight 0.
    Planning has refused what is refused here; a worker does not build on that.
    Raises: UnknownMethod, UnsupportedFeature, ShapeMismatch, BlobDamaged.
    """
    if plan.method.name not in methods:
        raise UnknownMethod(plan.method.name, sorted(methods))
    facts_of_method = methods[plan.method.name]
    places = {member.content_digest: place for place, member in enumerate(members_in_order(plan))}
    compositions = [composition for composition in compositions_of(plan, files) if composition.is_plain]
    versions = {share.member.version for composition in compositions for share in composition.shares}
    facts = {version: read_facts(store, files[version].weights) for version in versions}
    stacks = []
    for composition in compositions:
        parts = [
            Part(
                member=share.member.content_digest,
                module=share.module,
                weight=share.member.weight,
                is_branch=share.member.role is Role.BRANCH and share.member.weight != 0 and not facts_of_method.is_sum,
                digest=files[share.member.version].weights.digest,
                a=facts[share.member.version][share.module.a_key],
                b=facts[share.member.version][share.module.b_key],
            )
            for share in sorted(composition.shares, key=lambda share: places[share.member.content_digest])
            if share.module is not None
        ]
        check_agreement(parts[0].module.name, parts)
        stacks.append(ModuleStack(parts[0].module.name, tuple(parts), plan.method))
    return stacks


def compositions_of(plan: Plan, files: Mapping[UUID, MemberFiles]) -> list[Composition]:
    """Every tensor that the plan changes, with who changes it. Raises: UnsupportedFeature."""
    is_referenced = plan.output.trunk is Trunk.REFERENCED
    members = plan.branches if is_referenced else plan.members
    for member in members:
        for feature in files[member.version].adapter.unsupported:
            raise UnsupportedFeature(feature, member.content_digest)
    return compose(members, {member.version: files[member.version].adapter for member in members})


def members_in_order(plan: Plan) -> tuple[Member, ...]:
    """By content digest; for a method that minds the order, the branches in the order of the layers."""
    if methods[plan.method.name].ignores_order:
        return plan.members
    return tuple(sorted(plan.trunk, key=lambda member: member.content_digest)) + plan.branches


def check_agreement(name: str, parts: Sequence[Part]) -> None:
    """Raises: ShapeMismatch, UnsupportedFeature when one member's module is another kind of layer than the first's."""
    first = parts[0]
    for part in parts[1:]:
        expected = (first.module.experts, first.module.out_features, *first.module.a_shape[1:])
        found = (part.module.experts, part.module.out_features, *part.module.a_shape[1:])
        if found != expected:
            raise ShapeMismatch(name, expected, found, first.member)
        if part.module.kind is not first.module.kind or part.module.groups != first.module.groups:
            raise UnsupportedFeature(f"{part.module.kind} over {first.module.kind}", part.member, name)


def batches(stacks: Sequence[ModuleStack], output: Output, limit_bytes: int) -> Iterator[list[ModuleStack]]:
    """The stacks in runs of one shape and rank, each with joined float64 factors of at most `limit_bytes` (or alone).

    What is there in tiles only comes last and alone.
    """
    batch: list[ModuleStack] = []

    def key(stack: ModuleStack) -> tuple[bool, tuple[int, int], int, int]:
        return not stack.is_low_rank, stack.shape, stack.rank, stack.rank_of(output) or 0

    for stack in sorted(stacks, key=lambda stack: (*key(stack), stack.name)):
        joined_bytes = 8 * sum(stack.shape) * stack.rank * stack.module.experts
        is_same = bool(batch) and key(batch[0]) == key(stack) and stack.is_low_rank
        if batch and (not is_same or joined_bytes * (len(batch) + 1) > limit_bytes):
            yield batch
            batch = []
        batch.append(stack)
    if batch:
        yield batch
