"""Talking to S3: how a client is set up, and what its errors mean."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)

from app.errors import NotReady, StoreFull
from app.objects.store import S3Options, chunk_bytes

log = logging.getLogger(__name__)

connections = 64
"""Kept open to the store; threads beyond them open their own, and close them."""
longest_presigned_seconds = 7 * 24 * 3600
"""S3 signs for a week at most."""

Spool = tempfile.SpooledTemporaryFile[bytes]
spool_bytes = 1 << 20
"""What is larger waits on the local disk for its sending, not in memory."""

full_codes = frozenset({"InsufficientStorage", "QuotaExceeded", "ServiceQuotaExceeded", "XMinioStorageFull"})
unusable_codes = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "InvalidAccessKeyId",
        "NoSuchBucket",
        "PermanentRedirect",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
"""What the operator has to set right, whatever the status."""
absent_codes = frozenset({"NoSuchKey", "NoSuchUpload", "404"})
"""An answer to HEAD has no body, so that its code is the bare status."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and the client that reaches it; the client may be shared by any number of threads."""

    name: str
    client: Any
    """boto3's, whose methods are made when it runs and have no types."""


def open_bucket(name: str, options: S3Options, endpoint_url: str | None) -> Bucket:
    """Makes no request. `endpoint_url` None is what boto3's own chain says, else AWS."""
    config = Config(
        # without it presigned addresses come out in an older form that not every server takes
        signature_version="s3v4",
        s3={"addressing_style": options.addressing_style},
        max_pool_connections=connections,
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 4},
        # what is sent carries SHA-256 or MD5 by our own hand; the defaults would demand a CRC of presigned parts too
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session(
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key,
        region_name=options.region,
    )
    region = session.region_name or "us-east-1"
    return Bucket(name, session.client("s3", region_name=region, endpoint_url=endpoint_url, config=config))


@contextmanager
def answered() -> Iterator[None]:
    """Raises: StoreFull; NotReady where the store does not answer or lets us in no more; anything else as it comes."""
    try:
        yield
    except ClientError as error:
        code, status = code_of(error), status_of(error)
        if code in full_codes or status == 507:
            raise StoreFull from error
        if status >= 500 or status in {401, 403, 429} or code in unusable_codes:
            log.error("the object store refuses: %s", error)
            raise NotReady("object store") from error
        raise
    except (
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
        NoCredentialsError,
        PartialCredentialsError,
    ) as error:
        log.error("the object store does not answer: %s", error)
        raise NotReady("object store") from error


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_absent(error: ClientError) -> bool:
    """Whether there is no such object or upload; a missing bucket is another matter."""
    return code_of(error) in absent_codes


def spooled() -> Spool:
    """A temporary file, in memory as long as it is small."""
    return tempfile.SpooledTemporaryFile(spool_bytes)


def pieces(body: Any) -> Iterator[bytes]:
    """The bytes of an answer, which is closed at the end. Raises: NotReady when the connection breaks."""
    with contextlib.closing(body), answered():
        yield from body.iter_chunks(chunk_bytes)
