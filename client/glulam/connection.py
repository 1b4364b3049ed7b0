"""One connection to a registry: the token, retries with back-off, problems turned into exceptions."""

import random
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from glulam.errors import Problem, Refused, UnexpectedAnswer, Unreachable, refusal

attempts = 6
longest_pause_seconds = 30.0
connect_seconds = 30.0
read_seconds = 120.0
passing_statuses = frozenset({429, 502, 503, 504})
store_statuses = passing_statuses | {500}
"""Of an object store, which asks for a repetition by 500 too."""

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
            timeout=httpx.Timeout(connect_seconds, read=read_seconds),
            headers={"User-Agent": "glulam/0.1.0"},
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path below `/api/v1`."""
        return self._json(self.request("GET", path, query=query))

    def post(self, path: str, body: Any, patience_seconds: float = 0.0) -> Any:
        """`patience_seconds`: what the answer may take beyond the usual."""
        return self._json(self.request("POST", path, json=body, patience_seconds=patience_seconds))

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
        passing = passing_statuses if self.is_own(url) else store_statuses
        self._retried(lambda: self._client.request(method, url, content=content(), headers=headers), passing)

    def is_own(self, url: str | httpx.URL) -> bool:
        """Whether an address, absolute or a path, is the registry's and not its object store's."""
        registry = httpx.URL(self.url)
        return origin(registry.join(url)) == origin(registry)

    def request(
        self, method: str, path: str, *, query: Query | None = None, json: Any = None, patience_seconds: float = 0.0
    ) -> httpx.Response:
        """A request below `/api/v1` and its successful answer.

        Raises: Refused, Unreachable.
        """
        params = {key: value for key, value in (query or {}).items() if value is not None}
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        timeout = httpx.Timeout(connect_seconds, read=read_seconds + patience_seconds)
        return self._retried(
            lambda: self._client.request(
                method, f"/api/v1{path}", params=params, json=json, headers=headers, timeout=timeout
            )
        )

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to one GET as it arrives, whatever its status; one attempt. The registry may send us to its store.

        Raises: Unreachable, also when the connection breaks within the block.
        """
        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            with ExitStack() as stack:

                def get(url: str | httpx.URL, headers: Mapping[str, str], follow: bool) -> httpx.Response:
                    return stack.enter_context(
                        self._client.stream("GET", url, headers=headers, follow_redirects=follow, **options)
                    )

                response = get(f"/api/v1{path}", headers, False)
                if response.next_request is not None:
                    url = response.next_request.url
                    # the store has entity tags of its own, and what lies at an address of it never changes
                    dropped = () if self.is_own(url) else ("If-Range",)
                    response = get(url, {key: headers[key] for key in headers if key not in dropped}, True)
                yield response
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url}: {error or type(error).__name__}") from error

    def pause(self, attempt: int, retry_after: str | None = None) -> None:
        """Wait before the next attempt: what the server asked for, else longer each time, with jitter."""
        seconds = 0.25 * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  (spreads clients out; not a secret)
        if retry_after is not None and retry_after.isdigit():
            seconds = float(retry_after)
        self._sleep(min(seconds, longest_pause_seconds))

    def _retried(
        self, send: Callable[[], httpx.Response], passing: frozenset[int] = passing_statuses
    ) -> httpx.Response:
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
            passes = response.status_code in passing or refused.type == "request-in-progress"
            if last or not passes:
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
