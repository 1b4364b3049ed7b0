"""The multipart form: files and fields of one version."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.api.route import once
from app.assembly import Services
from app.domain.base_model import BaseModel
from app.domain.caller import Caller
from app.domain.names import RepositoryName
from app.domain.version import Version
from app.errors import MalformedRequest, UploadTooLarge
from app.services.form_publishing import FormFile, chunk_bytes
from app.services.publishing import NewVersion, ParentAsked

known_fields = {"files", "version", "builds_on", "initialized_from", "base_model", "notes", "message"}
longest_text = 10_000


async def publish_form(
    request: Request,
    services: Services,
    caller: Caller,
    name: RepositoryName,
    answer: Callable[[Version], Response],
) -> Response:
    """Publish what a form holds, once for each Idempotency-Key. Nothing is stored unless all of it is valid.

    Raises: UploadTooLarge, MalformedRequest, InvalidPath, IdempotencyKeyReused, RequestInProgress, and as
    `FormPublishing.publish`.
    """
    key = request.headers.get("idempotency-key")
    caller = replace(caller, idempotency_key=key)
    # first of all: nobody fills the disk for nothing
    await run_in_threadpool(services.publishing.check_writable, caller, name)
    async with parsed(request, services.http.form_bytes) as form:
        if unknown := sorted(set(form) - known_fields):
            raise MalformedRequest(f"the form has no field {unknown[0]!r}", pointer=f"/{unknown[0]}")
        files = [FormFile(part.filename or "", part.file) for part in files_in(form)]
        if not files:
            raise MalformedRequest("no file was sent in the field files", pointer="/files")
        base_model = text_of(form, "base_model")
        builds_on = tuple(
            ParentAsked(text, 1.0, f"/builds_on/{index}") for index, text in enumerate(texts_of(form, "builds_on"))
        )
        origin = text_of(form, "initialized_from")
        new = NewVersion(
            files={},
            version=text_of(form, "version"),
            # an empty field of a form says nothing
            builds_on=builds_on or None,
            initialized_from=None if origin is None else ParentAsked(origin, 1.0, "/initialized_from"),
            base_model=None if base_model is None else BaseModel(base_model),
            notes=text_of(form, "notes"),
            message=text_of(form, "message"),
        )

        async def publish(_: Request) -> Response:
            return answer(await run_in_threadpool(services.form_publishing.publish, caller, name, files, new))

        if key is None:
            return await publish(request)
        return await once(request, services, caller, key, await run_in_threadpool(gist_of, form), publish)


def gist_of(form: FormData) -> bytes:
    """The same for the same fields and files, whatever boundary stood between them."""
    said = []
    for field, value in form.multi_items():
        if isinstance(value, str):
            said.append([field, value])
            continue
        hashed = hashlib.sha256()
        value.file.seek(0)
        while chunk := value.file.read(chunk_bytes):
            hashed.update(chunk)
        said.append([field, value.filename or "", hashed.hexdigest()])
    return json.dumps(said).encode()


@asynccontextmanager
async def parsed(request: Request, limit: int) -> AsyncIterator[FormData]:
    """The form, its files spooled to disk until the context ends.

    Raises: UploadTooLarge, MalformedRequest.
    """
    receive, received = request._receive, 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise UploadTooLarge(limit, received)
        return message

    request._receive = counted
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise MalformedRequest("multipart/form-data is needed")
    try:
        async with request.form(max_files=1000, max_fields=200) as form:
            # the body is read: whoever asks for more, as an answer that is given again does, gets an end and no waiting
            request._receive = nothing_more
            yield form
    except HTTPException as error:
        raise MalformedRequest(f"the form cannot be read: {error.detail}") from error


async def nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def files_in(form: FormData) -> list[UploadFile]:
    """The files that were sent. Raises: MalformedRequest for a text in their field."""
    found = []
    for part in form.getlist("files"):
        if not isinstance(part, UploadFile):
            raise MalformedRequest("the field files takes files, each with its name", pointer="/files")
        # a browser sends an empty part without a name for a field in which no file was chosen
        if part.filename or part.size:
            found.append(part)
    return found


def texts_of(form: FormData, field: str) -> list[str]:
    """The values of a text field that are not empty. Raises: MalformedRequest."""
    found = []
    for value in form.getlist(field):
        if not isinstance(value, str) or len(value) > longest_text or "\0" in value:
            raise MalformedRequest(f"{field} is a text of at most {longest_text} characters", pointer=f"/{field}")
        if value.strip():
            found.append(value.strip())
    return found


def text_of(form: FormData, field: str) -> str | None:
    found = texts_of(form, field)
    if len(found) > 1:
        raise MalformedRequest(f"{field} was sent {len(found)} times", pointer=f"/{field}")
    return found[0] if found else None
