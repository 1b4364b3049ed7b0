"""All routes of the protocol, in the order in which they are tried."""

from fastapi import APIRouter, Request, Response

from app.api.auth import open_to_all
from app.hub import files, lfs, reading, writing, xet
from app.hub.route import HubStream, not_here, refused

other = APIRouter(route_class=HubStream, include_in_schema=False)
"""What the protocol has and this registry has not."""
methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]


@other.api_route("/api/models/{namespace}/{name}/discussions{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/api/models/{namespace}/{name}/super-squash/{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/api/models/{namespace}/{name}/lfs-files/{rest:path}", methods=methods, dependencies=[open_to_all])
def unsupported(request: Request) -> Response:
    """Whoever asks is told, whether or not the repository is there."""
    return refused(501, "this registry has no discussions, pull requests, squashed histories or lists of LFS files")


@other.api_route("/api/models/{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/api/datasets{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/api/spaces{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/datasets/{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/spaces/{rest:path}", methods=methods, dependencies=[open_to_all])
@other.api_route("/{name}/resolve/{rest:path}", methods=methods, dependencies=[open_to_all])
def missing(request: Request) -> Response:
    """There are no repositories of other kinds, and none outside of a namespace."""
    return refused(404, not_here, "RepoNotFound")


routers = (
    reading.router,
    writing.router,
    writing.streams,
    lfs.router,
    lfs.streams,
    xet.router,
    xet.streams,
    files.router,
    other,
)
