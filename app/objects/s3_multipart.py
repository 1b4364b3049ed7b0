"""Multipart uploads: parts that the store keeps until they are put together under their key, or given up."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from app.objects.s3_client import Bucket, Spool, answered, is_absent

least_part_bytes = 5 << 20
"""S3 takes no smaller part but the last."""
most_parts = 1_000
"""Of a client's upload: S3 would take ten times as many, but lists so many at a time, and each costs an address to sign."""


@dataclass(frozen=True, slots=True)
class PartInfo:
    number: int
    size_bytes: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Multipart:
    """An upload in parts that the store knows by this id."""

    bucket: Bucket
    key: str
    id: str
    initiated_at: datetime | None = None
    """None: it was begun by us, just now."""

    @property
    def names(self) -> dict[str, Any]:
        return {"Bucket": self.bucket.name, "Key": self.key, "UploadId": self.id}

    @classmethod
    def begin(cls, bucket: Bucket, key: str) -> "Multipart":
        with answered():
            made = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
        return cls(bucket, key, made["UploadId"])

    @classmethod
    def below(cls, bucket: Bucket, prefix: str) -> Iterator["Multipart"]:
        """The unfinished ones whose keys begin so."""
        pages = bucket.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, Prefix=prefix)
        with answered():
            for page in pages:
                for entry in page.get("Uploads", ()):
                    yield cls(bucket, entry["Key"], entry["UploadId"], entry["Initiated"])

    @classmethod
    def find(cls, bucket: Bucket, key: str) -> "Multipart | None":
        """The unfinished one of a key. Of several, which nobody makes on purpose, everybody finds the same."""
        found = [multipart for multipart in cls.below(bucket, key) if multipart.key == key]
        return min(found, key=lambda multipart: (multipart.initiated_at, multipart.id), default=None)

    def write(self, number: int, body: Spool, size_bytes: int) -> None:
        """Raises: ClientError, of an absent upload when it was aborted or completed; StoreFull."""
        body.seek(0)
        md5 = hashlib.file_digest(body, lambda: hashlib.md5(usedforsecurity=False)).digest()
        body.seek(0)
        with answered():
            self.bucket.client.upload_part(
                **self.names,
                PartNumber=number,
                Body=body,
                ContentLength=size_bytes,
                ContentMD5=base64.b64encode(md5).decode(),
            )

    def parts(self) -> dict[int, PartInfo]:
        """By number, ascending; empty when the upload is not there any more."""
        pages = self.bucket.client.get_paginator("list_parts").paginate(**self.names)
        found = {}
        try:
            with answered():
                for page in pages:
                    for part in page.get("Parts", ()):
                        number = part["PartNumber"]
                        found[number] = PartInfo(number, part["Size"], part["ETag"], part["LastModified"])
        except ClientError as error:
            if not is_absent(error):
                raise
        return dict(sorted(found.items()))

    def complete(self, parts: Mapping[int, PartInfo]) -> None:
        """Put the parts together; somebody else may have done so already."""
        named = [{"PartNumber": number, "ETag": part.etag} for number, part in sorted(parts.items())]
        try:
            with answered():
                self.bucket.client.complete_multipart_upload(**self.names, MultipartUpload={"Parts": named})
        except ClientError as error:
            if not is_absent(error):
                raise

    def abort(self) -> None:
        try:
            with answered():
                self.bucket.client.abort_multipart_upload(**self.names)
        except ClientError as error:
            if not is_absent(error):
                raise

    def presigned(self, number: int, size_bytes: int, seconds: int) -> str:
        """Where to PUT exactly so many bytes as this part; the length is signed."""
        names = self.names | {"PartNumber": number, "ContentLength": size_bytes}
        address: str = self.bucket.client.generate_presigned_url("upload_part", Params=names, ExpiresIn=seconds)
        return address
