"""A large file by the current `hf upload`, beside `glulam push` of the same bytes to the same server, in the same run.

`hf` cuts the file into chunks, compresses and sends them, and the server puts it together and hashes it; `glulam push` hashes
first and sends it in parts. Then a slightly changed copy by `hf`: how many bytes of chunks that costs. Nothing is reported when
other bytes come back than were sent.
"""

import argparse
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from benchmarks.servers import MIB, Measured, Wrong, measured_registry
from benchmarks.transfers import memory_watched, rate, timed
from glulam import Registry
from tests.api.conftest import make_adapter

attachment = "attachment.bin"
command = Path(".venv/hub-2.4/bin/hf")


def hf_upload(environment: Mapping[str, str], repository: str, folder: Path) -> None:
    subprocess.run(
        [str(command.absolute()), "upload", repository, str(folder), "--quiet"],
        env=dict(environment),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def write_noise(path: Path, size: int) -> str:
    """Bytes of which no two chunks are equal. Returns: their sha256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // MIB):
            chunk = os.urandom(MIB)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def check(registry: Measured, repository: str, digest: str) -> None:
    """Raises: Wrong."""
    seen = hashlib.sha256()
    headers = {"Authorization": f"Bearer {registry.token}"}
    path = f"{registry.url}/{repository}/resolve/main/{attachment}"
    with httpx.stream("GET", path, headers=headers, follow_redirects=True, timeout=60) as answer:
        for chunk in answer.iter_bytes(MIB):
            seen.update(chunk)
    if seen.hexdigest() != digest:
        raise Wrong("other bytes came back than were sent")


def stored_bytes(registry: Measured) -> int:
    return sum(file.stat().st_size for file in (registry.data / "objects").rglob("*") if file.is_file())


def changed(path: Path, size: int) -> str:
    """Overwrite a kilobyte in the middle. Returns: the sha256 now."""
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(1024))
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    size = parser.parse_args().mib * MIB
    with tempfile.TemporaryDirectory(prefix="glulam-") as name, measured_registry() as registry:
        folder = Path(name) / "pushed"
        folder.mkdir()
        for path, data in make_adapter(1).files.items():
            (folder / path).write_bytes(data)
        digest = write_noise(folder / attachment, size)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        own = {"HF_ENDPOINT": registry.url, "HF_TOKEN": registry.token, "HF_HOME": f"{name}/home"}
        environment = kept | own | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        with memory_watched(registry) as grown:
            began = time.perf_counter()
            hf_upload(environment, "admin/by-hub", folder)
            by_hub = time.perf_counter() - began
            print(f"memory of the server while hf sent: + {grown():.0f} MiB")
        check(registry, "admin/by-hub", digest)
        with Registry(registry.url, registry.token) as client:
            by_glulam = timed(lambda: client.push("admin/by-glulam", folder))
        check(registry, "admin/by-glulam", digest)
        before = stored_bytes(registry)
        digest = changed(folder / attachment, size)
        again = timed(lambda: hf_upload(environment, "admin/by-hub", folder))
        check(registry, "admin/by-hub", digest)
        sent = stored_bytes(registry) - before - size
    print(f"\n| {size / MIB:.0f} MiB, folder store | time | share of `glulam push` |")
    print("|---|---|---|")
    print(f"| `glulam push` | {rate(size, by_glulam)} | |")
    print(f"| `hf upload` (Xet) | {rate(size, by_hub)} | {by_glulam / by_hub:.0%} |")
    print(f"| `hf upload` of a copy with 1 KiB changed | {rate(size, again)}; {sent / MIB:.1f} MiB of chunks | |")


if __name__ == "__main__":
    main()
