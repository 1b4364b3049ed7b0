"""The object store in a bucket of S3, or of a server that speaks it.

    <prefix>/sha256/ab/cd/<64 hex>   objects
    <prefix>/uploads/<uuid>          multipart uploads in the making; then, until it has been hashed, the whole
    <prefix>/tmp/<random>            what is being written and has no digest yet

A key is only ever made from a digest or a uuid that was parsed, never from a user's text. The store is not trusted for
integrity: whatever arrives is hashed here, whoever sent it, before it is copied to the key of its digest, and the copying
is the store's own work. The bucket must be there; nothing here makes one.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from app.domain.digest import Digest, digest_of_bytes, digest_pattern, hex_of, parse_digest
from app.errors import BlobDamaged, NotReady, StoreFull, UploadExpired
from app.objects.s3_client import (
    Spool,
    answered,
    code_of,
    is_absent,
    longest_presigned_seconds,
    open_bucket,
    pieces,
    spooled,
    status_of,
)
from app.objects.s3_incoming import S3Joined, S3Staged
from app.objects.s3_multipart import Multipart, least_part_bytes, most_parts
from app.objects.store import S3Options, StoredObject

parallel_requests = 32
copied_bytes = 256 << 20
"""At a time, by the store."""


class S3Store:
    """An ObjectStore in `s3://bucket/prefix`. Opening makes no request."""

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        self.bucket = open_bucket(bucket, options, options.endpoint_url)
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.public = self.bucket
        """The bucket as clients see it; addresses are signed for it, and no request is made."""
        if options.public_endpoint_url is not None:
            self.public = open_bucket(bucket, options, options.public_endpoint_url)
        self.is_direct = options.is_direct
        self.pool = ThreadPoolExecutor(parallel_requests, thread_name_prefix="s3")
        self.copying = TransferConfig(
            # the other one does not go where `endpoint_url` points
            preferred_transfer_client="classic",
            # a copy is one request that answers when all is copied: too large a one would run into the time limit
            multipart_threshold=copied_bytes,
            multipart_chunksize=copied_bytes,
            max_concurrency=8,
        )

    @property
    def origin(self) -> str | None:
        if not self.is_direct:
            return None
        endpoint = urlsplit(self.public.client.meta.endpoint_url)
        is_virtual = self.public.client.meta.config.s3["addressing_style"] == "virtual"
        host = f"{self.public.name}.{endpoint.netloc}" if is_virtual else endpoint.netloc
        return f"{endpoint.scheme}://{host}"

    @property
    def client(self) -> Any:
        return self.bucket.client

    def key_of(self, digest: Digest) -> str:
        """Raises: InvalidDigest."""
        hexadecimal = hex_of(parse_digest(digest))
        return f"{self.prefix}sha256/{hexadecimal[:2]}/{hexadecimal[2:4]}/{hexadecimal}"

    def upload_key(self, upload: UUID) -> str:
        return f"{self.prefix}uploads/{UUID(str(upload)).hex}"

    def temporary_key(self) -> str:
        return f"{self.prefix}tmp/{uuid4().hex}"

    def names(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket.name, "Key": key}

    # -- reading --

    def size(self, digest: Digest) -> int | None:
        found = self.head(self.key_of(digest))
        return None if found is None else int(found["ContentLength"])

    def head(self, key: str) -> dict[str, Any] | None:
        try:
            with answered():
                found: dict[str, Any] = self.client.head_object(**self.names(key))
        except ClientError as error:
            if is_absent(error):
                return None
            raise
        return found

    def read(self, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("a range has no negative numbers")
        if length == 0:
            if self.size(digest) is None:
                raise BlobDamaged(digest)
            return iter(())
        extent = {}
        if start or length is not None:
            extent["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        try:
            return pieces(self.get(self.key_of(digest), **extent))
        except ClientError as error:
            if is_absent(error):
                raise BlobDamaged(digest) from error
            if code_of(error) == "InvalidRange":
                return iter(())
            raise

    def get(self, key: str, **conditions: str) -> Any:
        """The body of an object. Raises: ClientError where it is not there, or not as the conditions say."""
        with answered():
            return self.client.get_object(**self.names(key), **conditions)["Body"]

    def read_into(self, digest: Digest, start: int, buffer: memoryview) -> None:
        rest = buffer.cast("B") if buffer.nbytes else memoryview(b"")
        for chunk in self.read(digest, start, buffer.nbytes):
            rest[: len(chunk)] = chunk
            rest = rest[len(chunk) :]
        if rest:
            raise BlobDamaged(digest)

    def presign_get(self, digest: Digest, disposition: str, seconds: int) -> str | None:
        if not self.is_direct:
            return None
        names = self.names(self.key_of(digest)) | {
            "ResponseContentDisposition": disposition,
            "ResponseContentType": "application/octet-stream",
            "ResponseCacheControl": "private, no-cache",
        }
        seconds = min(seconds, longest_presigned_seconds)
        address: str = self.public.client.generate_presigned_url("get_object", Params=names, ExpiresIn=seconds)
        return address

    # -- writing --

    def stage(self) -> S3Staged:
        return S3Staged(self)

    def put(self, digest: Digest, body: Spool, size_bytes: int) -> None:
        """An object in one request, which the store refuses if the bytes have another digest on arrival."""
        body.seek(0)
        checksum = base64.b64encode(bytes.fromhex(hex_of(digest))).decode()
        with answered():
            self.client.put_object(
                **self.names(self.key_of(digest)), Body=body, ContentLength=size_bytes, ChecksumSHA256=checksum
            )

    def copy(self, key: str, etag: str, digest: Digest, size_bytes: int) -> None:
        """Copy what was hashed, and nothing that took its place since, to the key of its digest. The source stays.

        Raises: NotReady if the store has not copied all of it.
        """
        condition = {"CopySourceIfMatch": etag}
        source, target = self.names(key), self.key_of(digest)
        with answered():
            self.client.copy(source, self.bucket.name, target, ExtraArgs=condition, Config=self.copying)
        if self.size(digest) != size_bytes:
            self.delete(digest)
            raise NotReady("object store")

    def remove(self, key: str) -> None:
        with answered():
            self.client.delete_object(**self.names(key))

    def delete(self, digest: Digest) -> bool:
        was_there = self.size(digest) is not None
        if was_there:
            self.remove(self.key_of(digest))
        return was_there

    # -- uploads in parts --

    def least_part_bytes(self, size_bytes: int) -> int:
        return max(least_part_bytes, -(-size_bytes // most_parts))

    def begin_upload(self, upload: UUID) -> None:
        key = self.upload_key(upload)
        # a whole that was put together and not yet hashed needs no parts any more
        if Multipart.find(self.bucket, key) is None and self.head(key) is None:
            Multipart.begin(self.bucket, key)

    def begun(self, upload: UUID) -> Multipart:
        """Raises: UploadExpired."""
        found = Multipart.find(self.bucket, self.upload_key(upload))
        if found is None:
            raise UploadExpired(str(upload))
        return found

    def write_part(self, upload: UUID, number: int, start: int, chunks: Iterable[bytes]) -> int:
        if number < 1:
            raise ValueError("parts are numbered from 1")
        with spooled() as body:
            for chunk in chunks:
                body.write(chunk)
            size_bytes = body.tell()
            try:
                self.begun(upload).write(number, body, size_bytes)
            except ClientError as error:
                if is_absent(error):
                    raise UploadExpired(str(upload)) from error
                raise
        return size_bytes

    def presign_parts(self, upload: UUID, sizes: Mapping[int, int], seconds: int) -> dict[int, str] | None:
        if not self.is_direct:
            return None
        begun = self.begun(upload)
        public = Multipart(self.public, begun.key, begun.id)
        seconds = min(seconds, longest_presigned_seconds)
        return {number: public.presigned(number, size_bytes, seconds) for number, size_bytes in sizes.items()}

    def missing_parts(self, upload: UUID, sizes: Sequence[int]) -> list[int]:
        key = self.upload_key(upload)
        multipart = Multipart.find(self.bucket, key)
        stored = {} if multipart is None else multipart.parts()
        if multipart is None and (joined := self.head(key)) is not None and joined["ContentLength"] == sum(sizes):
            # put together by a completion that was cut off before it had hashed the whole
            return []
        return [
            number
            for number, size_bytes in enumerate(sizes, start=1)
            if number not in stored or stored[number].size_bytes != size_bytes
        ]

    def join(self, upload: UUID) -> S3Joined:
        return S3Joined(self, self.upload_key(upload), str(upload))

    def discard_upload(self, upload: UUID) -> None:
        key = self.upload_key(upload)
        for multipart in Multipart.below(self.bucket, key):
            multipart.abort()
        self.remove(key)

    # -- the whole store --

    def listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name, Prefix=prefix)
        with answered():
            for page in pages:
                yield from page.get("Contents", ())

    def digests(self) -> Iterator[StoredObject]:
        """As the protocol says; an object whose name is not its key is not listed."""
        for entry in self.listed(f"{self.prefix}sha256/"):
            text = f"sha256:{entry['Key'].rsplit('/', 1)[-1]}"
            if digest_pattern.fullmatch(text) and self.key_of(Digest(text)) == entry["Key"]:
                yield StoredObject(Digest(text), entry["Size"], entry["LastModified"])

    def sweep(self, older_than_seconds: float) -> int:
        limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        swept = 0
        for folder in ("tmp/", "uploads/"):
            for entry in list(self.listed(self.prefix + folder)):
                if entry["LastModified"] <= limit:
                    self.remove(entry["Key"])
                    swept += 1
        # also below sha256/: a copy that was cut off
        for multipart in list(Multipart.below(self.bucket, self.prefix)):
            if multipart.initiated_at is None or multipart.initiated_at > limit:
                continue
            if all(part.modified_at <= limit for part in multipart.parts().values()):
                multipart.abort()
                swept += 1
        return swept

    def ping(self) -> None:
        try:
            with answered():
                self.client.head_bucket(Bucket=self.bucket.name)
        except ClientError as error:
            raise NotReady("object store") from error

    def probe(self) -> list[str]:
        place = f"s3://{self.bucket.name}/{self.prefix}"
        try:
            self.ping()
            with answered():
                return [f"{place}: {lack}" for lack in self.lacks()]
        except (ClientError, NotReady, StoreFull, BlobDamaged) as error:
            reason = error.__cause__ or error
            return [f"{place}: writing, reading and deleting an object failed: {reason}"]

    def lacks(self) -> Iterator[str]:
        data = uuid4().bytes
        digest = digest_of_bytes(data)
        with self.stage() as staged:
            staged.write(data)
            staged.place()
        try:
            if b"".join(self.read(digest, 1, 3)) != data[1:4]:
                yield "what was written is not what is read at once"
            if not self.refuses(digest, Body=b"another", ChecksumSHA256=checksum_of(b"a third")):
                yield "bytes with a wrong checksum are taken; damage on the way to the store is found only when they are read"
            if not self.refuses(digest, Body=data, IfNoneMatch="*"):
                yield "a conditional PUT is ignored; nothing here depends on one"
        finally:
            is_gone = self.delete(digest) and self.size(digest) is None
        if not is_gone:
            yield "a deleted object is still there"
        begun = Multipart.begin(self.bucket, self.temporary_key())
        try:
            if Multipart.find(self.bucket, begun.key) is None:
                yield "unfinished multipart uploads are not listed, so that no upload can be resumed or swept"
        finally:
            begun.abort()

    def refuses(self, digest: Digest, **request: Any) -> bool:
        """Whether the store says that it will not take such a PUT."""
        try:
            self.client.put_object(**self.names(self.key_of(digest)), **request)
        except ClientError as error:
            return status_of(error) in {400, 409, 412}
        return False


def checksum_of(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
