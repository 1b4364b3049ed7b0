"""Whether the server lives, whether it is ready, what it measures, and what its problems mean."""

import os
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

from app.api.auth import ServicesDep, open_to_all, operating
from app.api.document import refusals
from app.api.problems import explain
from app.errors import NotFound

router = APIRouter()

registry = CollectorRegistry()
ProcessCollector(registry=registry)
requests = Counter("glulam_requests", "Requests answered", ["method", "route", "status"], registry=registry)
seconds = Histogram(
    "glulam_request_seconds", "From a request's first byte to its answer's last", ["route"], registry=registry
)
asking = CapacityLimiter(2)
"""Threads of its own for `/readyz`."""
jobs = Gauge("glulam_jobs", "Jobs in the queue", ["queue", "status"], registry=registry, multiprocess_mode="mostrecent")


# the two that a supervisor asks hold on to nothing that other requests may use up
@router.get("/healthz", dependencies=[open_to_all])
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz", dependencies=[open_to_all], responses=refusals(503))
async def readyz(services: ServicesDep) -> dict[str, str]:
    """Database and store answer; 503 names the part that does not."""
    await to_thread.run_sync(services.check_ready, limiter=asking)
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[operating])
def metrics(services: ServicesDep) -> Response:
    """For Prometheus, from this machine or with an administrator's token; routes stand as templates, without names."""
    for (queue, status), count in services.queue_depth().items():
        jobs.labels(queue, status).set(count)
    return Response(generate_latest(gathered()), media_type=CONTENT_TYPE_LATEST)


def gathered() -> CollectorRegistry:
    """What the server processes of this machine have counted together; of a process alone also what it uses itself."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return registry
    whole = CollectorRegistry()
    MultiProcessCollector(whole)  # type: ignore[no-untyped-call]  # the library has no annotation there
    return whole


@router.get("/problems/{name}", dependencies=[open_to_all], responses=refusals(404))
def get_problem(name: str) -> dict[str, Any]:
    """What a problem's type means."""
    found = explain(name)
    if found is None:
        raise NotFound(f"problem {name}")
    return found
