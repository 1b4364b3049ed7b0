"""The command line against a real registry, as its users run it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.own_registry import OwnRegistry

pytestmark = pytest.mark.slow

Make = Callable[[str], Path]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def glulam(server: OwnRegistry, newcomer: tuple[str, str], tmp_path: Path) -> Run:
    """Runs `glulam` as a user who has logged in."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("GLULAM_")}
    environment = ours | {"XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "200"}

    def run(*arguments: str, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "glulam", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        assert newcomer[1] not in done.stdout + done.stderr
        return done

    run("login", "--url", server.url, stdin=newcomer[1] + "\n")
    return run


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_push_plan_merge_lineage_and_pull(glulam: Run, me: str, adapter: Make, tmp_path: Path) -> None:
    assert me in glulam("whoami").stdout
    glulam("push", f"{me}/instruct@1.0.0", str(adapter("instruct")))
    pushed = glulam("push", f"{me}/dialogue", str(adapter("dialogue")), "--builds-on", f"{me}/instruct@1.0.0=0.5")
    assert f"builds on {me}/instruct@1.0.0 × 0.5" in pushed.stdout
    layer = f"{me}/dialogue@1.0.0=2"
    plan = glulam("plan", layer).stdout
    assert f"{me}/instruct@1.0.0" in plan
    assert f"{me}/dialogue@1.0.0 builds on it" in plan
    glulam("push", f"{me}/chat", str(adapter("chat")))
    merged = glulam("merge", layer, "--rank", "4", "--to", "merged", "--publish", f"{me}/chat@2.0.0")
    assert "published" in merged.stdout
    assert (tmp_path / "merged" / "adapter_model.safetensors").exists()
    tree = glulam("lineage", f"{me}/chat@2.0.0").stdout
    assert f"merged from (trunk) {me}/instruct@1.0.0 × 0.5" in tree
    assert f"merged from (branch) {me}/dialogue@1.0.0 × 2" in tree
    assert "2.0.0" in glulam("versions", f"{me}/chat").stdout
    glulam("alias", f"{me}/chat", "prod", "2.0.0")
    assert "prod" in glulam("alias", f"{me}/chat").stdout
    glulam("pull", f"{me}/chat@prod", "--to", "pulled")
    assert answer(glulam("tensors", f"{me}/chat@prod", "--json"))[0]["rank"] == 4
    assert [found["name"] for found in answer(glulam("search", "--namespace", me, "--json"))] != []
    glulam("delete", f"{me}/chat@2.0.0", "--yes")
    assert answer(glulam("pull", f"{me}/chat@2.0.0", "--json", status=1))["error"]["type"] == "deleted"


def test_scripts_read_json_and_statuses(glulam: Run, me: str, adapter: Make) -> None:
    version = answer(glulam("push", f"{me}/one", str(adapter("one")), "--metric", "loss=0.5", "--json"))
    assert version["reference"] == f"{me}/one@1.0.0"
    assert version["metrics"] == {"loss": 0.5}
    layer = f"{me}/one@1.0.0"
    refused = answer(glulam("plan", layer, layer, "--json", status=1))
    assert refused["error"]["type"] == "duplicate-layer"
    merge = answer(glulam("merge", layer, "--json"))
    assert merge["state"] == "succeeded"


def test_a_refusal_says_what_to_do(glulam: Run, me: str, adapter: Make) -> None:
    glulam("push", f"{me}/one", str(adapter("one")))
    refused = glulam("plan", f"{me}/one@1.0.0", f"{me}/one@1.0.0", status=1)
    assert "duplicate-layer" in refused.stderr
    assert "name it once" in refused.stderr
    assert refused.stdout == ""


def test_what_is_not_understood_has_its_own_status(glulam: Run) -> None:
    glulam("merge", status=2)
    glulam("plan", "a/x=heavy", status=2)
    glulam("delete", "a/x", status=2)


def test_a_registry_that_is_not_there_is_a_refusal(glulam: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "127.0.0.1:9" in glulam("whoami", "--url", "http://127.0.0.1:9", status=1).stderr
