"""Inspection while bytes stream through: facts, finite values, kinds of file."""

import json
import struct
from itertools import pairwise
from math import inf, nan, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.adapter import TensorFact
from app.domain.digest import digest_of_bytes
from app.domain.git import blob_sha1, largest_regular_bytes
from app.domain.version import File
from app.errors import NonFiniteValues
from app.formats.header import size_of_dtype
from app.formats.inspection import Inspection, Inspector
from tests.formats.files import file_of, inspect, json_file, raw_file, zeros

elements: dict[str, tuple[bytes, list[bytes]]] = {
    "F64": (struct.pack("<d", 1.7e308), [struct.pack("<d", value) for value in (nan, -nan, inf, -inf)]),
    "F32": (struct.pack("<f", -3.4e38), [struct.pack("<f", value) for value in (nan, -nan, inf, -inf)]),
    "C64": (struct.pack("<ff", 1, 2), [struct.pack("<ff", 1, inf), struct.pack("<ff", nan, 1)]),
    "F16": (struct.pack("<e", 65504), [struct.pack("<e", value) for value in (nan, -nan, inf, -inf)]),
    "BF16": (b"\x7f\x7f", [b"\x80\x7f", b"\x80\xff", b"\xc0\x7f", b"\x81\x7f"]),
    "F8_E5M2": (b"\x7b", [b"\x7c", b"\xfc", b"\x7d", b"\xff"]),
    "F8_E4M3": (b"\x7e", [b"\x7f", b"\xff"]),
    "F8_E8M0": (b"\xfe", [b"\xff"]),
}
"""By dtype: the largest finite element, and some that are NaN or infinite."""


def test_a_valid_file_tells_its_tensors_by_offset_and_its_metadata() -> None:
    file = file_of({"b": zeros("F32", 2, 3), "a": zeros("BF16", 4), "empty": zeros("I64", 0, 5)}, {"format": "pt"})
    start = len(file) - 32
    assert inspect(file) == Inspection(
        size_bytes=len(file),
        kind="safetensors",
        tensors=(
            TensorFact("b", "F32", (2, 3), start, start + 24),
            TensorFact("a", "BF16", (4,), start + 24, start + 32),
            TensorFact("empty", "I64", (0, 5), start + 32, start + 32),
        ),
        metadata={"format": "pt"},
        git_sha1=blob_sha1(file),
    )


def test_a_small_file_is_told_by_the_name_that_git_gives_it() -> None:
    assert inspect(b"").git_sha1 == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert inspect(b"hello\n", 2).git_sha1 == "ce013625030ba8dba906f756967f9e9ca394464a"
    large = bytes(largest_regular_bytes)
    assert inspect(large, 1000).git_sha1 == blob_sha1(large)
    assert inspect(large + b"\0").git_sha1 is None


def test_a_file_without_tensors_and_a_padded_header_are_valid() -> None:
    assert inspect(raw_file(b"{}")).fault is None
    assert inspect(raw_file(b"{}      ")).fault is None
    assert inspect(json_file({"__metadata__": {}})).fault is None


def test_a_scalar_has_no_dimensions() -> None:
    inspection = inspect(file_of({"a": ("F32", (), bytes(4))}))
    assert inspection.fault is None
    assert inspection.tensors[0].shape == ()


@pytest.mark.parametrize("dtype", elements)
@pytest.mark.parametrize("chunk_bytes", [1, 3, 7, 1 << 20])
def test_every_float_that_is_not_finite_is_found(dtype: str, chunk_bytes: int) -> None:
    largest, wrong = elements[dtype]
    for element in wrong:
        for position in (0, 5, 10):
            data = largest * position + element + largest * (10 - position)
            file = file_of({"first": (dtype, (11,), largest * 11), "second": (dtype, (11,), data)})
            assert inspect(file, chunk_bytes).not_finite == "second"
    assert inspect(file_of({"a": (dtype, (11,), largest * 11)}), chunk_bytes).not_finite is None


def test_integers_and_truth_values_are_never_infinite() -> None:
    for dtype in size_of_dtype.keys() - elements.keys():
        assert inspect(file_of({"a": (dtype, (16,), b"\xff" * 16 * size_of_dtype[dtype])})).not_finite is None


def test_the_first_tensor_by_offset_is_named() -> None:
    bad = struct.pack("<f", nan)
    inspection = inspect(file_of({"z": ("F32", (1,), bad), "a": ("F32", (1,), bad)}))
    assert inspection.not_finite == "z"
    with pytest.raises(NonFiniteValues) as refused:
        inspection.check_weights("w.safetensors")
    assert refused.value.facts == {"path": "w.safetensors", "tensor": "z"}


@settings(max_examples=60, deadline=None)
@given(
    tensors=st.lists(st.tuples(st.sampled_from(sorted(size_of_dtype)), st.integers(0, 300)), max_size=8),
    poisoned=st.integers(0, 10_000),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_chunks_of_any_size_give_what_numpy_says(
    tensors: list[tuple[str, int]], poisoned: int, cuts: list[int], seed: int
) -> None:
    """A slow second opinion: each tensor whole, by numpy's own isfinite where numpy knows the dtype."""
    random = np.random.default_rng(seed)
    made = {
        f"t{index}": (dtype, (count,), random.integers(0, 256, count * size_of_dtype[dtype], np.uint8).tobytes())
        for index, (dtype, count) in enumerate(tensors)
    }
    expected = None
    for name, (dtype, _, data) in made.items():
        known = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<f4"}.get(dtype)
        if known is not None:
            finite = bool(np.isfinite(np.frombuffer(data, known)).all())
        elif dtype == "BF16":
            finite = bool(np.isfinite((np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")).all())
        elif dtype in elements:
            finite = not any(bytes([byte]) in not_finite_bytes(dtype) for byte in data)
        else:
            continue
        if not finite:
            expected = name
            break
    file = file_of(made)
    inspector = Inspector()
    borders = sorted({0, len(file), *(cut % (len(file) + 1) for cut in cuts)})
    for start, end in pairwise(borders):
        inspector.feed(file[start:end])
    inspection = inspector.finish()
    assert inspection.fault is None
    assert inspection.not_finite == expected
    assert sum(tensor.size_bytes for tensor in inspection.tensors) == sum(len(data) for _, _, data in made.values())


def not_finite_bytes(dtype: str) -> set[bytes]:
    """Of the 8-bit floats, from their definition (OCP 8-bit floating point, tables 2 and 3)."""
    if dtype == "F8_E4M3":
        return {b"\x7f", b"\xff"}
    if dtype == "F8_E8M0":
        return {b"\xff"}
    return {bytes([sign | 0x7C | mantissa]) for sign in (0, 0x80) for mantissa in range(4)}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.integers(1, 600))
def test_no_bytes_whatever_make_the_inspector_raise(data: bytes, chunk_bytes: int) -> None:
    for file in (data, raw_file(data), raw_file(b"{" + data), raw_file(b'{"a":' + data + b"}")):
        inspection = inspect(file, chunk_bytes)
        assert inspection.size_bytes == len(file)
        assert Inspection.from_json(json.loads(json.dumps(inspection.as_json()))) == inspection


def test_an_inspection_survives_a_database_row() -> None:
    for file in (
        file_of({"a": zeros("F32", 2, 3), "b": ("F16", (1,), b"\0\x7c")}, {"k": "v"}),
        raw_file(b"{"),
        b"PK\x03\x04",
        b"",
    ):
        inspection = inspect(file)
        assert Inspection.from_json(json.loads(json.dumps(inspection.as_json()))) == inspection


def test_a_header_that_begins_like_a_pickle_is_a_header() -> None:
    """0x0280 little endian is protocol 2's mark: a header of 640 bytes."""
    file = raw_file(b"{}" + b" " * (0x0280 - 2))
    assert file.startswith(b"\x80\x02")
    assert inspect(file).fault is None


def test_other_files_are_no_weights_and_no_trouble() -> None:
    assert inspect(b"# README\n").kind == "other"
    assert inspect(b"{}").kind == "other"


def test_pickles_among_attachments_are_marked_by_bytes_or_by_name() -> None:
    text, pickled = inspect(b"hello"), inspect(b"\x80\x04\x95\x05\0\0\0\0\0\0\0.")

    def file(path: str, inspection: Inspection) -> File:
        return File(path, digest_of_bytes(b""), inspection.size_bytes, inspection.kind)

    assert file("notes.txt", pickled).is_pickle
    assert file("training_args.BIN", text).is_pickle
    assert file("folder/optimizer.pt", text).is_pickle
    assert not file("README.md", text).is_pickle


def test_a_mebibyte_of_tiny_tensors_is_read_in_a_moment() -> None:
    """As many tensors as are allowed, each of one element."""
    file = file_of({f"t{number}": ("F32", (1,), bytes(4)) for number in range(65_536)})
    inspection = inspect(file)
    assert len(inspection.tensors) == 65_536
    assert prod(inspection.tensors[-1].shape) == 1
