"""Large files by real clients to a real server: it takes no more memory for them than for small ones.

`make test` sends files that are larger than that memory; `make soak` some of 1.5 GB.
"""

import os
from pathlib import Path

import pytest

from benchmarks.hub_upload import write_noise
from benchmarks.servers import MIB, measured_registry
from benchmarks.transfers import memory_watched
from tests.hub.conftest import client_environment, environments, run_client

large_mib = int(os.environ.get("HUB_LARGE_MIB", "192"))
most_memory_mib = 100
"""That the server may grow by, over what it has when it has answered the first requests."""

there_and_back = """
import hashlib, json, os, sys, time
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
began = time.monotonic()
made = api.upload_file(path_or_fileobj=sys.argv[1], path_in_repo="large.bin", repo_id=sys.argv[2])
up = time.monotonic() - began
path = hf_hub_download(sys.argv[2], "large.bin", revision=made.oid)
print(json.dumps([sha256(path) == sha256(sys.argv[1]), up, time.monotonic() - began - up]))
"""
begin = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo(sys.argv[1])
api.upload_file(path_or_fileobj=b"small", path_in_repo="small.txt", repo_id=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_servers_memory_stays_small_whatever_a_file_weighs(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with measured_registry() as registry:
        for version, xet in (("2.4", True), ("0.36", False)):
            name = f"admin/by-{version.replace('.', '-')}"
            environment = client_environment(registry.url, tmp_path / version, registry.token, xet=xet)
            python = str(environments / f"hub-{version}" / "bin" / "python")
            run_client(begin, [name], environment, python=python, cwd=tmp_path)
            # other bytes for each: what a user has sent is not sent again
            write_noise(large, large_mib * MIB)
            with memory_watched(registry) as grown:
                is_same, up, down = run_client(
                    there_and_back, [str(large), name], environment, python=python, cwd=tmp_path
                )
                print(  # noqa: T201 - what a soak is for
                    f"{large_mib} MiB, huggingface_hub {version}{'' if xet else ' without Xet'}: up {up:.1f} s,"
                    f" down {down:.1f} s, memory of the server + {grown():.0f} MiB"
                )
                assert is_same
                assert grown() < most_memory_mib
