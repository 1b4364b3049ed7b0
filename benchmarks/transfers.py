"""A large file up and down through the client, beside the least that the machine could do for the same.

On `file://` the least is one pass: up, sha256 and write and fsync; down, copy and sha256. On S3 (the Swift of the tests, on
the same machine) it is boto3 alone: `upload_file`, `download_file`, with the store's own part size and eight threads, nothing
hashed. What the client and the registry do beside that is timed apart: the sha256 that the client begins with, and the
completion, in which the registry reads the whole back, hashes it and has the store copy it to its digest; a registry that
takes nobody's word has to. Prints how much memory the server took on, too. Nothing is reported when the bytes differ.
"""

import argparse
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from benchmarks.servers import MIB, Measured, Wrong, measured_registry
from glulam import Registry
from tests.api.conftest import make_adapter
from tests.s3server.fixtures import running
from tests.s3server.server import S3Server

attachment = "attachment.bin"
part_mib = 16


def write_file(path: Path, size: int) -> str:
    """Bytes that no disk can make less of. Returns: their sha256."""
    block, digest = os.urandom(MIB), hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // MIB):
            chunk = number.to_bytes(8, "big") + block[8:]
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def one_pass(source: Path, target: Path, *, durable: bool) -> str:
    """Read, hash and write; with fsync where it is to be durable. Returns: the sha256."""
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as out:
        while chunk := file.read(MIB):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        if durable:
            os.fsync(out.fileno())
    target.unlink()
    return digest.hexdigest()


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def memory_watched(registry: Measured) -> Iterator[Callable[[], float]]:
    """How many MiB the server's processes have grown at most since the context was entered."""
    servers, is_over = registry.servers, threading.Event()

    def used() -> int:
        return sum(server.memory_info().rss for server in servers)

    before = most = used()

    def watch() -> None:
        nonlocal most
        while not is_over.wait(0.02):
            most = max(most, used())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: (most - before) / MIB
    finally:
        is_over.set()
        thread.join()


@dataclass
class Phases:
    """Of a push, in seconds since it began: what the client tells of its progress."""

    size: int
    began: float = field(default_factory=time.perf_counter)
    hashed: float = 0.0
    sent: float = 0.0

    def __call__(self, name: str, done: int, total: int, unit: str, /) -> None:
        if name == attachment:
            now = time.perf_counter() - self.began
            self.hashed = self.hashed or now
            self.sent = now if done == total else self.sent


def rate(size: int, seconds: float) -> str:
    return f"{seconds:.1f} s, {size / MIB / seconds:.0f} MiB/s"


def against(limit: float, ours: float) -> str:
    return f"{limit / ours:.0%}"


def push_and_pull(registry: Measured, folder: Path, digest: str, size: int) -> tuple[Phases, float, float]:
    """Returns: the phases of the push, its seconds, the seconds of the pull."""
    pulled = folder.with_name("pulled")
    with Registry(registry.url, registry.token) as client, memory_watched(registry) as grown:
        cpu = registry.cpu_seconds(), time.process_time()
        phases = Phases(size)
        version = client.push("admin/large", folder, progress=phases)
        up = time.perf_counter() - phases.began
        down = timed(lambda: client.pull(version.reference, pulled))
        used = registry.cpu_seconds() - cpu[0], time.process_time() - cpu[1]
        print(f"memory of the server: + {grown():.0f} MiB; CPU: server {used[0]:.1f} s, client {used[1]:.1f} s")
    with (pulled / attachment).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise Wrong("other bytes came back than were sent")
    (pulled / attachment).unlink()
    return phases, up, down


def on_a_folder(folder: Path, source: Path, digest: str, size: int) -> None:
    print(f"\nfile://, {size / MIB:.0f} MiB")
    # the registry's folder and the limit's lie on the same disk
    with measured_registry() as registry:
        target = registry.data / "limit"
        limit_up = timed(lambda: one_pass(source, target, durable=True))
        phases, up, down = push_and_pull(registry, folder, digest, size)
        limit_down = timed(lambda: one_pass(source, target, durable=False))
    print("| | Glulam | limit | share |")
    print("|---|---|---|---|")
    print(
        f"| up, beside sha256 + write + fsync | {rate(size, up)} | {rate(size, limit_up)} | {against(limit_up, up)} |"
    )
    print(
        f"| down, beside copy + sha256 | {rate(size, down)} | {rate(size, limit_down)} | {against(limit_down, down)} |"
    )
    print(f"of the push: hashing first {phases.hashed:.1f} s, sending {phases.sent - phases.hashed:.1f} s, ", end="")
    print(f"completion and publication {up - phases.sent:.1f} s")


def through_s3(folder: Path, source: Path, digest: str, size: int, server: S3Server) -> None:
    print(f"\nS3 (Swift on this machine), {size / MIB:.0f} MiB")
    settings: Mapping[str, str] = {f"GLULAM_{name.upper()}": value for name, value in server.settings.items()}
    config = TransferConfig(preferred_transfer_client="classic", multipart_chunksize=part_mib * MIB, max_concurrency=8)
    s3 = boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name=server.options.region,
        aws_access_key_id=server.options.access_key_id,
        aws_secret_access_key=server.options.secret_access_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            max_pool_connections=16,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    bucket, target = server.make_bucket(), folder.with_name("boto3")
    with measured_registry(settings) as registry:
        limit_up = timed(lambda: s3.upload_file(str(source), bucket, "large", Config=config))
        phases, up, down = push_and_pull(registry, folder, digest, size)
        limit_down = timed(lambda: s3.download_file(bucket, "large", str(target), Config=config))
    hashing = timed(lambda: hashlib.file_digest(target.open("rb"), "sha256"))
    target.unlink()
    sending = phases.sent - phases.hashed
    print("| | Glulam | boto3 alone | share |")
    print("|---|---|---|---|")
    print(f"| parts to the store, beside `upload_file` | {rate(size, sending)} | {rate(size, limit_up)} | ", end="")
    print(f"{against(limit_up, sending)} |")
    print(f"| the whole push, beside the same | {rate(size, up)} | {rate(size, limit_up)} | {against(limit_up, up)} |")
    print(f"| the pull, verified, beside `download_file` | {rate(size, down)} | {rate(size, limit_down)} | ", end="")
    print(f"{against(limit_down, down)} |")
    verified = limit_down + hashing
    print(f"| the same, beside `download_file` + sha256 | {rate(size, down)} | {rate(size, verified)} | ", end="")
    print(f"{against(verified, down)} |")
    print(f"of the push: hashing first {phases.hashed:.1f} s, completion and publication {up - phases.sent:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=4096)
    parser.add_argument("--store", choices=["file", "s3", "both"], default="both")
    arguments = parser.parse_args()
    size = arguments.mib * MIB
    with tempfile.TemporaryDirectory(prefix="glulam-") as name:
        folder = Path(name) / "pushed"
        folder.mkdir()
        for path, data in make_adapter(1).files.items():
            (folder / path).write_bytes(data)
        source = folder / attachment
        digest = write_file(source, size)
        if arguments.store in {"file", "both"}:
            on_a_folder(folder, source, digest, size)
        if arguments.store in {"s3", "both"}:
            with running() as server:
                through_s3(folder, source, digest, size, server)


if __name__ == "__main__":
    main()
