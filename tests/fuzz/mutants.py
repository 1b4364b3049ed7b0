"""Adapters that were right, and up to three things that somebody did to their weights file."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from app.formats.header import size_of_dtype

Header = dict[str, Any]
stem = "base_model.model.model.layers.0."


@dataclass
class Mutant:
    """A weights file in the making: its header as JSON and as the text that it becomes, its bytes, and a configuration."""

    header: Header
    data: bytearray
    config: dict[str, Any]
    text: bytes | None = None
    """The header as it stands in the file, where that is no longer the JSON of `header`."""
    config_text: bytes | None = None
    length: int | None = None
    """What the file says of the header's length, where that is not true."""

    def header_text(self) -> bytes:
        return self.text if self.text is not None else json.dumps(self.header).encode()

    def file(self) -> bytes:
        text = self.header_text()
        return struct.pack("<Q", len(text) if self.length is None else self.length) + text + bytes(self.data)

    def configuration(self) -> bytes:
        return self.config_text if self.config_text is not None else json.dumps(self.config).encode()


Mutation = Callable[[st.DrawFn, Mutant], None]


@st.composite
def adapters(draw: st.DrawFn) -> Mutant:
    """A LoRA adapter as PEFT saves it: one to three modules, of any dtype that holds numbers, values finite."""
    rank = draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["F32", "F16", "BF16", "F64"]))
    modules = draw(
        st.lists(st.sampled_from(["q_proj", "k_proj", "v_proj", "mlp.up_proj"]), min_size=1, max_size=3, unique=True)
    )
    header: Header = {"__metadata__": {"format": "pt"}} if draw(st.booleans()) else {}
    data = bytearray()
    for module in modules:
        rows, columns = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
        for factor, shape in (("A", [rank, columns]), ("B", [rows, rank])):
            size = shape[0] * shape[1] * size_of_dtype[dtype]
            header[f"{stem}{module}.lora_{factor}.weight"] = {
                "dtype": dtype,
                "shape": shape,
                "data_offsets": [len(data), len(data) + size],
            }
            # the exponent of no element is all ones: bytes below 64 are finite numbers in each of the dtypes
            data += random.integers(0, 64, size, dtype=np.uint8).tobytes()
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": "acme/tiny",
        "r": rank,
        "lora_alpha": draw(st.sampled_from([1, 8, 16.0, 0.5])),
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
        "use_rslora": draw(st.booleans()),
        "task_type": "CAUSAL_LM",
    }
    return Mutant(header, data, config)


sizes = st.sampled_from([-1, 0, 1, 2, 3, 7, 2**31, 2**47, 2**48, 2**63, 2**64, 10**400, True, 1.0, None, "1", [1]])
names = st.sampled_from(
    [
        "",
        "..",
        "a/b",
        "a\0b",
        "a\u202eb",
        "e\u0301",
        "\u00e9",
        "__metadata__",
        "\ud800",
        stem + "q_proj.LORA_A.weight",
        "x" * 1025,
    ]
) | st.text(max_size=8)
odd_values: st.SearchStrategy[Any] = st.sampled_from([None, True, 1, -1, 1.5, "x", [], {}, [[1]], {"a": {"b": {}}}])


def tensors_of(mutant: Mutant) -> list[str]:
    return [name for name, entry in mutant.header.items() if name != "__metadata__" and isinstance(entry, dict)]


def entry_of(draw: st.DrawFn, mutant: Mutant) -> dict[str, Any] | None:
    """A tensor's entry; None when nothing is left."""
    found = tensors_of(mutant)
    entry: dict[str, Any] | None = mutant.header[draw(st.sampled_from(found))] if found else None
    return entry


def change_shape(draw: st.DrawFn, mutant: Mutant) -> None:
    if entry := entry_of(draw, mutant):
        shape = entry.get("shape")
        reordered = st.permutations(shape if isinstance(shape, list) else [1])
        entry["shape"] = draw(st.lists(sizes, max_size=3) | reordered | odd_values)


def change_dtype(draw: st.DrawFn, mutant: Mutant) -> None:
    if entry := entry_of(draw, mutant):
        entry["dtype"] = draw(st.sampled_from([*size_of_dtype, "F4", "F8_E4M3FNUZ", "f32", ""]) | odd_values)


def move_offsets(draw: st.DrawFn, mutant: Mutant) -> None:
    """A hole, an overlap, or no offsets any more."""
    if entry := entry_of(draw, mutant):
        begin, end = entry["data_offsets"] if is_pair(entry.get("data_offsets")) else (0, 0)
        by = draw(st.integers(-9, 9))
        choices = [[begin + by, end + by], [begin, end + by], [begin + by, end], [end, begin], [begin, begin]]
        entry["data_offsets"] = draw(st.sampled_from(choices) | st.lists(sizes, max_size=3) | odd_values)


def is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(entry) is int for entry in value)


def point_at_the_same_bytes(draw: st.DrawFn, mutant: Mutant) -> None:
    """The last tensor lies where another one lies, and the file ends before it: an overlap and no hole."""
    found = [name for name in tensors_of(mutant) if is_pair(mutant.header[name].get("data_offsets"))]
    for name in found:
        begin, end = mutant.header[name]["data_offsets"]
        if begin < end == len(mutant.data) and len(found) > 1:
            twin = draw(st.sampled_from([other for other in found if other != name]))
            mutant.header[name] = dict(mutant.header[twin])
            del mutant.data[max(0, begin) :]
            return


def make_a_hole(draw: st.DrawFn, mutant: Mutant) -> None:
    """Every tensor lies a few bytes further on."""
    by = draw(st.integers(1, 16))
    for name in tensors_of(mutant):
        if is_pair(mutant.header[name].get("data_offsets")):
            mutant.header[name]["data_offsets"] = [at + by for at in mutant.header[name]["data_offsets"]]
    mutant.data[:0] = bytes(by)


def rename_tensor(draw: st.DrawFn, mutant: Mutant) -> None:
    if found := tensors_of(mutant):
        name = draw(st.sampled_from(found))
        mutant.header[draw(names | st.just(name.upper()))] = mutant.header.pop(name)


def add_tensor(draw: st.DrawFn, mutant: Mutant) -> None:
    """An empty one, so that the bytes stay right."""
    position = len(mutant.data)
    shape = draw(st.sampled_from([[0], [2**48, 0], [0, 2**63], [1] * 9 + [0], [0] * 3]))
    mutant.header[draw(names)] = {"dtype": "F32", "shape": shape, "data_offsets": [position, position]}


def remove_tensor(draw: st.DrawFn, mutant: Mutant) -> None:
    if found := tensors_of(mutant):
        del mutant.header[draw(st.sampled_from(found))]


def change_entry(draw: st.DrawFn, mutant: Mutant) -> None:
    if entry := entry_of(draw, mutant):
        entry[draw(st.sampled_from(["extra", "dtype", "shape", "data_offsets", "Shape"]))] = draw(odd_values)


def change_metadata(draw: st.DrawFn, mutant: Mutant) -> None:
    texts = st.text(max_size=5) | st.sampled_from(["\0", "\ud800", "x" * 5000])
    mutant.header["__metadata__"] = draw(st.dictionaries(texts, texts | odd_values, max_size=3) | odd_values)


def reorder(draw: st.DrawFn, mutant: Mutant) -> None:
    """Still valid: the order of a JSON object means nothing."""
    mutant.header = dict(draw(st.permutations(list(mutant.header.items()))))


def pad_header(draw: st.DrawFn, mutant: Mutant) -> None:
    """Blanks behind are valid, and what writers do to align the tensors; other white space is not always."""
    mutant.text = mutant.header_text() + draw(st.sampled_from([b" ", b" " * 64, b"\n", b"\t ", b"\0", b"{}", b","]))


def repeat_key(draw: st.DrawFn, mutant: Mutant) -> None:
    """The same name twice: which of the two is meant, readers disagree on."""
    text = mutant.header_text()
    try:
        pairs = list(json.loads(text).items())
    except (ValueError, AttributeError, RecursionError):
        return
    if pairs:
        name, value = draw(st.sampled_from(pairs))
        again = f"{{{json.dumps(name)}: {json.dumps(value)}" + (", " if pairs else "")
        mutant.text = again.encode() + text.lstrip()[1:]


def nest(draw: st.DrawFn, mutant: Mutant) -> None:
    depth = draw(st.sampled_from([3, 5, 100, 200_000]))
    mutant.text = b'{"a":' + b"[" * depth + b"]" * depth + b"," + mutant.header_text().lstrip()[1:]


def edit_header(draw: st.DrawFn, mutant: Mutant) -> None:
    text = bytearray(mutant.header_text())
    for position, byte in draw(
        st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3)
    ):
        text[position % len(text)] = byte
    mutant.text = bytes(text)


def claim_length(draw: st.DrawFn, mutant: Mutant) -> None:
    true = len(mutant.header_text())
    mutant.length = draw(st.sampled_from([0, 1, true - 1, true + 1, (8 << 20) + 1, 10**11, 2**63, 2**64 - 1]))


def change_data(draw: st.DrawFn, mutant: Mutant) -> None:
    kind = draw(st.sampled_from(["cut", "longer", "zip", "other"]))
    at = draw(st.integers(0, max(0, len(mutant.data) - 1)))
    if kind == "cut":
        del mutant.data[at:]
    elif kind == "longer":
        mutant.data += bytes(draw(st.integers(1, 40)))
    elif kind == "zip":
        mutant.data += b"PK\x05\x06" + bytes(18)
    elif mutant.data:
        mutant.data[at] = draw(st.integers(0, 63))


def spoil_values(draw: st.DrawFn, mutant: Mutant) -> None:
    """0xff all over is a NaN in every dtype of numbers."""
    at = draw(st.integers(0, max(0, len(mutant.data) - 1))) // 8 * 8
    mutant.data[at : at + 8] = b"\xff" * len(mutant.data[at : at + 8])


mutations_of_files: list[Mutation] = [
    change_shape, change_dtype, move_offsets, point_at_the_same_bytes, make_a_hole, rename_tensor, add_tensor, remove_tensor,
    change_entry, change_metadata, reorder, pad_header, repeat_key, nest, edit_header, claim_length, change_data, spoil_values,
]  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> Mutant:
    """A valid adapter, and none to three mutations of its weights file."""
    mutant = draw(adapters())
    for mutate in draw(st.lists(st.sampled_from(mutations_of_files), max_size=3)):
        mutate(draw, mutant)
    return mutant
