"""Digests: `sha256:` and 64 lower-case hex digits, of bytes or of canonical JSON (RFC 8785)."""

import hashlib
import re
from typing import Any, NewType

import rfc8785

from app.errors import InvalidDigest

Digest = NewType("Digest", str)

digest_pattern = re.compile(r"sha256:[0-9a-f]{64}")


def parse_digest(text: str) -> Digest:
    """Raises: InvalidDigest."""
    if not digest_pattern.fullmatch(text):
        raise InvalidDigest(text)
    return Digest(text)


def digest_of_bytes(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_of_json(value: Any) -> Digest:
    """The digest of a JSON value in the canonical form of RFC 8785: 1 and 1.0 are one number, keys are sorted."""
    return digest_of_bytes(rfc8785.dumps(value))


def hex_of(digest: Digest) -> str:
    return digest.removeprefix("sha256:")
