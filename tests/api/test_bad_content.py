"""Files that are not what they claim to be: each has its own problem, and nothing of them is stored."""

import gzip
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from safetensors.numpy import load, save

from tests.api.conftest import Registry, User, done, make_adapter, refused

Files = dict[str, bytes]
weights, config = "adapter_model.safetensors", "adapter_config.json"
good = make_adapter(1).files
prefix = "base_model.model.model.layers.0.q_proj"

tables = [
    "namespaces", "tokens", "repositories", "blobs", "receipts", "uploads", "trees", "tree_entries", "commits", "refs",
    "versions", "edges", "version_contents", "aliases", "alias_events", "merge_requests", "merge_executions",
    "idempotency_keys", "audit_events", "redirects",
]  # fmt: skip


@contextmanager
def nothing_stored(registry: Registry) -> Iterator[None]:
    """Not a row and not an object comes of what happens in this context."""
    before = {table: registry.rows(table) for table in tables}, registry.objects()
    yield
    assert ({table: registry.rows(table) for table in tables}, registry.objects()) == before


def with_config(**values: Any) -> Files:
    return good | {config: json.dumps(json.loads(good[config]) | values).encode()}


def with_tensors(change: Callable[[dict[str, Any]], None]) -> Files:
    tensors = load(good[weights])
    change(tensors)
    return good | {weights: save(tensors)}


def with_header(change: Callable[[dict[str, Any]], None] | None = None, text: bytes | None = None) -> Files:
    """The weights with another header before the same bytes."""
    data = good[weights]
    size = struct.unpack("<Q", data[:8])[0]
    if text is None:
        header = json.loads(data[8 : 8 + size])
        if change is not None:
            change(header)
        text = json.dumps(header).encode()
    return good | {weights: struct.pack("<Q", len(text)) + text + data[8 + size :]}


def zipped(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, good[weights])
    return target.getvalue()


def overlapping(header: dict[str, Any]) -> None:
    first, second = sorted(header.values(), key=lambda entry: entry["data_offsets"][0])[:2]
    second["data_offsets"] = [first["data_offsets"][0], first["data_offsets"][0] + 256]
    second["shape"] = [64]


def nan(tensors: dict[str, Any]) -> None:
    tensors[f"{prefix}.lora_A.weight"][2, 3] = np.nan


def infinite(tensors: dict[str, Any]) -> None:
    tensors[f"{prefix}.lora_B.weight"][0, 0] = -np.inf


def twice() -> Files:
    size = struct.unpack("<Q", good[weights][:8])[0]
    text = good[weights][8 : 8 + size].decode().rstrip()
    entry = text[1:].split("}", 1)[0] + "}"
    return with_header(text=(text[:-1] + "," + entry + "}").encode())


def without(name: str) -> Files:
    return {path: data for path, data in good.items() if path != name}


bad: dict[str, tuple[Files, str]] = {
    "truncated weights": (good | {weights: good[weights][:-7]}, "invalid-safetensors"),
    "trailing bytes": (good | {weights: good[weights] + b"x"}, "invalid-safetensors"),
    "empty weights": (good | {weights: b""}, "invalid-safetensors"),
    "no weights": (without(weights), "missing-file"),
    "no configuration": (without(config), "missing-file"),
    "a zip as weights": (good | {weights: zipped("weights.bin")}, "archive-refused"),
    "a gzip as weights": (good | {weights: gzip.compress(good[weights])}, "archive-refused"),
    "what torch.save writes as weights": (good | {weights: zipped("archive/data.pkl")}, "pickle-refused"),
    "a pickle as weights": (good | {weights: pickle.dumps({"weights": 1})}, "pickle-refused"),
    "pickled weights beside": (without(weights) | {"adapter_model.bin": b"\x80\x02."}, "pickle-refused"),
    "overlapping tensors": (with_header(overlapping), "invalid-safetensors"),
    "a tensor twice": (twice(), "invalid-safetensors"),
    "A without B": (with_tensors(lambda t: t.pop(f"{prefix}.lora_B.weight")), "unpaired-factor"),
    "B without A": (with_tensors(lambda t: t.pop(f"{prefix}.lora_A.weight")), "unpaired-factor"),
    "another rank in the configuration": (with_config(r=3), "rank-mismatch"),
    "another rank by pattern": (with_config(rank_pattern={"q_proj": 2}), "rank-mismatch"),
    "NaN": (with_tensors(nan), "non-finite-values"),
    "an infinity": (with_tensors(infinite), "non-finite-values"),
    "a tensor that fits nowhere": (with_tensors(lambda t: t.update(stray=np.ones(3, np.float32))), "stray-tensor"),
    "a factor that is no matrix": (
        with_tensors(lambda t: t.update({f"{prefix}.lora_A.weight": np.ones(4, np.float32)})),
        "factor-shape",
    ),
    "no tensor at all": (good | {weights: save({})}, "empty-adapter"),
    "U+0000 in the metadata": (with_header(lambda h: h.update(__metadata__={"a": "b\0"})), "invalid-safetensors"),
    "U+0000 in a tensor's name": (with_header(lambda h: h.update({"a\0": h.popitem()[1]})), "invalid-safetensors"),
    "a configuration that is no JSON": (good | {config: b"{'r': 4}"}, "invalid-config"),
    "a configuration in another encoding": (good | {config: good[config].decode().encode("utf-16")}, "invalid-config"),
    "a key twice in the configuration": (good | {config: b'{"r": 1, "r": 2}'}, "invalid-config"),
    "NaN in the configuration": (good | {config: good[config].replace(b"8", b"NaN", 1)}, "invalid-config"),
    "a lone surrogate in the configuration": (good | {config: b'{"revision": "\\ud800"}'}, "invalid-config"),
    "U+0000 in the base's name": (with_config(base_model_name_or_path="a\0b"), "invalid-config"),
    "U+0000 in target_modules": (with_config(target_modules=["q_proj", "v_proj", "x\0"]), "invalid-config"),
    "an unknown key": (with_config(backdoor=1), "unknown-config-key"),
    "a library to import": (with_config(auto_mapping={"parent_library": "os", "base_model_class": "x"}), "import-key-refused"),
    "a core to import": (with_config(megatron_core="evil.core"), "import-key-refused"),
    "a pattern that needs exponential time": (with_config(target_modules=r"(a+)+\1$"), "unsafe-pattern"),
    "a pattern that repeats a million times": (with_config(target_modules="((x{1000}){1000}){1000}"), "unsafe-pattern"),
    "a rank pattern that cannot be matched in linear time": (
        with_config(rank_pattern={r"(a|a)*(?=b)": 4}),
        "unsafe-pattern",
    ),
}  # fmt: skip


@pytest.fixture
def alice(registry: Registry) -> User:
    user = registry.user("alice")
    user.repository("target")
    return user


def form_of(files: Files) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (path, data)) for path, data in files.items()]


def found_in(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def test_bad_files_have_each_their_problem_and_leave_nothing_behind(registry: Registry, alice: User) -> None:
    found = {}
    for name, (files, _) in bad.items():
        with nothing_stored(registry):
            found[name] = found_in(alice.post("/repositories/alice/target/versions/form", files=form_of(files)))
    assert found == {name: (422, problem) for name, (_, problem) in bad.items()}


def test_what_is_refused_in_a_form_is_refused_by_digest(registry: Registry, alice: User) -> None:
    found = {}
    for name, (files, _) in bad.items():
        digests = {path: alice.upload(data) for path, data in files.items()}
        with nothing_stored(registry):
            found[name] = found_in(alice.post("/repositories/alice/target/versions", {"files": digests}))
    assert found == {name: (422, problem) for name, (_, problem) in bad.items()}
    assert done(alice.get("/repositories/alice/target/versions"))["items"] == []


def test_the_same_files_without_the_fault_are_taken(registry: Registry, alice: User) -> None:
    made = done(alice.post("/repositories/alice/target/versions/form", files=form_of(good)), 201)
    assert made["reference"] == "alice/target@1.0.0"


def test_an_attachment_may_be_anything_and_is_marked_when_it_can_run_code(alice: User) -> None:
    extra = {"optimizer.pt": b"\x80\x02}q\x00.", "notes.txt": b"\0\xff", "training/log.zip": zipped("log")}
    made = alice.publish("alice/target", good | extra)
    assert {file["path"]: file["pickle"] for file in made["files"] if file["path"] in extra} == {
        "optimizer.pt": True,
        "notes.txt": False,
        "training/log.zip": False,
    }


@pytest.fixture
def parent(registry: Registry, alice: User) -> str:
    alice.publish("alice/parent", make_adapter(2))
    return "alice/parent@1.0.0"


def test_a_version_that_contradicts_its_parents_is_refused(registry: Registry, alice: User, parent: str) -> None:
    other_base, other_shape = make_adapter(3, base="acme/other"), make_adapter(4, shape=(24, 32))
    alice.repository("model", kind="model")
    cases: list[tuple[Files, dict[str, Any], int, str]] = [
        (good, {"builds_on": ["alice/nobody@1.0.0"]}, 404, "parent-not-found"),
        (good, {"builds_on": ["alice/parent@9.0.0"]}, 404, "parent-not-found"),
        (good, {"builds_on": ["alice/parent@nightly"]}, 404, "parent-not-found"),
        (good, {"initialized_from": "alice/parent@nightly"}, 404, "parent-not-found"),
        (good, {"builds_on": ["alice/parent"]}, 422, "invalid-reference"),
        (good, {"builds_on": [parent, parent]}, 422, "malformed-request"),
        (good, {"builds_on": [{"version": parent, "weight": "1"}]}, 422, "malformed-request"),
        (other_base.files, {"builds_on": [parent]}, 409, "base-model-mismatch"),
        (other_base.files, {"initialized_from": parent}, 409, "base-model-mismatch"),
        (good, {"builds_on": [parent], "base_model": "acme/other"}, 409, "base-model-mismatch"),
        (other_shape.files, {"builds_on": [parent]}, 409, "shape-mismatch"),
    ]
    for files, fields, status, problem in cases:
        digests = {path: alice.upload(data) for path, data in files.items()}
        with nothing_stored(registry):
            body = refused(
                alice.post("/repositories/alice/target/versions", {"files": digests} | fields), status, problem
            )
        if problem == "parent-not-found":
            assert body["pointer"].startswith(("/builds_on/0", "/initialized_from"))
