"""Tensors from the store, and safetensors files into it."""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from app.domain.adapter import TensorFact
from app.domain.digest import Digest
from app.domain.recipe import Dtype, WeightFile
from app.errors import ResultOverflow
from app.formats.header import length_bytes, read_header, size_of_dtype
from app.objects.store import ByteStore, Staged

torch_dtypes = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""The dtypes that are computed with, by safetensors' names."""

stored_names = {Dtype.FLOAT32: "F32", Dtype.BFLOAT16: "BF16", Dtype.FLOAT16: "F16"}
"""safetensors' name of what a recipe asks for."""


def read_facts(store: ByteStore, file: WeightFile) -> dict[str, TensorFact]:
    """Every tensor of a safetensors file by name. Raises: BlobDamaged."""
    length = bytearray(length_bytes)
    store.read_into(file.digest, 0, memoryview(length))
    text = bytearray(struct.unpack("<Q", length)[0])
    store.read_into(file.digest, length_bytes, memoryview(text))
    return {tensor.name: tensor for tensor in read_header(bytes(text)).tensors}


def read_values(store: ByteStore, digest: Digest, dtype: str, start: int, count: int) -> Tensor:
    """`count` values of a dtype from byte `start` on; [count], on the CPU. Raises: BlobDamaged."""
    values = torch.empty(count, dtype=torch_dtypes[dtype])
    if count:
        store.read_into(digest, start, bytes_of(values))
    return values


def read_tensor(store: ByteStore, digest: Digest, fact: TensorFact) -> Tensor:
    """Raises: BlobDamaged."""
    return read_values(store, digest, fact.dtype, fact.start, prod(fact.shape)).reshape(fact.shape)


def bytes_of(values: Tensor) -> memoryview:
    """The tensor's own memory where it is contiguous and on the CPU, else that of a copy."""
    return values.contiguous().cpu().flatten().view(torch.uint8).numpy().data


def check_finite(values: Tensor, name: str) -> None:
    """Raises: ResultOverflow for an infinity or NaN in a tensor of the result, `name`."""
    if values.numel() and not all(bound.isfinite() for bound in torch.aminmax(values)):
        raise ResultOverflow(name, str(values.dtype).removeprefix("torch."))


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file to be written."""

    name: str
    dtype: str
    """safetensors' name."""
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * size_of_dtype[self.dtype]


def header_of(entries: Sequence[Entry]) -> bytes:
    """Length and header of the safetensors file that holds these tensors in this order."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for entry in entries:
        end = position + entry.size_bytes
        header[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # readers map the file: the tensors begin at a multiple of eight, as the library's own do
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_tensors(staged: Staged, entries: Sequence[Entry], parts: Iterable[memoryview]) -> None:
    """A whole safetensors file; `parts` are the bytes of the entries, one after another, cut anywhere."""
    staged.write(header_of(entries))
    missing = sum(entry.size_bytes for entry in entries)
    for part in parts:
        staged.write(part)
        missing -= part.nbytes
    if missing:
        raise ValueError(f"{missing} bytes are missing from the tensors that the header announced")


def place_file(store: ByteStore, path: str, content: bytes) -> WeightFile:
    """A small file, stored. Raises: StoreFull."""
    with store.stage() as staged:
        staged.write(content)
        return WeightFile(path, staged.place(), len(content))
