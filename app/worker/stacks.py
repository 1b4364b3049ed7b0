"""The members of a plan, module by module."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import torch

from app.domain.adapter import Adapter, Module, ModuleKind, TensorFact
from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import Plan
from app.domain.recipe import Trunk, WeightFile
from app.errors import ShapeMismatch, UnsupportedFeature
from app.kernel.factors import Factors
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
    gain: float
    """The member's weight · the module's scaling."""
    digest: Digest
    a: TensorFact
    b: TensorFact


@dataclass(frozen=True, slots=True)
class ModuleStack:
    """All that is summed in one module, in the order of the members' content digests."""

    name: str
    parts: tuple[Part, ...]

    @property
    def module(self) -> Module:
        """The first member's; the others agree with it on kind and shape."""
        return self.parts[0].module

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.module.out_features, self.module.in_features

    @property
    def rank(self) -> int:
        """The sum of the ranks."""
        return sum(part.module.rank for part in self.parts)

    def load(self, store: ByteStore, device: torch.device) -> list[Factors]:
        """Raises: BlobDamaged."""
        return [
            Factors(
                a=read_tensor(store, part.digest, part.a).to(device),
                b=read_tensor(store, part.digest, part.b).to(device),
                gain=part.gain,
            )
            for part in self.parts
        ]


def stacks_of(plan: Plan, files: Mapping[UUID, MemberFiles], store: ByteStore) -> list[ModuleStack]:
    """What is summed in each module, sorted by the module's name; a module that a member lacks is no part of it.

    With a referenced trunk the branches alone are summed. Planning has refused what is refused here; a worker does not
    build on that.
    Raises: UnsupportedFeature, ShapeMismatch, BlobDamaged.
    """
    parts: dict[str, list[Part]] = {}
    for member in plan.members:
        if plan.output.trunk is Trunk.REFERENCED and member.role is not Role.BRANCH:
            continue
        adapter, weights = files[member.version].adapter, files[member.version].weights
        if adapter.unsupported:
            raise UnsupportedFeature(adapter.unsupported[0], member.content_digest)
        facts = read_facts(store, weights)
        for module in adapter.modules:
            if module.kind is ModuleKind.CONV2D:
                raise UnsupportedFeature("conv2d", member.content_digest, module.name)
            parts.setdefault(module.name, []).append(
                Part(
                    member=member.content_digest,
                    module=module,
                    gain=member.weight * module.scaling,
                    digest=weights.digest,
                    a=facts[module.a_key],
                    b=facts[module.b_key],
                )
            )
    for name, summands in parts.items():
        check_agreement(name, summands)
    return [ModuleStack(name, tuple(parts[name])) for name in sorted(parts)]


def check_agreement(name: str, parts: Sequence[Part]) -> None:
    """Raises: ShapeMismatch, UnsupportedFeature when one member's module is another kind of layer than the first's."""
    first = parts[0]
    for part in parts[1:]:
        expected = (first.module.out_features, first.module.in_features)
        found = (part.module.out_features, part.module.in_features)
        if found != expected:
            raise ShapeMismatch(name, expected, found, first.member)
        if part.module.kind is not first.module.kind:
            raise UnsupportedFeature(f"{part.module.kind} over {first.module.kind}", part.member, name)


def batches(stacks: Sequence[ModuleStack], limit_bytes: int) -> Iterator[list[ModuleStack]]:
    """The stacks in runs of one shape and rank, each with joined float64 factors of at most `limit_bytes` (or alone)."""
    batch: list[ModuleStack] = []
    for stack in sorted(stacks, key=lambda stack: (stack.shape, stack.rank, stack.name)):
        joined_bytes = 8 * sum(stack.shape) * stack.rank
        is_same = bool(batch) and (batch[0].shape, batch[0].rank) == (stack.shape, stack.rank)
        if batch and (not is_same or joined_bytes * (len(batch) + 1) > limit_bytes):
            yield batch
            batch = []
        batch.append(stack)
    if batch:
        yield batch
