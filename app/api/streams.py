"""Bytes in and out: bodies handed to a thread chunk by chunk, files with ranges and entity tags."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from anyio import CapacityLimiter, Semaphore, fail_after, from_thread, to_thread
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from app.api.document import refusals
from app.assembly import HttpLimits
from app.domain.digest import Digest, hex_of
from app.domain.version import File
from app.errors import MalformedRequest, RangeNotSatisfiable, TooManyUploads, UploadTooSlow
from app.services.reading import Archive, Reading

T = TypeVar("T")

chunk_bytes = 1024 * 1024
"""What crosses from the event loop to a thread at a time: a hop costs as much as hashing some kilobytes."""
slot_seconds = 2.0
"""So long an upload waits for others to end before it is sent away."""
one_range = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
"""No file has more than 10¹⁸ bytes."""

binary = {"schema": {"type": "string", "format": "binary"}}
bytes_content = {"application/octet-stream": binary}
unchanged: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already, by its entity tag"}}
file_responses: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "content": bytes_content},
    206: {"description": "The range that was asked for", "content": bytes_content},
    302: {"description": "The object store gives it out itself, at the address in Location"},
    **unchanged,
    **refusals(416),
}
archive_responses: dict[int | str, dict[str, Any]] = {
    200: {"description": "The tar", "content": {"application/x-tar": binary}},
    **unchanged,
}
"""What `file_answer` and `archive_answer` answer with."""


async def receive(request: Request, consume: Callable[[Iterator[bytes]], T]) -> T:
    """Run `consume` in a thread with the request's body as an iterator; memory stays at a chunk or two.

    Raises: what `consume` raises; TooManyUploads; UploadTooSlow; MalformedRequest if the client goes away or the body is
    compressed.
    """
    http: HttpLimits = request.app.state.services.http
    if request.headers.get("content-encoding", "identity") != "identity":
        raise MalformedRequest("send the bytes as they are: a compressed body is not read here")
    stream = request.stream()

    async def next_chunk() -> bytes:
        gathered = bytearray()
        try:
            with fail_after(http.upload_chunk_seconds):
                async for piece in stream:
                    gathered += piece
                    if len(gathered) >= chunk_bytes:
                        break
        except ClientDisconnect as error:
            raise MalformedRequest("the body ended early") from error
        except TimeoutError as error:
            raise UploadTooSlow(http.upload_chunk_seconds) from error
        return bytes(gathered)

    def chunks() -> Iterator[bytes]:
        while chunk := from_thread.run(next_chunk):
            yield chunk

    return await in_slot(request.app.state.upload_slots, http.concurrent_uploads, lambda: consume(chunks()))


async def completed(request: Request, work: Callable[[], T]) -> T:
    """Run the completion of an upload, which reads all of it and may wait, in a thread. Raises: what it raises; TooManyUploads."""
    state = request.app.state
    return await in_slot(state.completion_slots, state.services.http.concurrent_uploads, work)


async def in_slot(slots: Semaphore, limit: int, work: Callable[[], T]) -> T:
    """Raises: what `work` raises; TooManyUploads where `limit` others go on with theirs."""
    try:
        with fail_after(slot_seconds):
            await slots.acquire()
    except TimeoutError as error:
        raise TooManyUploads(limit) from error
    try:
        # not one of the threads that serve everybody else: however many clients dawdle, those stay free
        return await to_thread.run_sync(work, limiter=CapacityLimiter(1))
    finally:
        slots.release()


def declared_size(request: Request) -> int | None:
    """Content-Length, if the client sent one."""
    text = request.headers.get("content-length")
    return int(text) if text is not None and text.isdecimal() else None


def etag_of(digest: Digest) -> str:
    return f'"{hex_of(digest)}"'


def attachment(name: str) -> str:
    """A Content-Disposition that names a file, whatever letters it has (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, length) of a single byte range; None for none, or for what may be answered with the whole (RFC 9110, 14.2).

    Raises: RangeNotSatisfiable.
    """
    match = one_range.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        start = max(0, size - int(last))
        end = size if int(last) else 0
    else:
        start = int(first)
        end = min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end or start >= size:
        raise RangeNotSatisfiable(size)
    return start, end - start


def is_unchanged(request: Request, etag: str) -> bool:
    given = request.headers.get("if-none-match")
    return given is not None and (
        given.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in given.split(",")]
    )


def file_answer(
    request: Request,
    reading: Reading,
    file: File,
    *,
    etag: str | None = None,
    headers: Mapping[str, str] | None = None,
    is_direct: bool = True,
) -> Response:
    """A file, whole or in part, or where the store itself gives it out.

    Args:
        etag: its entity tag; by default its digest.
        headers: of every answer besides. With them HEAD too says where the store gives the file out.
        is_direct: whether the store may give it out.
    """
    etag = etag or etag_of(file.digest)
    disposition = attachment(file.path.rsplit("/", 1)[-1])
    given = dict(headers or {})
    fields = given | {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        # the right to read may end, so that every reader asks again; the answer is a 304
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": disposition,
    }
    if is_unchanged(request, etag):
        return Response(status_code=304, headers=fields)
    may_redirect = is_direct and (request.method == "GET" or bool(given))
    if may_redirect and (address := reading.address(file, disposition)) is not None:
        # ranges and their conditions are for the store to judge; the address is for this reader, and for now
        there = {"Location": address, "Cache-Control": "no-store"}
        return Response(status_code=302, headers=given | {"ETag": etag} | there if given else there)
    condition = request.headers.get("if-range")
    # a range is of a GET, and of the bytes that the client began with (RFC 9110, 14.2 and 13.1.5)
    has_range = request.method == "GET" and condition in {None, etag}
    wanted = requested_range(request.headers.get("range"), file.size_bytes) if has_range else None
    status, length = 200, file.size_bytes
    if wanted is not None:
        status, length = 206, wanted[1]
        fields["Content-Range"] = f"bytes {wanted[0]}-{wanted[0] + length - 1}/{file.size_bytes}"
    fields["Content-Length"] = str(length)
    media_type = "application/octet-stream"
    if request.method == "HEAD":
        return Response(status_code=status, headers=fields, media_type=media_type)
    body = reading.read_whole(file) if wanted is None else reading.read_range(file, *wanted)
    return StreamingResponse(body, status_code=status, headers=fields, media_type=media_type)


def archive_answer(request: Request, reading: Reading, archive: Archive) -> Response:
    etag = etag_of(archive.digest)
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": attachment(f"{archive.name}.tar"),
        "Content-Length": str(archive.size_bytes),
    }
    if is_unchanged(request, etag):
        return Response(
            status_code=304, headers={key: value for key, value in headers.items() if key != "Content-Length"}
        )
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/x-tar")
    return StreamingResponse(reading.read_archive(archive), headers=headers, media_type="application/x-tar")
