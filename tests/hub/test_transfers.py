"""Bytes on other ways: with S3 as the store, and over a connection that is cut."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import MIB, Settings
from tests.api.conftest import Registry, done, make_adapter, with_s3
from tests.hub.conftest import Hub, Serve, environments
from tests.hub.talking import create, get, pushed
from tests.hub.test_clients import write_adapter
from tests.s3server.server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

there_and_back = """
import hashlib, json, os, sys
from huggingface_hub import HfApi, hf_hub_download, snapshot_download, HfFileSystem
api = HfApi()
api.create_repo("alice/far", private=True)
made = api.upload_folder(repo_id="alice/far", folder_path=sys.argv[1])
folder = snapshot_download("alice/far", revision="1.0.0")
system = HfFileSystem()
with system.open("alice/far/large.bin", "rb") as file:
    file.seek(1_000_000)
    part = file.read(1000)
print(json.dumps({
    "files": {name: hashlib.sha256(open(os.path.join(folder, name), "rb").read()).hexdigest()
              for name in os.listdir(sys.argv[1])},
    "part": part == open(os.path.join(sys.argv[1], "large.bin"), "rb").read()[1_000_000:1_001_000],
}))
"""


@pytest.mark.parametrize(("client", "xet"), [("0.36", True), ("2.4", True), ("2.4", False)])
def test_with_s3_large_files_come_from_the_store_itself(
    serve: Serve,
    open_registry: Callable[[Settings], Registry],
    settings: Settings,
    s3_server: S3Server,
    tmp_path: Path,
    client: str,
    xet: bool,
) -> None:
    registry = open_registry(with_s3(settings, s3_server, upload_part_bytes=5 * MIB))
    hub = serve(registry)
    alice = hub.user("alice")
    folder = write_adapter(tmp_path / "adapter")
    (folder / "large.bin").write_bytes(os.urandom(12_000_000))
    python = str(environments / f"hub-{client}" / "bin" / "python")
    told = hub.run(there_and_back, str(folder), user=alice, python=python, xet=xet)
    files = done(alice.get("/repositories/alice/far/versions/1.0.0"))["files"]
    assert told["files"] == {file["path"]: file["digest"].removeprefix("sha256:") for file in files}
    assert told["part"]
    large = alice.http.head(
        "/alice/far/resolve/main/large.bin", headers={"Authorization": f"Bearer {alice.token}"}, follow_redirects=False
    )
    assert large.status_code == 302
    assert large.headers["X-Linked-Size"] == "12000000"
    assert len(large.headers["X-Repo-Commit"]) == 40
    assert not large.headers["Location"].startswith(hub.url)
    small = alice.http.head(
        "/alice/far/resolve/main/adapter_config.json",
        headers={"Authorization": f"Bearer {alice.token}"},
        follow_redirects=False,
    )
    assert small.status_code == 200


class Cutting:
    """Closes the connection in the middle of the first answers with a file."""

    def __init__(self, app: ASGIApp, cuts: list[int]) -> None:
        self.app = app
        self.cuts = cuts
        """After how many bytes, answer by answer."""
        self.ranges: list[str | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or "/resolve/" not in scope["path"]:
            await self.app(scope, receive, send)
            return
        self.ranges.append(next((value.decode() for name, value in scope["headers"] if name == b"range"), None))
        rest = self.cuts.pop(0) if self.cuts else None

        async def cut(message: Message) -> None:
            nonlocal rest
            if rest is not None and message["type"] == "http.response.body":
                rest -= len(message.get("body", b""))
                if rest < 0:
                    raise ConnectionError("the test cuts the line here")
            await send(message)

        await self.app(scope, receive, cut)


download = """
import hashlib, json
from huggingface_hub import hf_hub_download
# an old client gives up when the line is cut, and goes on when it is asked again
for attempt in range(4):
    try:
        path = hf_hub_download("alice/one", "large.bin")
        break
    except OSError:
        pass
print(json.dumps(hashlib.sha256(open(path, "rb").read()).hexdigest()))
"""


@pytest.mark.parametrize("client", ["0.36", "2.4"])
def test_a_download_that_is_cut_goes_on_where_it_stopped(serve: Serve, registry: Registry, client: str) -> None:
    alice = registry.user("alice")
    data = os.urandom(45_000_000)
    pushed(alice, create(alice, "one"), make_adapter(1).files | {"large.bin": data})
    cutting = Cutting(registry.app, [32_000_000, 5_000_000])
    hub = serve(registry, cutting)
    python = str(environments / f"hub-{client}" / "bin" / "python")
    told = hub.run(download, user=alice, python=python)
    digests = {
        file["path"]: file["digest"] for file in done(alice.get("/repositories/alice/one/versions/1.0.0"))["files"]
    }
    assert f"sha256:{told}" == digests["large.bin"]
    assert cutting.ranges[0] in {None, "bytes=0-"}
    assert any(asked is not None and not asked.startswith("bytes=0-") for asked in cutting.ranges), cutting.ranges


offline = """
import json, os
from huggingface_hub import hf_hub_download
print(json.dumps(hf_hub_download("alice/one", "README.md")))
"""


def test_what_was_downloaded_is_there_without_the_server(hub: Hub) -> None:
    alice = hub.user("alice")
    pushed(alice, create(alice, "one"), {"README.md": b"# Words"})
    path = hub.run(offline, user=alice)
    for others in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        assert hub.run(offline, user=alice, others=others) == path
    assert get(alice, "/alice/one/resolve/main/README.md").content == b"# Words"
