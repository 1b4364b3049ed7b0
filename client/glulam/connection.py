"""One connection to a registry: the token, retries with back-off, problems turned into exceptions."""

import random
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from glulam.errors import Problem, Refused, UnexpectedAnswer, Unreachable, refusal

attempts = 6
longest_pause_seconds = 30.0
passing_statuses = frozenset({429, 502, 503, 504})

Query = Mapping[str, Any]
Body = Callable[[], Iterable[bytes]]
"""Makes the body anew for each attempt."""


class OriginToken(httpx.Auth):
    """Sends the token to the registry's own origin and to no other: presigned addresses lie elsewhere."""

    def __init__(self, url: httpx.URL, token: str | None) -> None:
        self.origin = origin(url)
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self.token is not None and origin(request.url) == self.origin:
            request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


class Connection:
    """Talks to one registry. Safe to share between threads.

    Every request may be repeated: GET, PUT and DELETE by nature, POST because it carries an Idempotency-Key.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=url,
            auth=OriginToken(httpx.URL(url), token),
            transport=transport,
            follow_redirects=True,
            timeout=httpx.Timeout(30.0, read=120.0),
            headers={"User-Agent": "glulam/0.1.0"},
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path below `/api/v1`."""
        return self._json(self.request("GET", path, query=query))

    def post(self, path: str, body: Any) -> Any:
        return self._json(self.request("POST", path, json=body))

    def put(self, path: str, body: Any) -> Any:
        return self._json(self.request("PUT", path, json=body))

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def listed(self, path: str, query: Query | None = None, limit: int | None = None) -> Iterator[Mapping[str, Any]]:
        """The items of a list, page after page; `limit` None is all of them."""
        sent, cursor = 0, None
        while limit is None or sent < limit:
            page_size = 200 if limit is None else min(200, limit - sent)
            page = self.get(path, {**(query or {}), "limit": page_size, "cursor": cursor})
            yield from page["items"]
            sent += len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def send(self, method: str, url: str, content: Body, size: int) -> None:
        """Send bytes to an address: absolute, or a path on this registry. `size` in bytes."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._retried(lambda: self._client.request(method, url, content=content(), headers=headers))

    def request(self, method: str, path: str, *, query: Query | None = None, json: Any = None) -> httpx.Response:
        """A request below `/api/v1` and its successful answer.

        Raises: Refused, Unreachable.
        """
        params = {key: value for key, value in (query or {}).items() if value is not None}
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        return self._retried(
            lambda: self._client.request(method, f"/api/v1{path}", params=params, json=json, headers=headers)
        )

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to one GET as it arrives, whatever its status; one attempt.

        Raises: Unreachable, also when the connection breaks within the block.
        """
        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            with self._client.stream("GET", f"/api/v1{path}", headers=headers, **options) as response:
                yield response
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url}: {error or type(error).__name__}") from error

    def pause(self, attempt: int, retry_after: str | None = None) -> None:
        """Wait before the next attempt: what the server asked for, else longer each time, with jitter."""
        seconds = 0.25 * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  (spreads clients out; not a secret)
        if retry_after is not None and retry_after.isdigit():
            seconds = float(retry_after)
        self._sleep(min(seconds, longest_pause_seconds))

    def _retried(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        for attempt in range(attempts):
            last = attempt == attempts - 1
            try:
                response = send()
            except httpx.TransportError as error:
                if last:
                    raise Unreachable(f"{self.url}: {error or type(error).__name__}") from error
                self.pause(attempt)
                continue
            if response.is_success:
                return response
            refused = refusal_of(response)
            passing = response.status_code in passing_statuses or refused.type == "request-in-progress"
            if last or not passing:
                raise refused
            self.pause(attempt, response.headers.get("Retry-After"))
        raise AssertionError("the last attempt returns or raises")

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise UnexpectedAnswer(
                f"{self.url} answered something that is not JSON: is it a Glulam registry?"
            ) from error


def refusal_of(response: httpx.Response) -> Refused:
    """The exception for an answer that is no success; its body must have been read."""
    try:
        body = response.json()
    except ValueError:
        body = None
    problem = Problem.from_json(body if isinstance(body, dict) else {}, response.status_code)
    return refusal(problem)


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
