"""What the server answers in a second, with its clients on the same machine: reads of a version, and publications.

Reads are asked by wrk (Debian: `apt-get install wrk`) with a token; beside them the same of `/healthz`, which does nothing:
what the HTTP server and the framework cost alone. Publications are made by some clients at once, each into a repository of
its own, new weights each time: by digest (two uploads and the version) and as a form (one request); beside them the rate of
a small durable file and of a small commit on this disk. Nothing is reported when an answer is wrong.
"""

import argparse
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.servers import Client, Measured, Wrong, measured_registry, percentile
from tests.api.conftest import AdapterFiles, make_adapter

publishers = 8
Publish = Callable[[Client, str, AdapterFiles], None]


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m)", text.strip()).groups()  # type: ignore[union-attr]  # or wrk has changed
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit]


def wrk(url: str, token: str, connections: int, seconds: int) -> tuple[float, float, float]:
    """(requests per second, median, 99th percentile), the latter in milliseconds."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is not there: Debian has it as a package (apt-get install wrk)")
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}"]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise Wrong(f"not every answer was right:\n{said}")
    found = {name: re.search(rf"^\s*{name}[%:]\s+(\S+)", said, re.MULTILINE) for name in ("Requests/sec", "50", "99")}
    rate, median, slowest = (match.group(1) for match in found.values() if match is not None)
    return float(rate), milliseconds(median), milliseconds(slowest)


def reads(registry: Measured, connections: int, seconds: int) -> None:
    admin = registry.client()
    admin.ask("POST", "/repositories", {"namespace": "admin", "name": "read"})
    files = {path: admin.put(data) for path, data in make_adapter(0).files.items()}
    published = admin.ask("POST", "/repositories/admin/read/versions", {"files": files})
    path = f"/repositories/admin/read/versions/{published['version']}"
    if admin.ask("GET", path)["digest"] != published["digest"]:
        raise Wrong("another version was read than was published")
    print(f"| wrk, {connections} connections | requests/s | p50 ms | p99 ms | server CPU ms each |")
    print("|---|---|---|---|---|")
    for name, url in [
        ("`/healthz`", f"{registry.url}/healthz"),
        ("a version by reference", f"{registry.url}/api/v1{path}"),
    ]:
        wrk(url, registry.token, connections, 2)
        before = registry.cpu_seconds()
        rate, median, slowest = wrk(url, registry.token, connections, seconds)
        cpu = (registry.cpu_seconds() - before) / (rate * seconds)
        print(f"| {name} | {rate:.0f} | {median:.1f} | {slowest:.1f} | {cpu * 1e3:.2f} |")


def by_digest(client: Client, repository: str, adapter: AdapterFiles) -> None:
    files = {path: client.put(data) for path, data in adapter.files.items()}
    client.ask("POST", f"/repositories/{repository}/versions", {"files": files})


def by_form(client: Client, repository: str, adapter: AdapterFiles) -> None:
    mark = uuid.uuid4().hex
    body = b""
    for path, data in adapter.files.items():
        head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{path}"\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    body += f"--{mark}--\r\n".encode()
    client.send("POST", f"/repositories/{repository}/versions/form", body, f"multipart/form-data; boundary={mark}")


def one_publisher(client: Client, publish: Publish, repository: str, adapters: list[AdapterFiles]) -> list[float]:
    """Returns: the seconds that each publication took."""
    times = []
    for adapter in adapters:
        began = time.perf_counter()
        publish(client, repository, adapter)
        times.append(time.perf_counter() - began)
    return times


def publications(registry: Measured, count: int) -> None:
    print(f"| publish, {publishers} clients | versions/s | p50 ms | p99 ms | server CPU ms each |")
    print("|---|---|---|---|---|")
    ways: dict[str, Publish] = {"two uploads and a version": by_digest, "a form": by_form}
    for number, (name, publish) in enumerate(ways.items()):
        admin = registry.client()
        repositories = [f"way{number}-{client}" for client in range(publishers)]
        for repository in repositories:
            admin.ask("POST", "/repositories", {"namespace": "admin", "name": repository})
        # made beforehand: the clients are not what is measured
        seeds = itertools.count(1 + number * publishers * count)
        adapters = [[make_adapter(next(seeds)) for _ in range(count)] for _ in repositories]
        clients = [registry.client() for _ in repositories]
        before, began = registry.cpu_seconds(), time.perf_counter()
        with ThreadPoolExecutor(publishers) as pool:
            places = [f"admin/{repository}" for repository in repositories]
            found = pool.map(one_publisher, clients, itertools.repeat(publish), places, adapters)
            times = [seconds for publisher in found for seconds in publisher]
        took, cpu = time.perf_counter() - began, registry.cpu_seconds() - before
        for place in places:
            if len(registry.client().ask("GET", f"/repositories/{place}/versions?limit=200")["items"]) != count:
                raise Wrong(f"{place} does not hold what was published")
        p50, p99 = percentile(times, 0.5) * 1e3, percentile(times, 0.99) * 1e3
        print(f"| {name} | {len(times) / took:.0f} | {p50:.0f} | {p99:.0f} | {cpu / len(times) * 1e3:.1f} |")


def durable_files_per_second(folder: Path) -> float:
    """Written, flushed, renamed, and the folder flushed: what each uploaded file costs the disk at least."""
    count, began = 200, time.perf_counter()
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(count):
        with (folder / "tmp").open("wb") as file:
            file.write(b"x" * 1500)
            file.flush()
            os.fsync(file.fileno())
        os.rename(folder / "tmp", folder / str(number))
        os.fsync(descriptor)
    os.close(descriptor)
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument(
        "--versions", type=int, default=40, help="that each of the publishing clients publishes; 200 at most"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"durable small files: {durable_files_per_second(Path(folder)):.0f}/s, one after the other")
    with measured_registry() as registry:
        reads(registry, arguments.connections, arguments.seconds)
        publications(registry, arguments.versions)


if __name__ == "__main__":
    main()
