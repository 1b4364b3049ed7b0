"""What is pushed, and the record that a pull leaves."""

import json
from pathlib import Path

import pytest

from glulam.errors import InvalidArgument
from glulam.records import pulled_adapter, write_record
from glulam.uploads import gather

record = {"repository": "a/x", "kind": "adapter", "digest": "sha256:" + "0" * 64}


def test_a_folder_is_pushed_whole_but_for_what_is_not_its_content(tmp_path: Path) -> None:
    for name in ("b.txt", "sub/a.txt", ".git/config", ".hidden", "glulam.json", "weights.part"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert [file.path for file in gather(tmp_path)] == ["b.txt", "sub/a.txt"]


def test_files_may_be_given_by_name_in_a_row_or_in_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"1")
    assert [file.path for file in gather(path)] == ["one"]
    assert [file.path for file in gather([path])] == ["one"]
    (file,) = gather({"there/two": path})
    assert (file.path, file.size) == ("there/two", 1)
    assert file.digest == "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_nothing_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        gather(tmp_path)
    with pytest.raises(InvalidArgument):
        gather(tmp_path / "missing")
    for name in ("a/x", "b/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    with pytest.raises(InvalidArgument):
        gather([tmp_path / "a/x", tmp_path / "b/x"])


def test_a_pulled_folder_remembers_what_it_was(tmp_path: Path) -> None:
    assert pulled_adapter(tmp_path, "http://one") is None
    write_record(tmp_path, "http://one", "version", record)
    assert pulled_adapter(tmp_path, "http://one") == f"a/x@{record['digest']}"
    assert json.loads((tmp_path / "glulam.json").read_text())["registry"] == "http://one"


def test_what_another_registry_said_or_a_merge_is_no_origin(tmp_path: Path) -> None:
    write_record(tmp_path, "http://one", "version", record)
    assert pulled_adapter(tmp_path, "http://two") is None
    write_record(tmp_path, "http://one", "version", record | {"kind": "model"})
    assert pulled_adapter(tmp_path, "http://one") is None
    write_record(tmp_path, "http://one", "merge", record)
    assert pulled_adapter(tmp_path, "http://one") is None
