"""The header of a safetensors file, read strictly.

A file is 8 bytes (N, little endian), N bytes of JSON, and the tensors without gap or overlap. The library takes more than
that: duplicate names, control characters, paths as names, unknown fields, shapes of 10,000 dimensions. What is accepted
here is accepted there too (`library_refuses`), and means the same to every reader.
Source: the format's README, github.com/huggingface/safetensors.
"""

import struct
import tempfile
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

from safetensors import SafetensorError, safe_open

from app.domain.adapter import TensorFact
from app.formats.json_text import JsonFault, JsonRefused, holds_nul, parse_json

length_bytes = 8
largest_header_bytes = 8 << 20
most_tensors = 65_536
most_dimensions = 8
dimension_limit = 1 << 48
longest_name = 1024

size_of_dtype = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}
"""Bytes per element. Left out are the library's types of 4 and 6 bits and the FNUZ kinds of AMD: no adapter has them."""


class Reason(StrEnum):
    """The rule of the format that a file breaks."""

    TRUNCATED = "truncated"
    """It ends before the header, or the tensors that the header announces, are complete."""
    HEADER_TOO_LARGE = "header-too-large"
    NOT_SAFETENSORS = "not-safetensors"
    """It does not begin with a length and `{`."""
    NOT_JSON = "not-json"
    TOO_DEEP = "too-deep"
    DUPLICATE_KEY = "duplicate-key"
    LONE_SURROGATE = "lone-surrogate"
    TOO_MANY_TENSORS = "too-many-tensors"
    BAD_NAME = "bad-name"
    SAME_NAME = "same-name"
    """Two names differ in case alone."""
    BAD_METADATA = "bad-metadata"
    BAD_ENTRY = "bad-entry"
    """A tensor's entry is not exactly dtype, shape and data_offsets, or one of them is of the wrong type."""
    UNKNOWN_DTYPE = "unknown-dtype"
    BAD_SHAPE = "bad-shape"
    WRONG_SIZE = "wrong-size"
    """The offsets span another number of bytes than shape and dtype need."""
    OVERLAP = "overlap"
    HOLE = "hole"
    TRAILING_BYTES = "trailing-bytes"
    LIBRARY_REFUSES = "library-refuses"
    """Every rule above holds, and the safetensors library refuses the file all the same."""


class HeaderRefused(ValueError):
    """A header that breaks a rule; the caller knows the file's path."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says; the tensors by offset, which is the order of the file."""

    tensors: tuple[TensorFact, ...]
    metadata: dict[str, str]
    file_bytes: int
    """Size of the whole file: length, header and tensors."""


def read_header(text: bytes) -> Header:
    """The header whose JSON is `text` (the N bytes after the length).

    Raises: HeaderRefused. Time and memory are linear in the text, but for sorting.
    """
    if len(text) > largest_header_bytes:
        raise HeaderRefused(
            Reason.HEADER_TOO_LARGE, f"the header has {len(text)} bytes, at most {largest_header_bytes}"
        )
    if not text.startswith(b"{"):
        raise HeaderRefused(Reason.NOT_SAFETENSORS, "the header does not begin with {")
    try:
        entries = parse_json(text.rstrip(b" "), depth=3)
    except JsonRefused as error:
        raise HeaderRefused(reason_of_fault[error.fault], error.detail) from error
    metadata = read_metadata(entries.pop("__metadata__", {}))
    if len(entries) > most_tensors:
        raise HeaderRefused(Reason.TOO_MANY_TENSORS, f"{len(entries)} tensors, at most {most_tensors}")
    check_names(entries)
    data_start = length_bytes + len(text)
    tensors = sorted(
        (read_entry(name, entry, data_start) for name, entry in entries.items()),
        key=lambda tensor: (tensor.start, tensor.end),
    )
    position = data_start
    for tensor in tensors:
        if tensor.start < position:
            raise HeaderRefused(Reason.OVERLAP, f"tensor {tensor.name!r} overlaps the one before it")
        if tensor.start > position:
            raise HeaderRefused(
                Reason.HOLE, f"{tensor.start - position} bytes before {tensor.name!r} belong to no tensor"
            )
        position = tensor.end
    return Header(tuple(tensors), metadata, position)


reason_of_fault = {
    JsonFault.NOT_JSON: Reason.NOT_JSON,
    JsonFault.NOT_A_NUMBER: Reason.NOT_JSON,
    JsonFault.DUPLICATE_KEY: Reason.DUPLICATE_KEY,
    JsonFault.LONE_SURROGATE: Reason.LONE_SURROGATE,
    JsonFault.TOO_DEEP: Reason.TOO_DEEP,
}


def read_metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise HeaderRefused(Reason.BAD_METADATA, "__metadata__ is not a map of strings to strings")
    if holds_nul(value):
        raise HeaderRefused(Reason.BAD_METADATA, "__metadata__ holds the character U+0000")
    return value


def check_names(entries: dict[str, Any]) -> None:
    folded: dict[str, str] = {}
    for name in entries:
        fault = fault_of_name(name)
        if fault is not None:
            raise HeaderRefused(Reason.BAD_NAME, f"the tensor name {name[:200]!r} {fault}")
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            raise HeaderRefused(Reason.SAME_NAME, f"the tensor names {twin!r} and {name!r} differ in case alone")


def fault_of_name(name: str) -> str | None:
    """Why this cannot be the name of a tensor; None when it can."""
    if not name:
        return "is empty"
    if len(name) > longest_name:
        return f"has {len(name)} characters, at most {longest_name}"
    if not name.isprintable():
        return "holds a control, invisible or bidirectional character"
    if not unicodedata.is_normalized("NFC", name):
        return "is not in Unicode's normal form C"
    if ".." in name or "/" in name or "\\" in name:
        return "looks like a path"
    return None


def read_entry(name: str, entry: Any, data_start: int) -> TensorFact:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise HeaderRefused(Reason.BAD_ENTRY, f"tensor {name!r} needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in size_of_dtype:
        raise HeaderRefused(Reason.UNKNOWN_DTYPE, f"tensor {name!r} has the unknown dtype {str(dtype)[:40]!r}")
    if (
        not is_list_of_sizes(shape)
        or len(shape) > most_dimensions
        or any(extent >= dimension_limit for extent in shape)
    ):
        raise HeaderRefused(
            Reason.BAD_SHAPE, f"the shape of {name!r} is not a list of at most {most_dimensions} integers below 2^48"
        )
    if not is_list_of_sizes(offsets) or len(offsets) != 2:
        raise HeaderRefused(Reason.BAD_ENTRY, f"the data_offsets of {name!r} are not two integers")
    begin, end = offsets
    expected = prod(shape) * size_of_dtype[dtype]
    if end - begin != expected:
        raise HeaderRefused(
            Reason.WRONG_SIZE, f"tensor {name!r} needs {expected} bytes, its offsets span {end - begin}"
        )
    return TensorFact(name, dtype, tuple(shape), data_start + begin, data_start + end)


def is_list_of_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def library_refuses(text: bytes, header: Header) -> str | None:
    """The safetensors library's own verdict on a file with this header; None when it agrees with `header`.

    It reads a sparse temporary file of the right size, which takes the header's room on the disk and no more.
    """
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(header.file_bytes)
        file.flush()
        try:
            with safe_open(file.name, framework="numpy") as opened:
                names = set(opened.keys())
        except (SafetensorError, OSError) as error:
            return str(error)
    return None if names == {tensor.name for tensor in header.tensors} else "it finds other tensors"
