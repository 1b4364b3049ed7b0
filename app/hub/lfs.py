"""Git LFS: how clients without Xet send large files. Source: the Git LFS specification, docs/api in git-lfs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.api.auth import Policy, ServicesDep, Writer, bearer, count
from app.api.problems import request_id_of
from app.api.route import plain_json
from app.api.streams import completed, receive
from app.domain.caller import Caller, Scope
from app.domain.digest import hex_of, parse_digest
from app.domain.names import RepositoryName
from app.errors import MalformedRequest, NotFound
from app.hub.bodies import Json
from app.hub.route import HubRoute, HubStream, base_url, refused
from app.services.transferring import Transfer

router = APIRouter(route_class=HubRoute, include_in_schema=False)
streams = APIRouter(route_class=HubStream, include_in_schema=False)
media_type = "application/vnd.git-lfs+json"


class ByUpload(Policy):
    """Whoever knows the id of an upload, which its owner alone was told, may send its bytes."""

    def __init__(self) -> None:
        super().__init__(Scope.WRITE)

    def __call__(
        self, request: Request, services: ServicesDep, _described: Annotated[object, Depends(bearer)] = None
    ) -> Caller:
        """Raises: NotFound, TooManyRequests."""
        count(request, services, Caller())
        try:
            id = UUID(request.path_params["id"])
        except ValueError as error:
            raise NotFound("upload") from error
        return services.transferring.owner(id, request_id_of(request))


Uploader = Annotated[Caller, Depends(ByUpload())]


class ObjectAsked(BaseModel):
    model_config = ConfigDict(extra="ignore")
    oid: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, lt=2**63)]


class BatchAsked(BaseModel):
    model_config = ConfigDict(extra="ignore")
    operation: str
    transfers: list[str] = ["basic"]
    objects: Annotated[list[ObjectAsked], Field(max_length=1000)]
    hash_algo: str = "sha256"


async def batch_asked(request: Request) -> BatchAsked:
    """The body; its media type is LFS's own, which the framework does not take for JSON. Raises: MalformedRequest."""
    value = plain_json(await request.body())
    try:
        return BatchAsked.model_validate(value)
    except ValidationError as error:
        raise MalformedRequest(f"the batch is refused: {error.errors()[0]['msg']}") from error


@router.post("/{namespace}/{name}.git/info/lfs/objects/batch")
def batch(
    namespace: str,
    name: str,
    request: Request,
    services: ServicesDep,
    caller: Writer,
    body: Annotated[BatchAsked, Depends(batch_asked)],
) -> Response:
    """Where to send each object, whole or in parts; nowhere where the caller may name it already."""
    if body.operation != "upload" or body.hash_algo != "sha256":
        return refused(501, "objects are uploaded by LFS, and downloaded by resolve; their names are sha256")
    wanted = [(parse_digest(f"sha256:{asked.oid}"), asked.size) for asked in body.objects]
    transfers = services.transferring.begin(caller, RepositoryName(namespace, name), wanted)
    in_parts = "multipart" in body.transfers and any(
        transfer.upload is not None and len(transfer.upload.parts) > 1 for transfer in transfers
    )
    base = base_url(request)
    answer = {
        "transfer": "multipart" if in_parts else "basic",
        "objects": [object_body(transfer, base, in_parts=in_parts) for transfer in transfers],
    }
    return JSONResponse(answer, media_type=media_type)


def object_body(transfer: Transfer, base: str, *, in_parts: bool) -> Json:
    body: Json = {"oid": hex_of(transfer.digest), "size": transfer.size_bytes, "authenticated": True}
    upload = transfer.upload
    if upload is None:
        return body
    action: Json = {"href": f"{base}/uploads/{upload.id}"}
    if in_parts and len(upload.parts) > 1:
        # a part that is there is sent again: this protocol does not ask
        header = {
            f"{part.number:05}": part.url or f"{base}/uploads/{upload.id}/parts/{part.number}" for part in upload.parts
        }
        action["header"] = {"chunk_size": str(upload.part_size_bytes), **header}
    return {**body, "actions": {"upload": action}}


@streams.put("/uploads/{id}")
async def put_whole(id: UUID, request: Request, services: ServicesDep, caller: Uploader) -> Json:
    """All of an object."""
    await receive(request, lambda chunks: services.transferring.receive(caller, id, chunks))
    return {}


@streams.put("/uploads/{id}/parts/{number}")
async def put_part(
    id: UUID, number: int, request: Request, services: ServicesDep, caller: Uploader, response: Response
) -> Json:
    """One part of an object."""
    await receive(request, lambda chunks: services.uploading.receive_part(caller, id, number, chunks))
    response.headers["ETag"] = f'"{number}"'
    return {}


@router.post("/uploads/{id}")
async def complete(id: UUID, request: Request, services: ServicesDep, caller: Uploader) -> Json:
    """Put the parts together; what the client says of them is not needed."""
    await completed(request, lambda: services.uploading.complete(caller, id))
    return {}
