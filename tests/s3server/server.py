"""A real S3 server for the tests: OpenStack Swift, from an environment of its own, as child processes."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
from botocore.config import Config

from app.objects.store import S3Options

interpreter = Path(sys.prefix) / "swift" / "bin" / "python"
"""`make test` makes this environment, from requirements.txt beside this file."""
launcher = Path(__file__).with_name("launcher.py")
start_seconds = 60.0
"""A start takes one or two; on a machine that does much else, longer."""
access_key, secret_key = "glulam", "a-secret-of-the-tests"
buckets = itertools.count(1)


def free_ports(count: int) -> list[int]:
    """Below those that the kernel gives out: while the server is dead nobody else is to get its ports."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports = sorted({*ports, port})
    return ports


class S3Server:
    """Keeps its files in a folder, and its ports over a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(4)
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> S3Options:
        return S3Options(
            endpoint_url=self.url,
            region="us-east-1",
            access_key_id=f"test:{access_key}",
            secret_access_key=secret_key,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process that opens the store with boto3's own chain."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": f"test:{access_key}",
            "AWS_SECRET_ACCESS_KEY": secret_key,
            # nor anything of whoever runs the tests
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    @cached_property
    def shared_bucket(self) -> str:
        """A bucket for tests that keep to a prefix of their own."""
        return self.make_bucket()

    @property
    def settings(self) -> dict[str, str]:
        """Of a registry with a fresh prefix of this server as its object store, by the names of `Settings`."""
        return {
            "object_store": f"s3://{self.shared_bucket}/{uuid4()}",
            "s3_endpoint_url": self.url,
            "s3_region": "us-east-1",
            "s3_access_key_id": f"test:{access_key}",
            "s3_secret_access_key": secret_key,
        }

    @cached_property
    def client(self) -> Any:
        """boto3's own, to look at the store past our code."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=f"test:{access_key}",
            aws_secret_access_key=secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def start(self) -> None:
        """Return when it answers."""
        if not interpreter.exists():
            raise FileNotFoundError(
                f"{interpreter}: make .venv/swift/.installed (make test does) installs the S3 server"
            )
        command = [interpreter, launcher, self.folder, access_key, secret_key, *self.ports]
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=launcher.parent, stdin=subprocess.PIPE, start_new_session=True
        )
        deadline = time.monotonic() + start_seconds
        while not all(map(is_open, self.ports)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"the S3 server did not start within {start_seconds} s: {self.process.poll()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to all of its processes, and make sure that they are gone."""
        if self.process is None or self.process.stdin is None:
            raise ValueError("it does not run")
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process = None
        while any(map(is_open, self.ports)):
            time.sleep(0.01)

    def make_bucket(self) -> str:
        """A fresh bucket's name."""
        name = f"bucket-{next(buckets)}"
        self.client.create_bucket(Bucket=name)
        return name

    def allow_origin(self, bucket: str, origin: str) -> None:
        """What PutBucketCors does elsewhere, and Swift's S3 interface does not have: pages of `origin` may use the bucket."""
        signed_in = httpx.get(
            f"{self.url}/auth/v1.0", headers={"X-Auth-User": f"test:{access_key}", "X-Auth-Key": secret_key}
        ).raise_for_status()
        headers = {
            "X-Auth-Token": signed_in.headers["X-Auth-Token"],
            "X-Container-Meta-Access-Control-Allow-Origin": origin,
            "X-Container-Meta-Access-Control-Expose-Headers": "etag",
        }
        # the parts of unfinished uploads lie in a container of their own
        for container in (bucket, f"{bucket}%2Bsegments"):
            httpx.put(f"{signed_in.headers['X-Storage-Url']}/{container}", headers=headers).raise_for_status()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
