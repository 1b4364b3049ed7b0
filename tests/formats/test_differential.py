"""Whatever this reader accepts, the safetensors library accepts, and both read the same tensors."""

import json
import struct
import tempfile
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from app.formats import inspection as inspection_module
from app.formats.header import HeaderRefused, library_refuses, read_header, size_of_dtype
from app.formats.inspection import Inspection
from tests.formats.files import inspect, raw_file

good_names = st.sampled_from(["a", "b", "weight", "base_model.model.q.lora_A.weight", "ß", "größe", "層.0", "x y"])
names = st.sampled_from(["A", "__metadata__", "", "..", "ss", "a/b"]) | st.text(max_size=6)
sizes = st.one_of(st.integers(0, 5), st.sampled_from([-1, 2**31, 2**47, 2**48, 2**63, 2**64, True, 1.0, None, "1"]))
usual_sizes = st.integers(0, 5)


@st.composite
def headers(draw: st.DrawFn) -> tuple[Any, int]:
    """A header, mostly right, and how many bytes of data follow."""
    header: dict[str, Any] = {}
    position = 0
    chosen = draw(st.lists(good_names, max_size=5, unique=True))
    if draw(st.integers(0, 9)) == 0:
        chosen = list(dict.fromkeys([*chosen, draw(names)]))
    for name in chosen:
        dtype = draw(st.sampled_from([*size_of_dtype] * 5 + ["F4", "f32", 7]))
        shape = draw(st.lists(usual_sizes if draw(st.integers(0, 19)) else sizes, max_size=4))
        count = 1
        for extent in shape:
            count *= extent if type(extent) is int and 0 <= extent <= 5 else 1
        end = position + count * size_of_dtype.get(str(dtype), 1)
        begin = position
        if draw(st.integers(0, 19)) == 0:
            begin += draw(st.integers(-2, 2))
        if draw(st.integers(0, 19)) == 0:
            end += draw(st.integers(-2, 2))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        if draw(st.integers(0, 29)) == 0:
            header[name][draw(st.sampled_from(["extra", "dtype", "shape"]))] = draw(st.none() | st.just([1]))
        position = max(end, 0)
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
    if draw(st.booleans()):
        header = dict(reversed(header.items()))
    data_bytes = max(0, position + draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, -1])))
    return header, data_bytes


def read_by_library(file: bytes) -> dict[str, tuple[str, list[int]]] | None:
    with tempfile.NamedTemporaryFile() as stored:
        stored.write(file)
        stored.flush()
        try:
            with safe_open(stored.name, framework="numpy") as opened:
                slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
                return {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
        except SafetensorError:
            return None


def agree(file: bytes, found: Inspection) -> None:
    if found.fault is None:
        theirs = read_by_library(file)
        assert theirs == {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in found.tensors}


def compare(made: tuple[Any, int], ensure_ascii: bool) -> None:
    header, data_bytes = made
    text = json.dumps(header, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass")
    file = raw_file(text, bytes(data_bytes))
    found = inspect(file)
    event("valid" if found.fault is None else f"refused: {found.fault[0]}")
    agree(file, found)


@settings(max_examples=200, deadline=None)
@given(made=headers(), ensure_ascii=st.booleans())
def test_what_is_accepted_here_the_library_reads_the_same(made: tuple[Any, int], ensure_ascii: bool) -> None:
    compare(made, ensure_ascii)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(made=headers(), ensure_ascii=st.booleans())
def test_so_it_is_in_a_long_campaign(made: tuple[Any, int], ensure_ascii: bool) -> None:
    compare(made, ensure_ascii)


@settings(max_examples=200, deadline=None)
@given(made=headers(), edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3))
def test_so_is_what_is_left_after_bytes_were_changed(made: tuple[Any, int], edits: list[tuple[int, int]]) -> None:
    header, data_bytes = made
    file = bytearray(raw_file(json.dumps(header).encode(), bytes(data_bytes)))
    for position, byte in edits:
        file[position % len(file)] = byte
    agree(bytes(file), inspect(bytes(file)))


def test_the_second_opinion_sees_what_our_rules_alone_would_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: with our own size rule loosened, the library's verdict still refuses the file."""
    text = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}).encode()
    with pytest.raises(HeaderRefused):
        read_header(text)
    monkeypatch.setitem(size_of_dtype, "F32", 2)
    header = read_header(text)
    assert library_refuses(text, header) is not None
    found = inspection_module.Inspector()
    found.feed(struct.pack("<Q", len(text)) + text + bytes(4))
    fault = found.finish().fault
    assert fault is not None
    assert fault[0] == "library-refuses"
