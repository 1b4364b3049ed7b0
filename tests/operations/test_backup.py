"""Backup and restore as the operator's guide tells them: its own commands, run while clients write, restored elsewhere."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.lineage.embedded import EmbeddedPostgres, binaries
from tests.api.conftest import digest_of
from tests.crash.clients import Client, Crowd, Ledger, Merger, Pusher, Reader, check_merge, prepare
from tests.crash.installation import Installation, Part, admin_token, wait_until

pytestmark = pytest.mark.slow

guide = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for a socket, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="glulam-") as name:
        yield Path(name)


def commands(title: str) -> str:
    """The shell commands of a section of the guide."""
    (section,) = re.findall(rf"^### {title}\n(.*?)(?=^##)", guide.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(block)


def run(title: str, installation: Installation, backup: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        # those of the wheel stand for the operator's
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "DATABASE_URL": installation.url,
        "OBJECTS": str(installation.data_dir / "objects"),
        "BACKUP": str(backup),
    }
    script = f"set -euo pipefail\n{commands(title)}"
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)


def begin_upload(client: Client, data: bytes) -> str:
    """Its id, with one of its parts there."""
    begun = client.post("/uploads", {"digest": digest_of(data), "size": len(data)}, 201)
    first = begun["parts"][0]
    client.done("PUT", first["url"].removeprefix("/api/v1"), 204, content=data[: first["size"]])
    return str(begun["id"])


def test_a_backup_under_load_restores_every_version_that_was_acknowledged_before(folder: Path) -> None:
    original, restored = Installation(folder / "a"), Installation(folder / "b")
    for installation in (original, restored):
        installation.data_dir.mkdir()
    unfinished = os.urandom(150_000)
    try:
        original.begin(Part)
        token = prepare(original.address, admin_token)
        ledger = Ledger()
        upload = begin_upload(Client(original.address, token, ledger), unfinished)
        kinds: list[type[Pusher | Merger | Reader]] = [Pusher, Pusher, Merger, Reader]
        crowd = Crowd(ledger, [kind(original.address, token, ledger, number).step for number, kind in enumerate(kinds)])
        wait_until(lambda: len(ledger.pushes) >= 10 and len(ledger.merges) >= 2, "nobody gets anything done")
        backup, acknowledged = back_up_under_load(original, ledger, folder)
        crowd.stop()
        original.stop()
        assert (ledger.wrong, ledger.dangling) == ([], [])
        restored.postgres = EmbeddedPostgres(restored.data_dir / "postgres")
        restored.postgres.start()
        done = run("Restore", restored, backup)
        assert done.returncode == 0, done.stderr
        done = run("Verification", restored, backup)
        assert done.returncode == 0, done.stdout + done.stderr
        restored.start([Part.SERVER, Part.WORKER])
        client = Client(restored.address, token, acknowledged)
        check(restored, client, acknowledged)
        assert begin_upload(client, unfinished) != upload
        restored.stop()
    finally:
        original.destroy()
        restored.destroy()


def back_up_under_load(original: Installation, ledger: Ledger, folder: Path) -> tuple[Path, Ledger]:
    """One during which somebody wrote, with what was acknowledged before it; so little data can be saved between two pushes."""
    for attempt in range(50):
        backup = folder / f"backup-{attempt}"
        backup.mkdir()
        acknowledged = Ledger(pushes=list(ledger.pushes), merges=list(ledger.merges))
        done = run("Backup", original, backup)
        assert done.returncode == 0, done.stderr
        if len(ledger.pushes) > len(acknowledged.pushes):
            return backup, acknowledged
    raise AssertionError("nobody wrote while the backups were made")


def check(registry: Installation, client: Client, ledger: Ledger) -> None:
    """Everything in the ledger is there, to the byte; merges that were under way are finished."""
    for push in ledger.pushes:
        path = f"/repositories/alice/{push.name}/versions/1.0.0"
        assert client.done("GET", path, 200)["reference"] == push.reference
        for name, digest in push.digests.items():
            assert digest_of(client.insist("GET", f"{path}/files/{name}").content) == digest
    running = "SELECT count(*) FROM merge_executions WHERE state IN ('queued', 'running')"
    wait_until(lambda: registry.query(running) == [(0,)], "merges do not end", registry.log_tail)
    for merge in ledger.merges:
        check_merge(client, merge)
    assert (ledger.wrong, ledger.dangling) == ([], [])


@pytest.mark.parametrize("damage", ["flipped", "shorter", "gone"])
def test_the_verification_finds_a_damaged_object(folder: Path, database_url: str, damage: str) -> None:
    registry = Installation(folder, database_url)
    try:
        registry.begin([Part.SERVER])
        prepare(registry.address, admin_token)
        assert run("Verification", registry, folder).returncode == 0
        victim = next(path for path in (folder / "objects" / "sha256").rglob("*") if path.is_file())
        data = victim.read_bytes()
        victim.chmod(0o600)
        if damage == "flipped":
            victim.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        elif damage == "shorter":
            victim.write_bytes(data[:-1])
        else:
            victim.unlink()
        found = run("Verification", registry, folder)
        assert found.returncode != 0
        assert victim.name in found.stdout + found.stderr
        registry.stop()
    finally:
        registry.destroy()
