"""All that a client of the Hub does, told by the client itself: run by the Python of its environment, old or new.

It needs `huggingface_hub` and nothing of ours. Each chapter's outcome is printed as JSON: `null`, or what went wrong.
"""

import hashlib
import inspect
import json
import os
import sys
import traceback
from io import BytesIO
from pathlib import Path

import huggingface_hub
from huggingface_hub import (
    _CACHED_NO_EXIST,
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    get_safetensors_metadata,
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.utils import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

api = HfApi()
adapter, work, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
me = api.whoami()["name"]
name = f"{me}/story"
weights = adapter / "adapter_model.safetensors"
chapters = []


def chapter(tell):
    chapters.append(tell)
    return tell


def refused(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected of {call.__name__}")


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@chapter
def repositories():
    url = api.create_repo(name, private=False)
    assert url.repo_id == name, url
    refused(HfHubHTTPError, api.create_repo, name)
    assert api.create_repo(name, exist_ok=True).repo_id == name
    assert api.repo_exists(name)
    assert not api.repo_exists(f"{me}/nothing")
    assert not api.repo_exists(name, repo_type="dataset")
    refused(RepositoryNotFoundError, api.model_info, f"{me}/nothing")
    api.auth_check(name)
    if "write" in inspect.signature(api.auth_check).parameters:
        api.auth_check(name, write=True)
    assert len(api.model_info(name).sha) == 40


@chapter
def readme_first():
    made = api.upload_file(path_or_fileobj=b"---\ntags:\n- first\n---\n# One\n", path_in_repo="README.md", repo_id=name)
    assert made.oid == api.model_info(name).sha
    assert [tag.name for tag in api.list_repo_refs(name).tags] == []
    assert "first" in api.model_info(name).tags


@chapter
def a_folder_becomes_a_version():
    made = api.upload_folder(repo_id=name, folder_path=adapter, commit_message="weights", commit_description="of all")
    tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(name).tags}
    assert tags == {"1.0.0": made.oid}, tags
    # nothing is new: no commit
    assert api.upload_folder(repo_id=name, folder_path=adapter).oid == made.oid
    commits = api.list_repo_commits(name)
    assert [commit.title for commit in commits][0] == "weights"
    assert commits[0].message == "of all"
    assert commits[0].authors == [me]
    assert [commit.commit_id for commit in api.list_repo_commits(name, formatted=True)][0] == made.oid
    assert not api.list_repo_refs(name, include_pull_requests=True).pull_requests
    assert api.model_info(name, expand=["sha", "siblings"]).sha == made.oid
    assert api.model_info(name, securityStatus=True).sha == made.oid


@chapter
def sizes():
    (work / "empty.txt").write_bytes(b"")
    (work / "mega.bin").write_bytes(os.urandom(1_000_000))
    (work / "large.bin").write_bytes(os.urandom(size))
    for file in ("empty.txt", "mega.bin", "large.bin"):
        path = f"files/{file}"
        oid = api.upload_file(path_or_fileobj=str(work / file), path_in_repo=path, repo_id=name).oid
        assert sha256(hf_hub_download(name, path, revision=oid)) == sha256(work / file), file
        assert api.upload_file(path_or_fileobj=str(work / file), path_in_repo=path, repo_id=name).oid == oid, file
    streamed = os.urandom(2_000_000)
    api.upload_file(path_or_fileobj=BytesIO(streamed), path_in_repo="files/stream.bin", repo_id=name)
    assert Path(hf_hub_download(name, "files/stream.bin")).read_bytes() == streamed


@chapter
def odd_names():
    path = "sub/deep dir/ü #1.json"
    api.upload_file(path_or_fileobj=b"{}", path_in_repo=path, repo_id=name)
    assert Path(hf_hub_download(name, path)).read_bytes() == b"{}"
    assert Path(hf_hub_download(name, "ü #1.json", subfolder="sub/deep dir")).read_bytes() == b"{}"
    listed = [entry.path for entry in api.list_repo_tree(name, "sub/deep dir")]
    assert listed == [path], listed


@chapter
def trees():
    entries = {entry.path: entry for entry in api.list_repo_tree(name, recursive=True, expand=True)}
    assert entries["files/mega.bin"].lfs.sha256 == sha256(work / "mega.bin")
    assert entries["files/mega.bin"].size == 1_000_000
    assert entries["README.md"].last_commit.title
    assert {"files", "sub", "sub/deep dir"} <= entries.keys()
    assert [entry.path for entry in api.list_repo_tree(name, "files")] == [
        f"files/{file}" for file in ("empty.txt", "large.bin", "mega.bin", "stream.bin")
    ]
    found = api.get_paths_info(name, ["README.md", "files", "absent"], expand=True)
    assert [entry.path for entry in found] == ["README.md", "files"]
    refused(EntryNotFoundError, lambda: list(api.list_repo_tree(name, "absent")))
    siblings = {entry.rfilename: entry for entry in api.model_info(name, files_metadata=True).siblings}
    assert siblings["files/mega.bin"].lfs.sha256 == sha256(work / "mega.bin")
    assert sorted(siblings) == sorted(api.list_repo_files(name))
    assert api.file_exists(name, "README.md")
    assert not api.file_exists(name, "absent")


@chapter
def copies_and_deletions():
    before = api.model_info(name).sha
    api.create_commit(
        name,
        [
            CommitOperationCopy("files/mega.bin", "copied/mega.bin"),
            CommitOperationCopy("README.md", "copied/README.md"),
            CommitOperationAdd("added.txt", b"added"),
        ],
        commit_message="copies",
        parent_commit=before,
    )
    assert sha256(hf_hub_download(name, "copied/mega.bin")) == sha256(work / "mega.bin")
    refused(
        HfHubHTTPError,
        api.create_commit,
        name,
        [CommitOperationAdd("x", b"y")],
        commit_message="z",
        parent_commit=before,
    )
    api.create_commit(
        name,
        [CommitOperationDelete("copied/", is_folder=True), CommitOperationDelete("added.txt")],
        commit_message="gone",
    )
    assert not [path for path in api.list_repo_files(name) if path.startswith(("copied", "added"))]
    refused(EntryNotFoundError, api.delete_file, "absent.txt", name)
    api.delete_file("files/stream.bin", name)
    api.delete_folder("sub", name)
    api.upload_folder(repo_id=name, folder_path=adapter, path_in_repo="again", delete_patterns="*.json")
    api.delete_files(name, ["again/*"])
    assert not [path for path in api.list_repo_files(name) if path.startswith(("sub", "again"))]


@chapter
def branches_and_tags():
    api.create_branch(name, branch="feat/x")
    refused(HfHubHTTPError, api.create_branch, name, branch="feat/x")
    api.create_branch(name, branch="feat/x", exist_ok=True)
    made = api.upload_file(path_or_fileobj=b"draft", path_in_repo="draft.txt", repo_id=name, revision="feat/x")
    assert not api.file_exists(name, "draft.txt")
    assert Path(hf_hub_download(name, "draft.txt", revision="feat/x")).read_bytes() == b"draft"
    assert Path(hf_hub_download(name, "draft.txt", revision=made.oid)).read_bytes() == b"draft"
    assert [ref.name for ref in api.list_repo_refs(name).branches] == ["main", "feat/x"]
    api.create_tag(name, tag="prod", revision="1.0.0")
    refused(HfHubHTTPError, api.create_tag, name, tag="prod")
    api.create_tag(name, tag="prod", exist_ok=True)
    api.create_tag(name, tag="1.0.0", revision="1.0.0")
    refused(HfHubHTTPError, api.create_tag, name, tag="7.0.0")
    refused(RevisionNotFoundError, api.create_tag, name, tag="other", revision="absent")
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(name).tags}
    assert tags["prod"] == tags["1.0.0"]
    assert api.model_info(name, revision="prod").sha == tags["1.0.0"]
    assert api.revision_exists(name, "feat/x")
    assert not api.revision_exists(name, "absent")
    api.delete_tag(name, tag="prod")
    refused(RevisionNotFoundError, api.delete_tag, name, tag="prod")
    api.delete_branch(name, branch="feat/x")
    refused(RevisionNotFoundError, hf_hub_download, name, "draft.txt", revision="feat/x")


@chapter
def ignored_files():
    folder = work / "ignoring"
    folder.mkdir()
    (folder / ".gitignore").write_text("*.log\n/build/\n")
    (folder / "kept.txt").write_text("kept")
    (folder / "a.log").write_text("ignored")
    (folder / "build").mkdir()
    (folder / "build" / "out.txt").write_text("ignored")
    api.upload_folder(repo_id=name, folder_path=folder, path_in_repo=".")
    files = api.list_repo_files(name)
    assert "kept.txt" in files
    assert ".gitignore" in files
    assert not {"a.log", "build/out.txt"} & set(files), files


@chapter
def a_large_folder():
    if not hasattr(api, "upload_large_folder"):
        return
    folder = work / "many"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.txt").write_text(str(number))
    (folder / "big.bin").write_bytes(os.urandom(1_500_000))
    api.create_repo(f"{me}/many")
    api.upload_large_folder(repo_id=f"{me}/many", folder_path=folder, repo_type="model", print_report=False)
    assert len(api.list_repo_files(f"{me}/many")) == 21


@chapter
def many_files():
    folder = work / "six-hundred"
    for number in range(600):
        (folder / str(number % 7)).mkdir(parents=True, exist_ok=True)
        (folder / str(number % 7) / f"{number}.txt").write_text(str(number))
    api.create_repo(f"{me}/six-hundred")
    # newer clients make several commits of it
    api.upload_folder(repo_id=f"{me}/six-hundred", folder_path=folder)
    assert len(api.list_repo_files(f"{me}/six-hundred")) == 600
    sha = api.model_info(f"{me}/six-hundred").sha
    assert api.upload_folder(repo_id=f"{me}/six-hundred", folder_path=folder).oid == sha
    # the listing comes in pages, and files come with the folder's path alone
    local = Path(snapshot_download(f"{me}/six-hundred", allow_patterns="3/*"))
    assert sorted(path.name for path in local.rglob("*.txt")) == sorted(f"{n}.txt" for n in range(600) if n % 7 == 3)
    api.delete_repo(f"{me}/six-hundred")


@chapter
def reading_parts():
    api.create_branch(name, branch="model")
    api.upload_file(path_or_fileobj=weights, path_in_repo="model.safetensors", repo_id=name, revision="model")
    metadata = get_safetensors_metadata(name, revision="model")
    assert metadata.weight_map == dict.fromkeys(metadata.weight_map, "model.safetensors")
    assert metadata.weight_map
    own = api.parse_safetensors_file_metadata(name, weights.name)
    assert own.tensors.keys() == metadata.weight_map.keys()
    system = HfFileSystem()
    with system.open(f"{name}/files/mega.bin", "rb") as file:
        file.seek(500_000)
        assert file.read(1000) == (work / "mega.bin").read_bytes()[500_000:501_000]
    assert f"{name}/README.md" in system.ls(name, detail=False)


@chapter
def caches():
    folder = snapshot_download(name, revision="1.0.0")
    assert (Path(folder) / weights.name).read_bytes() == weights.read_bytes()
    assert snapshot_download(name, revision="1.0.0", local_files_only=True) == folder
    local = work / "local"
    snapshot_download(name, local_dir=local)
    assert sha256(local / "files" / "large.bin") == sha256(work / "large.bin")
    refused(EntryNotFoundError, hf_hub_download, name, "absent.txt")
    # remembered: it is not asked for again
    assert try_to_load_from_cache(name, "absent.txt") is _CACHED_NO_EXIST
    refused(RevisionNotFoundError, hf_hub_download, name, "README.md", revision="absent")


@chapter
def lists():
    assert name in [model.id for model in api.list_models(author=me)]
    assert [model.id for model in api.list_models(author=me, search="story")] == [name]
    assert [model.id for model in api.list_models(filter="first", author=me)] == [name]
    assert [model.id for model in api.list_models(filter=["first", "absent"])] == []
    full = next(iter(api.list_models(author=me, search="story", full=True, sort="last_modified", limit=1)))
    assert any(sibling.rfilename == "README.md" for sibling in full.siblings)


@chapter
def settings_and_moves():
    api.update_repo_settings(name, private=True)
    assert api.model_info(name).private
    refused(RepositoryNotFoundError, HfApi(token=False).model_info, name)
    api.move_repo(name, f"{me}/moved")
    assert api.model_info(name).id == f"{me}/moved"
    assert Path(hf_hub_download(name, "kept.txt")).read_text() == "kept"
    api.move_repo(f"{me}/moved", name)


@chapter
def refusals():
    broken = bytearray(weights.read_bytes())
    broken[8:20] = b"{nonsense!!!"
    try:
        api.upload_file(path_or_fileobj=bytes(broken), path_in_repo=weights.name, repo_id=name)
    except HfHubHTTPError as error:
        assert "safetensors" in str(error), error
    else:
        raise AssertionError("broken weights were taken")
    assert api.list_repo_commits(name)[0].title != f"Upload {weights.name} with huggingface_hub"
    bad_card = b"---\ntags: [\n---\n"
    refused(ValueError, api.upload_file, path_or_fileobj=bad_card, path_in_repo="README.md", repo_id=name)
    added = [CommitOperationAdd("x", b"y")]
    for call in (
        lambda: api.create_commit(name, added, commit_message="z", create_pr=True),
        lambda: api.super_squash_history(name),
        lambda: api.create_discussion(name, title="words", description="more words"),
    ):
        try:
            call()
        except HfHubHTTPError as error:
            assert "this registry has no" in str(error), error
        else:
            raise AssertionError("what is not here was done")
    wrong = HfApi(token="glu_wrong")
    refused(Exception, wrong.whoami)
    refused(HfHubHTTPError, wrong.create_repo, "x")


@chapter
def the_end():
    api.delete_repo(name)
    assert not api.repo_exists(name)
    refused(RepositoryNotFoundError, api.delete_repo, name)
    api.delete_repo(name, missing_ok=True)
    api.create_repo(name)
    assert [tag.name for tag in api.list_repo_refs(name).tags][-1] == "1.0.0"
    api.delete_repo(name)


outcome = {"client": huggingface_hub.__version__}
for tell in chapters:
    try:
        tell()
    except Exception:
        outcome[tell.__name__] = traceback.format_exc()[-1500:]
    else:
        outcome[tell.__name__] = None
print(json.dumps(outcome))
