"""What two answers are compared without: times and other measurements, request ids, and what is drawn at random.

Random are uuids, tokens, and the digests of versions and ids of commits (which hold a uuid); each becomes a number by the
order in which it appears. Everything else, digests of contents, recipes and files among it, is compared as it is.
"""

import base64
import binascii
import io
import re
import tarfile
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import unquote

from httpx2 import Response

times = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
request_ids = re.compile(r'"request_id": ?"[^"]*"')
uuids = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
short_ids = re.compile(r"(?<=merge-)[0-9a-f]{8}(?![0-9a-f])")
"""An archive of a merge is named for the beginning of its uuid."""
measured = re.compile(r'"elapsed_seconds":[0-9.e-]+')
"""How long a merge took."""
seconds = re.compile(r'(?<="exp":)\d{10}|^\d{10}$')
"""Until when chunks may be sent: in the answer, and as a header."""
tokens = re.compile(r"glu_[A-Za-z0-9_-]{20,}")
hexadecimal = re.compile(r"(?<![0-9a-f])[0-9a-f]{12,64}(?![0-9a-f])")
cursors = re.compile(r'(?<="next_cursor":")[^"]+|(?<=[?&]cursor=)(?![0-9a-f]{40}(?![0-9a-f]))[\w%-]+')

Shown = dict[str, Any]


def masked_answers(
    responses: Iterable[Response], random_digests: Iterable[str], secrets: Collection[str]
) -> list[Shown]:
    """One script's answers in the order in which they came.

    Args:
        random_digests: hexadecimal, of this world.
        secrets: random too, but the same text in both worlds.
    """
    numbers: dict[str, str] = {}
    digests = list(random_digests)

    def number(kind: str, text: str) -> str:
        return numbers.setdefault(text, f"#{kind}-{len(numbers) + 1}")

    def identifier(match: re.Match[str]) -> str:
        text = match.group()
        return text if text in secrets else number("id", text)

    def short(match: re.Match[str]) -> str:
        return next((masked for text, masked in numbers.items() if text.startswith(match.group())), match.group())

    def digest(match: re.Match[str]) -> str:
        text = match.group()
        whole = next((entry for entry in digests if entry.startswith(text)), None)
        return text if whole is None else f"{number('digest', whole)}:{len(text)}"

    def cursor(match: re.Match[str]) -> str:
        try:
            return base64.urlsafe_b64decode(unquote(match.group())).decode().replace('"', "'")
        except (binascii.Error, UnicodeDecodeError):
            return match.group()

    def masked(text: str) -> str:
        text = times.sub("TIME", request_ids.sub("REQUEST", cursors.sub(cursor, text)))
        text = measured.sub("MEASURED", seconds.sub("SECONDS", text))
        text = tokens.sub(lambda match: number("token", match.group()), text)
        return hexadecimal.sub(digest, short_ids.sub(short, uuids.sub(identifier, text)))

    return [shown(response, masked) for response in responses]


def shown(response: Response, masked: Callable[[str], str]) -> Shown:
    is_text = "json" in response.headers.get("content-type", "") or response.text.isascii()
    headers = {name: masked(value) for name, value in response.headers.items() if name != "x-request-id"}
    if is_text and response.content:
        # a time that ends in zeros is written shorter
        headers.pop("content-length", None)
    body: Any = response.content
    if response.headers.get("content-type") == "application/x-tar" and response.content:
        body = entries_of(response.content, masked)
    elif is_text:
        body = masked(response.text)
    return {"status": response.status_code, "headers": headers, "body": body}


def entries_of(archive: bytes, masked: Callable[[str], str]) -> list[tuple[str, int, str, bytes]]:
    """A tar's entries without their times."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [
            (masked(entry.name), entry.mode, entry.uname, file.read())
            for entry in opened
            if (file := opened.extractfile(entry)) is not None
        ]


def first_difference(left: list[Shown], right: list[Shown]) -> int | None:
    """The place of the first answers that differ."""
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        if one != other:
            return place
    return None
