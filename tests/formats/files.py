"""safetensors files made by hand, right or wrong."""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from app.formats.header import size_of_dtype
from app.formats.inspection import Inspection, Inspector


def raw_file(header: bytes, data: bytes = b"") -> bytes:
    """A file with this text as its header, whatever it says."""
    return struct.pack("<Q", len(header)) + header + data


def json_file(header: Any, data: bytes = b"") -> bytes:
    return raw_file(json.dumps(header).encode(), data)


def entry(dtype: str, shape: Iterable[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def file_of(
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """A valid file: (dtype, shape, bytes) by name, in the order given."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = entry(dtype, shape, position, position + len(data))
        position += len(data)
    return json_file(header, b"".join(data for _, _, data in tensors.values()))


def zeros(dtype: str, *shape: int) -> tuple[str, tuple[int, ...], bytes]:
    """A tensor for `file_of`."""
    size_bytes = size_of_dtype[dtype]
    for extent in shape:
        size_bytes *= extent
    return dtype, shape, bytes(size_bytes)


def inspect(file: bytes, chunk_bytes: int = 1 << 20) -> Inspection:
    """What an inspector says of a file that arrives in chunks of this size."""
    inspector = Inspector()
    for start in range(0, len(file), chunk_bytes):
        inspector.feed(memoryview(file)[start : start + chunk_bytes])
    return inspector.finish()
