"""What the bytes of an upload are, found out while they stream through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.domain.adapter import TensorFact
from app.domain.git import blob_sha1, largest_regular_bytes
from app.errors import ArchiveRefused, InvalidSafetensors, NonFiniteValues, PickleRefused
from app.formats.header import (
    Header,
    HeaderRefused,
    Reason,
    largest_header_bytes,
    length_bytes,
    library_refuses,
    read_header,
)

beginning_bytes = 512
"""As much as is kept to tell a kind of file: tar has its mark at byte 257."""

magics: tuple[tuple[bytes, int, str], ...] = (
    (b"PK\x03\x04", 0, "zip"),
    (b"PK\x05\x06", 0, "zip"),
    (b"\x1f\x8b", 0, "gzip"),
    (b"BZh", 0, "bzip2"),
    (b"\xfd7zXZ\x00", 0, "xz"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd"),
    (b"7z\xbc\xaf\x27\x1c", 0, "7z"),
    (b"Rar!\x1a\x07", 0, "rar"),
    (b"ustar", 257, "tar"),
)

not_finite_mask: Mapping[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "C64": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F8_E5M2": (np.uint8, 0x7C),
    "F8_E4M3": (np.uint8, 0x7F),
    "F8_E8M0": (np.uint8, 0xFF),
}
"""An element is NaN or infinite exactly when all these bits are set (IEEE 754: the exponent; OCP 8-bit: E4M3 has no
infinity and one NaN per sign, E8M0 one NaN)."""

Bits = NDArray[np.unsignedinteger[Any]]

block_elements = 1 << 15
"""Elements that are checked at a time: what fits the processor's cache."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one file; kept beside its digest, so that no file is read twice."""

    size_bytes: int
    kind: str
    """`safetensors`, `pickle`, `zip`, `gzip`, `tar`, …, or `other`: by the bytes alone. `safetensors` is a claim: it may
    have a fault."""
    tensors: tuple[TensorFact, ...] = ()
    """By offset; empty when there is a fault."""
    metadata: dict[str, str] = field(default_factory=dict)
    fault: tuple[Reason, str] | None = None
    """Why this is no valid safetensors file, with a sentence; None when it is one."""
    not_finite: str | None = None
    """The first tensor, by offset, that holds NaN or an infinity."""
    git_sha1: str | None = None
    """What git calls the file; None of one that is so large that git would only hold a pointer to it."""

    def check_weights(self, path: str) -> None:
        """Whether these can be weights: valid safetensors with finite values. `path` is for the message.

        Raises: PickleRefused, ArchiveRefused, InvalidSafetensors, NonFiniteValues.
        """
        if self.fault is not None:
            if self.kind == "pickle":
                raise PickleRefused(path)
            if self.kind not in ("safetensors", "other"):
                raise ArchiveRefused(path, self.kind)
            raise InvalidSafetensors(path, *self.fault)
        if self.not_finite is not None:
            raise NonFiniteValues(path, self.not_finite)

    def as_json(self) -> dict[str, Any]:
        """A JSON value for a database row."""
        return {
            "size_bytes": self.size_bytes,
            "kind": self.kind,
            "tensors": [
                [tensor.name, tensor.dtype, list(tensor.shape), tensor.start, tensor.end] for tensor in self.tensors
            ],
            "metadata": self.metadata,
            "fault": None if self.fault is None else list(self.fault),
            "not_finite": self.not_finite,
            "git_sha1": self.git_sha1,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`."""
        fault = value["fault"]
        return cls(
            value["size_bytes"],
            value["kind"],
            tuple(
                TensorFact(name, dtype, tuple(shape), start, end) for name, dtype, shape, start, end in value["tensors"]
            ),
            value["metadata"],
            None if fault is None else (Reason(fault[0]), fault[1]),
            value["not_finite"],
            value["git_sha1"],
        )


def kind_of(beginning: bytes) -> str:
    """The kind of file that begins with these (up to 512) bytes."""
    if looks_like_safetensors(beginning):
        return "safetensors"
    if beginning[:1] == b"\x80" and beginning[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    for magic, offset, kind in magics:
        if beginning[offset : offset + len(magic)] == magic:
            # torch.save: a zip archive whose first entry is the pickle
            return "pickle" if kind == "zip" and b"data.pkl" in beginning else kind
    return "other"


def looks_like_safetensors(beginning: bytes | bytearray) -> bool:
    """A length that a file could have, and the brace that the header must begin with."""
    return (
        0 < int.from_bytes(beginning[:length_bytes], "little") < 1 << 40
        and beginning[length_bytes : length_bytes + 1] == b"{"
    )


class FiniteCheck:
    """Looks at the tensors of one header as their bytes stream through, in chunks whose borders mean nothing.

    Memory: one block. A tensor, and even an element, may span chunks.
    """

    def __init__(self, header: Header) -> None:
        self.tensors = iter(header.tensors)
        self.name = ""
        self.dtype = ""
        self.remaining = 0
        """Bytes of the current tensor that have not come yet."""
        self.split = b""
        """The first bytes of an element whose rest has not come yet."""
        self.not_finite: str | None = None
        self.scratch = np.empty(block_elements, np.uint64)

    def feed(self, chunk: memoryview) -> None:
        while chunk and self.not_finite is None:
            while self.remaining == 0:
                tensor = next(self.tensors, None)
                if tensor is None:
                    return
                self.name, self.dtype, self.remaining = tensor.name, tensor.dtype, tensor.size_bytes
            part = chunk[: self.remaining]
            chunk = chunk[len(part) :]
            self.remaining -= len(part)
            if self.dtype in not_finite_mask and self.holds_not_finite(part):
                self.not_finite = self.name

    def holds_not_finite(self, part: memoryview) -> bool:
        """Whether the next bytes of the current tensor complete an element that is NaN or infinite."""
        unsigned, mask = not_finite_mask[self.dtype]
        item_bytes = np.dtype(unsigned).itemsize
        if self.split:
            wanted = item_bytes - len(self.split)
            self.split += bytes(part[:wanted])
            part = part[wanted:]
            if len(self.split) < item_bytes:
                return False
            element, self.split = self.split, b""
            if self.any_not_finite(np.frombuffer(element, unsigned), unsigned(mask)):
                return True
        whole_bytes = len(part) // item_bytes * item_bytes
        self.split = bytes(part[whole_bytes:])
        return self.any_not_finite(np.frombuffer(part[:whole_bytes], unsigned), unsigned(mask))

    def any_not_finite(self, bits: Bits, mask: np.unsignedinteger[Any]) -> bool:
        """bits: [n], the elements as unsigned integers; safetensors and the machine are both little endian."""
        for start in range(0, len(bits), block_elements):
            block = bits[start : start + block_elements]
            masked = self.scratch.view(bits.dtype)[: len(block)]
            np.bitwise_and(block, mask, out=masked)
            if masked.max() == mask:
                return True
        return False


class Inspector:
    """Fed with an upload from its first byte to its last; never raises, whatever the bytes.

    Memory is bounded by the header's limit (8 MiB of text), a small file (1 MiB) and the chunk. One inspector is one thread's.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self.small = bytearray()
        """The whole file, as long as it is small."""
        self.head = bytearray()
        """The file's beginning: until it is known what it is, then the length and the header."""
        self.header_end: int | None = None
        """Where the tensors begin; None until known, or when the file is no safetensors file."""
        self.header: Header | None = None
        self.fault: tuple[Reason, str] | None = None
        self.check: FiniteCheck | None = None

    def feed(self, chunk: bytes | memoryview) -> None:
        rest = memoryview(chunk)
        self.size_bytes += len(rest)
        if self.size_bytes <= largest_regular_bytes:
            self.small += rest
        else:
            self.small.clear()
        # at most three rounds: up to the length, to the end of the header, and (a file of another kind) to its beginning
        while rest and self.check is None and self.fault is None:
            wanted = self.wanted_bytes() - len(self.head)
            if wanted <= 0:
                return
            self.head += rest[:wanted]
            rest = rest[wanted:]
            self.begin()
        if self.check is not None:
            self.check.feed(rest)

    def wanted_bytes(self) -> int:
        """How much of the file the head should hold."""
        if self.header_end is not None:
            return self.header_end
        return length_bytes + 1 if len(self.head) <= length_bytes else beginning_bytes

    def begin(self) -> None:
        """Find out where the header ends, and read it once it is there."""
        if self.header_end is None and looks_like_safetensors(self.head):
            header_bytes = int.from_bytes(self.head[:length_bytes], "little")
            if header_bytes > largest_header_bytes:
                detail = f"the header has {header_bytes} bytes, at most {largest_header_bytes}"
                self.fault = (Reason.HEADER_TOO_LARGE, detail)
            else:
                self.header_end = length_bytes + header_bytes
        if len(self.head) == self.header_end:
            try:
                self.header = read_header(bytes(self.head[length_bytes:]))
            except HeaderRefused as refused:
                self.fault = (refused.reason, refused.detail)
            else:
                self.check = FiniteCheck(self.header)

    def finish(self) -> Inspection:
        """What the bytes were, all of them having been fed."""
        kind = kind_of(bytes(self.head[:beginning_bytes]))
        fault = self.fault or self.fault_at_end()
        git_sha1 = blob_sha1(self.small) if self.size_bytes <= largest_regular_bytes else None
        if fault is not None or self.header is None:
            return Inspection(self.size_bytes, kind, fault=fault, git_sha1=git_sha1)
        return Inspection(
            self.size_bytes,
            kind,
            self.header.tensors,
            self.header.metadata,
            not_finite=self.check.not_finite if self.check is not None else None,
            git_sha1=git_sha1,
        )

    def fault_at_end(self) -> tuple[Reason, str] | None:
        if self.header_end is None:
            if 0 < self.size_bytes <= length_bytes:
                return Reason.TRUNCATED, f"{self.size_bytes} bytes are no safetensors file"
            return Reason.NOT_SAFETENSORS, "it does not begin with the length of a header and {"
        if self.header is None:
            return Reason.TRUNCATED, f"the header should end at byte {self.header_end}, the file has {self.size_bytes}"
        difference = self.size_bytes - self.header.file_bytes
        if difference < 0:
            return Reason.TRUNCATED, f"{-difference} bytes of the tensors are missing"
        if difference > 0:
            return Reason.TRAILING_BYTES, f"{difference} bytes behind the last tensor belong to none"
        refusal = library_refuses(bytes(self.head[length_bytes:]), self.header)
        return None if refusal is None else (Reason.LIBRARY_REFUSES, refusal)
