"""Xet, receiving: where newer clients send large files, as chunks. Files are given out by plain HTTP."""

import time
from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from app.api.auth import ServicesDep, Writer, open_to_all
from app.api.streams import receive
from app.domain.names import RepositoryName
from app.errors import InvalidToken, UploadTooLarge
from app.formats.xet import largest_shard_bytes
from app.hub.bodies import Json
from app.hub.route import HubRoute, HubStream, base_url, refused
from app.services.xet import Grant

router = APIRouter(route_class=HubRoute, include_in_schema=False)
streams = APIRouter(route_class=HubStream, include_in_schema=False)
root = "/xet/g{generation}/{repository}"
token_seconds = 3600
"""After that a client asks for the address again."""

XorbName = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


@router.get("/api/models/{namespace}/{name}/xet-write-token/{revision}")
def write_token(
    namespace: str, name: str, revision: str, request: Request, services: ServicesDep, caller: Writer
) -> Response:
    """Where to send chunks, and with what: the caller's own token, so that it ends when that one ends."""
    grant = services.xet.grant(caller, RepositoryName(namespace, name))
    _, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        raise InvalidToken
    url = f"{base_url(request)}/xet/g{grant.generation}/{grant.repository}"
    expires_at = int(time.time()) + token_seconds
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token.strip(),
        "X-Xet-Token-Expiration": str(expires_at),
        "Cache-Control": "no-store",
    }
    return JSONResponse({"casUrl": url, "exp": expires_at, "accessToken": token.strip()}, headers=headers)


@router.get(root + "/v1/chunks/{prefix}/{hash}", dependencies=[open_to_all])
@router.post(root + "/v1/xorb-grants/{prefix}/{hash}", dependencies=[open_to_all])
def absent() -> Response:
    """No chunk is known, and there are no newer ways: clients go on with what they have."""
    return refused(404, "not known here")


@streams.post(root + "/v2/shards", dependencies=[open_to_all])
async def no_newer_shards(request: Request) -> Response:
    """As above; of a file of gigabytes a shard is larger than other bodies are, and its client listens when it has sent it."""
    seen = 0
    async for piece in request.stream():
        seen += len(piece)
        if seen > largest_shard_bytes:
            break
    return absent()


@streams.post(root + "/v1/xorbs/{prefix}/{hash}")
async def put_xorb(
    generation: int, repository: UUID, hash: XorbName, request: Request, services: ServicesDep, caller: Writer
) -> Json:
    """Chunks of files."""
    grant = Grant(repository, generation)
    is_new = await receive(request, lambda chunks: services.xet.receive_xorb(caller, grant, hash, chunks))
    return {"was_inserted": is_new}


@streams.post(root + "/v1/shards")
async def put_shard(generation: int, repository: UUID, request: Request, services: ServicesDep, caller: Writer) -> Json:
    """How files are put together from chunks; when this is answered, they are."""
    grant = Grant(repository, generation)

    def consume(chunks: Iterable[bytes]) -> None:
        services.xet.check(caller, grant)
        services.xet.receive_shard(caller, grant, whole(chunks))

    await receive(request, consume)
    return {"result": 1}


def whole(chunks: Iterable[bytes]) -> bytes:
    """Raises: UploadTooLarge."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > largest_shard_bytes:
            raise UploadTooLarge(largest_shard_bytes, len(data))
    return bytes(data)


@router.post(root + "/v1/telemetry", dependencies=[open_to_all])
def telemetry() -> Json:
    """Nothing is kept of what a client tells of itself."""
    return {}
