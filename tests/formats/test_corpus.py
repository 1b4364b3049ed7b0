"""A fixed corpus of bad files, each with its verdict, which never changes unnoticed."""

import bz2
import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import ArchiveRefused, InvalidContent, InvalidSafetensors, PickleRefused
from app.formats.header import Reason
from tests.formats.files import entry, file_of, inspect, json_file, raw_file, zeros

four = entry("F32", [1], 0, 4)


def named(name: str) -> bytes:
    return json_file({name: four}, bytes(4))


def shaped(shape: Any, size_bytes: int = 4, dtype: str = "F32") -> bytes:
    return json_file(
        {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size_bytes]}}, bytes(min(size_bytes, 64))
    )


def offset(offsets: Any) -> bytes:
    return json_file({"a": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}, bytes(4))


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"\x80\x02}q\x00.")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


good = file_of({"a": zeros("F32", 2, 2)})

broken: dict[str, tuple[bytes, Reason]] = {
    "empty": (b"", Reason.NOT_SAFETENSORS),
    "seven bytes": (b"\x08\0\0\0\0\0\0", Reason.TRUNCATED),
    "length alone": (struct.pack("<Q", 100), Reason.TRUNCATED),
    "no header": (struct.pack("<Q", 0) + b"{}", Reason.NOT_SAFETENSORS),
    "header cut": (good[:20], Reason.TRUNCATED),
    "data cut": (good[:-1], Reason.TRUNCATED),
    "no data": (good[:-16], Reason.TRUNCATED),
    "trailing byte": (good + b"\0", Reason.TRAILING_BYTES),
    "zip behind the tensors": (good + zipped("a"), Reason.TRAILING_BYTES),
    "length of 2^63": (struct.pack("<Q", 1 << 63) + b"{}", Reason.NOT_SAFETENSORS),
    "length of -1": (b"\xff" * 8 + b"{}", Reason.NOT_SAFETENSORS),
    "header over 8 MiB": (struct.pack("<Q", (8 << 20) + 1) + b"{", Reason.HEADER_TOO_LARGE),
    "header of 100 GB": (struct.pack("<Q", 10**11) + b"{", Reason.HEADER_TOO_LARGE),
    "text": (b"# An adapter\n\nIt adapts.", Reason.NOT_SAFETENSORS),
    "pickle in letters": (pickle.dumps({"a": 1}, 0), Reason.NOT_SAFETENSORS),
    "leading blank": (raw_file(b" {}"), Reason.NOT_SAFETENSORS),
    "byte order mark": (raw_file(b"\xef\xbb\xbf{}"), Reason.NOT_SAFETENSORS),
    "a list": (raw_file(b"[]"), Reason.NOT_SAFETENSORS),
    "not JSON": (raw_file(b"{nonsense}"), Reason.NOT_JSON),
    "two values": (raw_file(b"{}{}"), Reason.NOT_JSON),
    "trailing NUL": (raw_file(b"{}\0"), Reason.NOT_JSON),
    "trailing newline": (raw_file(b'{"a":1}\n,'), Reason.NOT_JSON),
    "not UTF-8": (raw_file(b'{"\xff":1}'), Reason.NOT_JSON),
    "NaN": (raw_file(b'{"a":NaN}'), Reason.NOT_JSON),
    "infinite number": (raw_file(b'{"a":1e999}'), Reason.NOT_JSON),
    "integer of 5,000 digits": (raw_file(b'{"a":' + b"9" * 5000 + b"}"), Reason.NOT_JSON),
    "nested 100,000 deep": (raw_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), Reason.TOO_DEEP),
    "nested 5 deep": (raw_file(b'{"a":{"b":{"c":{"d":{}}}}}'), Reason.TOO_DEEP),
    "duplicate tensor": (raw_file(b'{"a":' + json.dumps(four).encode() + b',"a":' + json.dumps(four).encode() + b"}", bytes(4)),
                         Reason.DUPLICATE_KEY),
    "duplicate metadata": (raw_file(b'{"__metadata__":{"k":"1","k":"2"}}'), Reason.DUPLICATE_KEY),
    "duplicate field": (raw_file(b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
                        Reason.DUPLICATE_KEY),
    "lone surrogate": (raw_file(b'{"\\ud800":' + json.dumps(four).encode() + b"}", bytes(4)), Reason.LONE_SURROGATE),
    "lone surrogate in metadata": (raw_file(b'{"__metadata__":{"k":"\\udfff"}}'), Reason.LONE_SURROGATE),
    "metadata of numbers": (json_file({"__metadata__": {"k": 1}}), Reason.BAD_METADATA),
    "metadata is a list": (json_file({"__metadata__": []}), Reason.BAD_METADATA),
    "metadata is null": (json_file({"__metadata__": None}), Reason.BAD_METADATA),
    "empty name": (named(""), Reason.BAD_NAME),
    "NUL in a name": (named("a\0b"), Reason.BAD_NAME),
    "newline in a name": (named("a\nb"), Reason.BAD_NAME),
    "bidirectional override": (named("a\u202eb"), Reason.BAD_NAME),
    "zero width space": (named("a\u200bb"), Reason.BAD_NAME),
    "escape character": (named("\x1b[2J"), Reason.BAD_NAME),
    "decomposed name": (named("e\u0301"), Reason.BAD_NAME),
    "climbing name": (named("../../etc/passwd"), Reason.BAD_NAME),
    "two dots": (named("a..b"), Reason.BAD_NAME),
    "slash": (named("a/b"), Reason.BAD_NAME),
    "backslash": (named("a\\b"), Reason.BAD_NAME),
    "long name": (named("a" * 1025), Reason.BAD_NAME),
    "names differ in case": (json_file({"a": four, "A": entry("F32", [1], 4, 8)}, bytes(8)), Reason.SAME_NAME),
    "names differ in folded case": (json_file({"ß": four, "ss": entry("F32", [1], 4, 8)}, bytes(8)), Reason.SAME_NAME),
    "unknown field": (json_file({"a": four | {"extra": 1}}, bytes(4)), Reason.BAD_ENTRY),
    "no dtype": (json_file({"a": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)), Reason.BAD_ENTRY),
    "entry is a number": (json_file({"a": 1}), Reason.BAD_ENTRY),
    "entry is null": (json_file({"a": None}), Reason.BAD_ENTRY),
    "three offsets": (offset([0, 4, 4]), Reason.BAD_ENTRY),
    "offsets are texts": (offset(["0", "4"]), Reason.BAD_ENTRY),
    "negative offset": (offset([-4, 0]), Reason.BAD_ENTRY),
    "fractional offset": (offset([0.0, 4.0]), Reason.BAD_ENTRY),
    "offset is true": (offset([False, 4]), Reason.BAD_ENTRY),
    "unknown dtype": (shaped([1], dtype="F128"), Reason.UNKNOWN_DTYPE),
    "dtype in small letters": (shaped([1], dtype="f32"), Reason.UNKNOWN_DTYPE),
    "dtype of 4 bits": (shaped([8], dtype="F4"), Reason.UNKNOWN_DTYPE),
    "dtype is a number": (json_file({"a": {"dtype": 1, "shape": [1], "data_offsets": [0, 4]}}), Reason.UNKNOWN_DTYPE),
    "dtype is a list": (json_file({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}), Reason.UNKNOWN_DTYPE),
    "nine dimensions": (shaped([1] * 9), Reason.BAD_SHAPE),
    "dimension of 2^48": (shaped([1 << 48, 0], 0), Reason.BAD_SHAPE),
    "dimension of 2^63 beside 0": (shaped([1 << 63, 0], 0), Reason.BAD_SHAPE),
    "negative dimension": (shaped([-1]), Reason.BAD_SHAPE),
    "fractional dimension": (shaped([1.0]), Reason.BAD_SHAPE),
    "dimension is true": (shaped([True]), Reason.BAD_SHAPE),
    "shape is a number": (shaped(1), Reason.BAD_SHAPE),
    "size too small": (shaped([2]), Reason.WRONG_SIZE),
    "size too large": (shaped([1], 8), Reason.WRONG_SIZE),
    "end before begin": (offset([4, 0]), Reason.WRONG_SIZE),
    "product beyond 2^64": (shaped([1 << 40, 1 << 40]), Reason.WRONG_SIZE),
    "overlap": (json_file({"a": four, "b": entry("F32", [1], 2, 6)}, bytes(6)), Reason.OVERLAP),
    "same bytes twice": (json_file({"a": four, "b": four}, bytes(4)), Reason.OVERLAP),
    "hole": (json_file({"a": four, "b": entry("F32", [1], 8, 12)}, bytes(12)), Reason.HOLE),
    "hole before the first": (json_file({"a": entry("F32", [1], 4, 8)}, bytes(8)), Reason.HOLE),
    "offsets beyond the file": (offset([0, 4])[:-2], Reason.TRUNCATED),
    "too many tensors": (
        json_file({f"t{number}": entry("U8", [0], 0, 0) for number in range(65_537)}),
        Reason.TOO_MANY_TENSORS,
    ),
}  # fmt: skip

executable: dict[str, tuple[Callable[[], bytes], type[InvalidContent], str]] = {
    "pickle 2": (lambda: pickle.dumps({"a": 1}, 2), PickleRefused, "pickle"),
    "pickle 4": (lambda: pickle.dumps({"a": list(range(1000))}, 4), PickleRefused, "pickle"),
    "pickle 5": (lambda: pickle.dumps({"a": 1}, 5), PickleRefused, "pickle"),
    "zip of a pickle": (lambda: zipped("archive/data.pkl"), PickleRefused, "pickle"),
    "zip": (lambda: zipped("a.safetensors"), ArchiveRefused, "zip"),
    "empty zip": (lambda: b"PK\x05\x06" + bytes(18), ArchiveRefused, "zip"),
    "gzip": (lambda: gzip.compress(good), ArchiveRefused, "gzip"),
    "tar": (tarred, ArchiveRefused, "tar"),
    "xz": (lambda: b"\xfd7zXZ\x00" + bytes(20), ArchiveRefused, "xz"),
    "bzip2": (lambda: bz2.compress(good), ArchiveRefused, "bzip2"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(20), ArchiveRefused, "zstd"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(20), ArchiveRefused, "7z"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\x00" + bytes(20), ArchiveRefused, "rar"),
}


@pytest.mark.parametrize("name", broken)
def test_a_broken_file_is_refused_for_its_reason(name: str) -> None:
    file, reason = broken[name]
    inspection = inspect(file)
    assert inspection.fault is not None
    assert inspection.fault[0] == reason, inspection.fault
    assert inspection.tensors == ()
    with pytest.raises(InvalidSafetensors) as refused:
        inspection.check_weights("adapter_model.safetensors")
    assert refused.value.facts["reason"] == reason
    assert refused.value.facts["path"] == "adapter_model.safetensors"


@pytest.mark.parametrize("name", executable)
def test_code_and_archives_are_named_as_such(name: str) -> None:
    make, error, kind = executable[name]
    inspection = inspect(make())
    assert inspection.kind == kind
    with pytest.raises(error):
        inspection.check_weights("adapter_model.safetensors")


@pytest.mark.parametrize("chunk_bytes", [1, 3, 8, 9, 100])
def test_the_verdict_does_not_depend_on_the_chunks(chunk_bytes: int) -> None:
    for name, (file, _) in broken.items():
        if len(file) < 2000:
            assert inspect(file, chunk_bytes) == inspect(file), name
    for name, (make, _, _) in executable.items():
        assert inspect(make(), chunk_bytes) == inspect(make()), name


@pytest.mark.parametrize("length", range(len(good)))
def test_every_truncation_is_refused(length: int) -> None:
    assert inspect(good[:length]).fault is not None
