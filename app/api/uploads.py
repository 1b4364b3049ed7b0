"""Bytes on their way in: whole blobs, and resumable uploads in parts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from app.api.auth import ServicesDep, Writer
from app.api.bodies import Answer, Body, example, example_digest
from app.api.route import JsonRoute
from app.api.streams import bytes_content, completed, declared_size, receive
from app.assembly import HttpLimits
from app.domain.digest import parse_digest
from app.services.uploading import Upload

router = APIRouter(route_class=JsonRoute)
streams = APIRouter()
"""Routes whose bodies are bytes: they are bounded by what is being uploaded, and never held in memory."""

bytes_body = {"requestBody": {"required": True, "content": bytes_content}}


class UploadBody(Body):
    model_config = example({"digest": example_digest, "size": 1024})

    # told, and checked by the domain, which names what is wrong with it
    digest: Annotated[str, Field(json_schema_extra={"pattern": "^sha256:[0-9a-f]{64}$"})]
    size: Annotated[int, Field(ge=0, lt=2**63, description="Bytes")]


class PartBody(Answer):
    number: int
    size: int
    url: str = Field(
        description="Where to PUT the part's bytes: a path here, or the store's own address, without a token"
    )
    done: bool


class UploadAnswer(Answer):
    id: UUID
    digest: str
    size: int
    part_size: int
    parts: list[PartBody]
    expires_at: datetime

    @classmethod
    def of(cls, value: Upload, http: HttpLimits) -> "UploadAnswer":
        parts = [
            PartBody(
                number=part.number,
                size=part.size_bytes,
                url=part.url or http.link(f"/api/v1/uploads/{value.id}/parts/{part.number}"),
                done=part.is_done,
            )
            for part in value.parts
        ]
        return cls(
            id=value.id,
            digest=value.digest,
            size=value.size_bytes,
            part_size=value.part_size_bytes,
            parts=parts,
            expires_at=value.expires_at,
        )


class BlobAnswer(Answer):
    digest: str


@streams.put("/blobs/{digest}", status_code=201, openapi_extra=bytes_body)
async def put_blob(digest: str, request: Request, services: ServicesDep, caller: Writer) -> BlobAnswer:
    """Upload a file under its digest: the caller may then name it in a version."""
    parsed = parse_digest(digest)
    declared = declared_size(request)
    await receive(request, lambda chunks: services.uploading.receive(caller, parsed, chunks, declared))
    return BlobAnswer(digest=parsed)


@router.post("/uploads", status_code=201)
def begin_upload(body: UploadBody, services: ServicesDep, caller: Writer, response: Response) -> UploadAnswer:
    """Begin a resumable upload, or go on with the caller's unfinished one of the same bytes."""
    upload = services.uploading.begin(caller, parse_digest(body.digest), body.size)
    response.headers["Location"] = f"/api/v1/uploads/{upload.id}"
    return UploadAnswer.of(upload, services.http)


@router.get("/uploads/{id}")
def get_upload(id: UUID, services: ServicesDep, caller: Writer) -> UploadAnswer:
    """Which parts are there."""
    return UploadAnswer.of(services.uploading.get(caller, id), services.http)


@streams.put("/uploads/{id}/parts/{number}", status_code=204, openapi_extra=bytes_body, response_class=Response)
async def put_part(id: UUID, number: int, request: Request, services: ServicesDep, caller: Writer) -> None:
    """Upload one part; sending it again replaces it."""
    await receive(request, lambda chunks: services.uploading.receive_part(caller, id, number, chunks))


@router.post("/uploads/{id}/complete", status_code=201)
async def complete_upload(id: UUID, request: Request, services: ServicesDep, caller: Writer) -> BlobAnswer:
    """Put the parts together: the caller may then name the digest in a version."""
    return BlobAnswer(digest=await completed(request, lambda: services.uploading.complete(caller, id)))
