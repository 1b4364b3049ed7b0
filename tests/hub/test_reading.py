"""What was published over REST, read with the Hub's own client."""

import pytest

from tests.api.conftest import make_adapter
from tests.hub import talking
from tests.hub.conftest import Hub, environments

read = """
import json, sys
from huggingface_hub import HfApi, snapshot_download
api = HfApi()
name = sys.argv[1]
info = api.model_info(name, files_metadata=True)
folder = snapshot_download(name)
tree = list(api.list_repo_tree(name, recursive=True, expand=True))
refs = api.list_repo_refs(name)
print(json.dumps({
    "sha": info.sha,
    "siblings": {s.rfilename: [s.size, s.lfs and s.lfs.sha256] for s in info.siblings},
    "readme": open(folder + "/README.md").read(),
    "tree": {e.path: e.last_commit.title for e in tree},
    "tags": {t.name: t.target_commit for t in refs.tags},
    "branches": [b.name for b in refs.branches],
    "info_tags": info.tags,
    "listed": [m.id for m in api.list_models(filter="base_model:adapter:org/base")],
    "commits": [c.title for c in api.list_repo_commits(name)],
    "paths": [p.path for p in api.get_paths_info(name, ["README.md", "absent", "sub"])],
    "exists": [api.repo_exists(name), api.file_exists(name, "README.md"), api.file_exists(name, "x"),
               api.revision_exists(name, "1.0.0"), api.revision_exists(name, "9.0.0"),
               api.repo_exists("alice/none"), api.repo_exists(name, repo_type="dataset")],
    "me": api.whoami()["name"],
}))
"""


def test_a_version_published_over_rest_is_a_repository_to_the_client(hub: Hub) -> None:
    alice = hub.user("alice")
    files = make_adapter(1, base="org/base", readme="---\ntags: [chat]\nlicense: mit\n---\n# Hello\n").files
    version = alice.publish("alice/one", {**files, "sub/notes ü #1.txt": b"notes"})
    said = hub.run(read, "alice/one", user=alice)
    assert said["sha"] == version["commit"]
    assert said["readme"].endswith("# Hello\n")
    assert set(said["siblings"]) == {*files, "sub/notes ü #1.txt"}
    digest = next(file["digest"] for file in version["files"] if file["path"] == "adapter_model.safetensors")
    assert said["siblings"]["adapter_model.safetensors"][1] == digest.removeprefix("sha256:")
    assert said["tree"].keys() == {*files, "sub", "sub/notes ü #1.txt"}
    assert said["tags"] == {"1.0.0": version["commit"]}
    assert said["branches"] == ["main"]
    assert {"chat", "license:mit", "base_model:adapter:org/base", "peft"} <= set(said["info_tags"])
    assert said["listed"] == ["alice/one"]
    assert said["commits"] == ["Version 1.0.0", "initial commit"]
    assert said["paths"] == ["README.md", "sub"]
    assert said["exists"] == [True, True, False, True, False, False, False]
    assert said["me"] == "alice"


count = """
import json
from huggingface_hub import HfApi
api = HfApi()
print(json.dumps({
    "entries": len({entry.path for entry in api.list_repo_tree("alice/wide", recursive=True)}),
    "commits": len({commit.commit_id for commit in api.list_repo_commits("alice/tall")}),
    "models": len({model.id for model in api.list_models(author="alice")}),
    "limited": len(list(api.list_models(author="alice", limit=52))),
}))
"""


@pytest.mark.slow
def test_clients_read_lists_to_their_end_page_by_page(hub: Hub) -> None:
    alice = hub.user("alice")
    lines = [talking.file_line(f"{number % 250}/{number}.txt", b"x") for number in range(900)]
    assert talking.post(alice, talking.create(alice, "wide"), [talking.header(), *lines]).status_code == 200
    tall = talking.create(alice, "tall")
    for number in range(53):
        talking.pushed(alice, tall, {"a.txt": str(number).encode()})
        alice.repository(f"model-{number}")
    for client in ("0.36", "2.4"):
        told = hub.run(count, user=alice, python=str(environments / f"hub-{client}" / "bin" / "python"))
        assert told == {"entries": 1150, "commits": 54, "models": 55, "limited": 52}, client
