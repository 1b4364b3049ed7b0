"""What an adapter of the result holds beside its factors: biases of B, and tensors that it brings whole."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from app.domain.adapter import ReplacementKind
from app.errors import BaseNeeded
from app.formats.header import size_of_dtype
from app.kernel.rounding import round_once
from app.merge.dependents import check_for_adapter
from app.objects.store import ByteStore
from app.worker.dependents import Dependent, bounds_of, matrix_of
from app.worker.stacks import ModuleStack
from app.worker.tensors import Entry, bytes_of, check_finite, torch_dtypes


class Beside:
    """The dependent tensors of a result that is an adapter, under PEFT's names."""

    def __init__(
        self,
        stacks: Sequence[ModuleStack],
        dependents: Sequence[Dependent],
        dtype: str,
        store: ByteStore,
        device: torch.device,
    ) -> None:
        """Raises: BaseNeeded, UnsupportedFeature."""
        self.targets = frozenset(stack.name for stack in stacks)
        self.dtype, self.store, self.device = dtype, store, device
        self.biases: dict[str, Dependent] = {}
        """By module: what is added to the base's bias."""
        self.whole: list[Dependent] = []
        for dependent in dependents:
            composition = dependent.composition
            check_for_adapter(composition, attrgetter("content_digest"))
            if not composition.is_added:
                self.whole.append(dependent)
            elif composition.owner in self.targets:
                self.biases[composition.owner] = dependent
            else:
                # the weight is brought whole, and has no B whose bias it could be
                raise BaseNeeded("lora_bias", composition.shares[0].member.content_digest, composition.tensor)

    @property
    def has_bias(self) -> bool:
        """For PEFT every B has a bias, or none."""
        return bool(self.biases)

    def bias_of(self, stack: ModuleStack) -> memoryview:
        """B's bias of a module, zeros where nobody adds one. Raises: ResultOverflow, BlobDamaged."""
        total = torch.zeros(stack.shape[0], dtype=torch.float64, device=self.device)
        if stack.name in self.biases:
            dependent = self.biases[stack.name]
            # PEFT adds the base's own bias
            total = dependent.load(self.store, self.device).deltas(stack.shape[0])
        return self.rounded(total, f"{stack.name}.bias")

    def entries(self, *, wide: bool) -> list[Entry]:
        """Of the tensors that are brought whole and have values wider than the factors', or all others."""
        return [self.entry_of(dependent) for dependent in self.chosen(wide)]

    def parts(self, *, wide: bool) -> Iterator[memoryview]:
        """Their bytes. Raises: ResultOverflow, BlobDamaged."""
        for dependent in self.chosen(wide):
            if self.dtype_of(dependent) != self.dtype:
                yield from self.copy_of(dependent)
            elif dependent.composition.is_whole:
                yield from self.values_of(dependent)
            else:
                yield self.rounded(dependent.load(self.store, self.device).token_rows(), dependent.tensor)

    def chosen(self, wide: bool) -> list[Dependent]:
        """The widest first."""
        width = size_of_dtype[self.dtype]
        widths = {dependent.tensor: size_of_dtype[self.dtype_of(dependent)] for dependent in self.whole}
        found = [dependent for dependent in self.whole if (widths[dependent.tensor] > width) is wide]
        return sorted(found, key=lambda dependent: -widths[dependent.tensor])

    def dtype_of(self, dependent: Dependent) -> str:
        """Numbers that are no floating ones keep their dtype: planning has seen that they are copied."""
        copied = dependent.copied
        return self.dtype if copied is None or copied[1].dtype in torch_dtypes else copied[1].dtype

    def entry_of(self, dependent: Dependent) -> Entry:
        composition = dependent.composition
        owner, _, parameter = dependent.tensor.rpartition(".")
        if composition.token_rows() and not composition.is_whole:
            parameter = "token_adapter.trainable_tokens_delta"
        elif parameter == "bias" and owner in self.targets:
            parameter = "base_layer.bias"
        # a parameter of the whole model has no owner
        name = ".".join(part for part in ("base_model.model", owner, parameter) if part)
        return Entry(name, self.dtype_of(dependent), dependent.shape)

    def copy_of(self, dependent: Dependent) -> Iterator[memoryview]:
        if dependent.copied is None:
            raise ValueError(f"{dependent.tensor} is no copy")
        digest, fact = dependent.copied
        part = memoryview(bytearray(fact.size_bytes))
        self.store.read_into(digest, fact.start, part)
        yield part

    def values_of(self, dependent: Dependent) -> Iterator[memoryview]:
        values = dependent.load(self.store, self.device)
        rows, columns = matrix_of(dependent.shape)
        for first, last in bounds_of(rows, values.rows_at_once(rows, columns)):
            yield self.rounded(values.tile(None, first, last, columns), dependent.tensor)

    def rounded(self, values: Tensor, name: str) -> memoryview:
        rounded = round_once(values, torch_dtypes[self.dtype])
        check_finite(rounded, name)
        return bytes_of(rounded)

    def settings(self) -> dict[str, Any]:
        """The keys of adapter_config.json that say so."""
        saved, biases, tokens = set(), set(), {}
        for dependent in self.whole:
            composition = dependent.composition
            kinds = {share.replacement.kind for share in composition.shares if share.replacement is not None}
            if composition.token_rows() and not composition.is_whole:
                tokens[composition.owner] = sorted(row for rows in composition.token_rows().values() for row in rows)
            elif kinds == {ReplacementKind.BIAS}:
                biases.add(composition.owner)
            else:
                saved.add(composition.owner)
        settings: dict[str, Any] = {}
        if self.has_bias:
            settings["lora_bias"] = True
        if biases:
            settings["bias"] = "lora_only" if biases <= self.targets else "all"
        if saved:
            settings["modules_to_save"] = roots(saved)
        if tokens:
            settings["trainable_token_indices"] = tokens
        return settings


def roots(modules: set[str]) -> list[str]:
    """The modules that are in no other of them, sorted: PEFT wraps a module with all that is in it."""
    return [
        module for module in sorted(modules) if not any(module.startswith(f"{other}.") for other in modules - {module})
    ]
