"""What 500 clients that send half a request and then nothing cost the others: their answers' times, with and without them.

A third of the slow ones has sent half of a request's head, a third half of a JSON body, a third half of an upload. Reads of
a version go on beside them from some connections; every answer is checked. The two are taken in turns, so that what else
the machine does meets both.
"""

import argparse
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.servers import Measured, Wrong, measured_registry, percentile
from tests.api.conftest import make_adapter

readers = 4


def half_requests(token: str) -> list[bytes]:
    head = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
    return [
        f"GET /api/v1/whoami HTTP/1.1\r\n{head}X-Half: ".encode(),
        f'POST /api/v1/repositories HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{{"n'.encode(),
        f"PUT /api/v1/blobs/sha256:{'0' * 64} HTTP/1.1\r\n{head}Content-Length: 1000000\r\n\r\nhalf".encode(),
    ]


@contextmanager
def slow_clients(registry: Measured, count: int) -> Iterator[None]:
    address, halves = urlsplit(registry.url), half_requests(registry.token)
    opened = []
    try:
        for number in range(count):
            opened.append(socket.create_connection((address.hostname or "", address.port or 80)))
            opened[-1].sendall(halves[number % len(halves)])
        yield
    finally:
        for connection in opened:
            connection.close()


def reading(registry: Measured, path: str, digest: str, seconds: float) -> list[float]:
    """Returns: what each answer took, in milliseconds."""
    client, times, end = registry.client(), [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        if json.loads(client.send("GET", path))["digest"] != digest:
            raise Wrong("another version was read than was asked for")
        times.append((time.perf_counter() - began) * 1e3)
    return times


def all_readers(registry: Measured, path: str, digest: str, seconds: float) -> list[float]:
    with ThreadPoolExecutor(readers) as pool:
        running = [pool.submit(reading, registry, path, digest, seconds) for _ in range(readers)]
        return [taken for reader in running for taken in reader.result()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5, help="of each of the six turns")
    arguments = parser.parse_args()
    with measured_registry() as registry:
        admin = registry.client()
        admin.ask("POST", "/repositories", {"namespace": "admin", "name": "read"})
        files = {path: admin.put(data) for path, data in make_adapter(0).files.items()}
        published = admin.ask("POST", "/repositories/admin/read/versions", {"files": files})
        path = f"/repositories/admin/read/versions/{published['version']}"
        all_readers(registry, path, published["digest"], 1)
        without: list[float] = []
        beside: list[float] = []
        for _ in range(3):
            without += all_readers(registry, path, published["digest"], arguments.seconds)
            with slow_clients(registry, arguments.clients):
                beside += all_readers(registry, path, published["digest"], arguments.seconds)
    print(f"| {readers} readers | answers | p50 ms | p99 ms |")
    print("|---|---|---|---|")
    for name, times in (("alone", without), (f"beside {arguments.clients} slow clients", beside)):
        print(f"| {name} | {len(times)} | {percentile(times, 0.5):.1f} | {percentile(times, 0.99):.1f} |")
    print(f"p99 with / without: {percentile(beside, 0.99) / percentile(without, 0.99):.2f}")


if __name__ == "__main__":
    main()
