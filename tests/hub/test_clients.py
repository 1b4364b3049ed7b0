"""The whole story with each client: the newest and the oldest always, all of them with `make hub-matrix`."""

import os
from pathlib import Path

import pytest

from tests.api.conftest import make_adapter
from tests.hub.conftest import Hub, environments

story = Path(__file__).with_name("client_story.py")
clients = ["0.36", "1.19", "1.33", "2.4"]
every = [(client, xet) for client in clients for xet in (True, False)]
# what the oldest has of Xet it uses only when the server says so
always = [("0.36", True), ("2.4", True), ("2.4", False)]
chosen = every if os.environ.get("HUB_CLIENTS") == "all" else always
large_bytes = 80_000_000


def write_adapter(folder: Path, seed: int = 1) -> Path:
    folder.mkdir()
    for path, data in make_adapter(seed, shape=(64, 96), base="org/base").files.items():
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("client", "xet"), chosen)
def test_every_client_does_everything(hub: Hub, tmp_path: Path, client: str, xet: bool) -> None:
    python = environments / f"hub-{client}" / "bin" / "python"
    assert python.exists(), f"make {python.parents[1].relative_to(environments.parent)}/.installed"
    work = tmp_path / "work"
    work.mkdir()
    told = hub.run(
        story.read_text(),
        str(write_adapter(tmp_path / "adapter")),
        str(work),
        str(large_bytes),
        user=hub.user("alice"),
        python=str(python),
        xet=xet,
    )
    assert told.pop("client").startswith(client)
    assert {chapter: fault for chapter, fault in told.items() if fault is not None} == {}
    assert len(told) == 16
