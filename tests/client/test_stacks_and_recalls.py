"""Stacks, impact, recalls and checks through the client and its command line, against a real registry with its worker."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glulam import InvalidArgument, PlanRefused, Recalled, Registry
from glulam.commands.stack import layer_of
from tests.client.test_commands import Run, answer
from tests.client.test_commands import glulam as glulam

Make = Callable[[str], Path]


def eventually(holds: Callable[[], bool]) -> None:
    """The worker does it in the background; far longer than it ever takes."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_stack_is_made_locked_pulled_compared_and_rolled_back(
    registry: Registry, me: str, adapter: Make, tmp_path: Path
) -> None:
    registry.push(f"{me}/x", adapter("one"), version="1.0.0")
    stack = registry.stack(f"{me}/chat")
    stack.put({f"{me}/x@>=1,<2": 0.5}, update="pin", visibility="public")
    assert stack.lock()["number"] == 1
    # nobody has merged it yet
    folder = registry.pull(f"{me}/chat", tmp_path / "first")
    assert (folder / "adapter_model.safetensors").exists()
    assert stack.lock_of(1)["version"] == "1.0.0"
    again = registry.pull(f"{me}/chat", tmp_path / "again")
    assert json.loads((again / "glulam.json").read_text())["version"]["reference"] == f"{me}/chat@1.0.0"
    registry.push(f"{me}/x", adapter("two"), version="1.1.0")
    assert stack.lock()["number"] == 2
    (moved,) = stack.difference(1, 2)["layers"]
    assert moved["to"]["version"]["reference"] == f"{me}/x@1.1.0"
    assert stack.rollback(1)["because"] == "rollback"
    assert [lock["number"] for lock in stack.locks()] == [3, 2, 1]
    stack.put([f"{me}/x@>=7"])
    with pytest.raises(PlanRefused):
        stack.lock()


@pytest.mark.slow
def test_a_stack_follows_and_what_was_pulled_is_checked(
    glulam: Run, registry: Registry, me: str, adapter: Make, tmp_path: Path
) -> None:
    registry.push(f"{me}/x", adapter("one"), version="1.0.0")
    registry.push(f"{me}/x", adapter("two"), version="1.1.0")
    glulam("stack", "create", f"{me}/chat", f"{me}/x@>=1", "--update", "auto", "--visibility", "public")
    stack = registry.stack(f"{me}/chat")
    eventually(lambda: stack.show()["lock"] is not None and stack.show()["lock"]["version"] is not None)
    glulam("pull", f"{me}/chat", "--to", "chat")
    glulam("pull", f"{me}/x@1.1.0", "--to", "x")
    assert answer(glulam("check", "chat", "--json"))[0]["state"] == "published"
    assert f"{me}/chat" in glulam("impact", f"{me}/x@1.1.0", "--of", "stacks").stdout

    recall = answer(glulam("recall", f"{me}/x@1.1.0", "--reason", "poisoned", "--json"))
    found = answer(glulam("check", "chat", "--json", status=1))
    assert (found[0]["state"], found[0]["recalls"][0]["reason"]) == ("recalled", "poisoned")
    assert "poisoned" in glulam("check", "x", status=1).stdout
    assert recall["id"] in glulam("recall").stdout
    assert answer(glulam("pull", f"{me}/x@1.1.0", "--to", "y", "--json", status=1))["error"]["type"] == "recalled"
    assert "is recalled" in glulam("pull", f"{me}/x@1.1.0", "--to", "y", "--accept-recalled").stderr
    eventually(lambda: stack.show()["lock"]["version"] == "2.0.0")
    assert f"{me}/x@1.0.0" in glulam("stack", "show", f"{me}/chat").stdout
    assert f"{me}/x@1.1.0" in glulam("stack", "diff", f"{me}/chat", "1...2").stdout
    with pytest.raises(Recalled):
        registry.pull(f"{me}/chat@1.0.0", tmp_path / "nowhere")
    glulam("recall", "--undo", recall["id"])
    glulam("check", "chat")


def test_a_layer_on_the_command_line_has_a_range_or_a_weight() -> None:
    assert layer_of("a/x", {}) == {"adapter": "a/x"}
    assert layer_of("a/x=0.5", {}) == {"adapter": "a/x", "weight": 0.5}
    assert layer_of("a/x@prod=0.5", {}) == {"adapter": "a/x@prod", "weight": 0.5}
    assert layer_of("a/x@>=1,<2", {"a/x": "0.25"}) == {"adapter": "a/x@>=1,<2", "weight": 0.25}
    assert layer_of("a/x@==1.2.0", {}) == {"adapter": "a/x@==1.2.0"}
    with pytest.raises(InvalidArgument):
        layer_of("a/x@prod=much", {})
