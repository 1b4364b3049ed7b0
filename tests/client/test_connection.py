"""One connection: the token's way, retries, problems turned into exceptions."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from glulam import errors
from glulam.connection import Connection, attempts

Handler = Callable[[httpx.Request], httpx.Response]


class Pauses(list[float]):
    """Remembers how long the connection would have slept."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


def connect(handler: Handler, pauses: Pauses) -> Connection:
    return Connection("http://registry", "glu_secret", httpx.MockTransport(handler), sleep=pauses)


def answers(*responses: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A handler that gives these answers in turn, and the requests it saw."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = responses[len(seen) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler, seen


def problem(status: int, name: str, **members: Any) -> httpx.Response:
    body = {"type": f"/problems/{name}", "title": name, "status": status, "detail": f"it is {name}", **members}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (401, "invalid-token", errors.Unauthenticated),
        (403, "forbidden", errors.Forbidden),
        (404, "not-found", errors.NotFound),
        (409, "version-exists", errors.Conflict),
        (409, "version-conflict", errors.PlanRefused),
        (410, "deleted", errors.Gone),
        (413, "upload-too-large", errors.OverLimit),
        (422, "malformed-request", errors.Malformed),
        (451, "recalled", errors.Recalled),
        (500, "internal", errors.Unavailable),
        (507, "store-full", errors.OverLimit),
    ],
)
def test_a_problem_becomes_its_exception(status: int, name: str, kind: type[errors.Refused], pauses: Pauses) -> None:
    handler, seen = answers(problem(status, name, versions=["a/x@1.0.0"], request_id="r1"))
    with pytest.raises(errors.Refused) as caught:
        connect(handler, pauses).get("/merges")
    assert type(caught.value) is kind
    assert caught.value.type == name
    assert caught.value.status == status
    assert caught.value.facts == {"versions": ["a/x@1.0.0"]}
    assert caught.value.request_id == "r1"
    assert len(seen) == 1


def test_a_refused_plan_spells_its_paths_and_says_what_to_do(pauses: Pauses) -> None:
    paths = [["b/y@1.0.0", {"reference": "a/i@1.0.0"}], ["c/z@1.0.0", {"id": "hidden-1", "hidden": True}]]
    handler, _ = answers(problem(409, "version-conflict", paths=paths))
    with pytest.raises(errors.PlanRefused) as caught:
        connect(handler, pauses).post("/merges", {})
    assert caught.value.paths == [["b/y@1.0.0", "a/i@1.0.0"], ["c/z@1.0.0", "hidden-1"]]
    assert "pin one version" in str(caught.value)


def test_an_answer_without_a_problem_is_still_an_exception(pauses: Pauses) -> None:
    handler, _ = answers(httpx.Response(418, text="<html>"))
    with pytest.raises(errors.Refused) as caught:
        connect(handler, pauses).get("/merges")
    assert caught.value.status == 418


def test_passing_troubles_are_tried_again_with_one_idempotency_key(pauses: Pauses) -> None:
    handler, seen = answers(
        httpx.ConnectError("refused"),
        problem(503, "not-ready"),
        problem(409, "request-in-progress"),
        httpx.Response(201, json={"id": 1}),
    )
    assert connect(handler, pauses).post("/merges", {"layers": []}) == {"id": 1}
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len({request.content for request in seen}) == 1
    assert len(pauses) == 3


def test_the_server_says_how_long_to_wait_within_bounds(pauses: Pauses) -> None:
    handler, _ = answers(
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(429, headers={"Retry-After": "86400"}),
        httpx.Response(200, json={}),
    )
    connect(handler, pauses).get("/whoami")
    assert pauses == [7.0, 30.0]


def test_the_retries_end(pauses: Pauses) -> None:
    handler, seen = answers(*[httpx.ConnectError("refused")] * 20)
    with pytest.raises(errors.Unreachable):
        connect(handler, pauses).get("/whoami")
    assert len(seen) == attempts


def test_the_token_stays_with_its_origin(pauses: Pauses) -> None:
    handler, seen = answers(
        httpx.Response(302, headers={"Location": "http://store/bucket/key?signature=1"}),
        httpx.Response(200, json={}),
        httpx.Response(200),
    )
    connection = connect(handler, pauses)
    connection.get("/repositories/a/x/versions/1.0.0/files/f")
    connection.send("PUT", "http://store/bucket/part?signature=2", lambda: [b"bytes"], 5)
    assert [request.url.host for request in seen] == ["registry", "store", "store"]
    assert [request.headers.get("Authorization") for request in seen] == ["Bearer glu_secret", None, None]


def test_a_body_is_made_anew_for_each_attempt(pauses: Pauses) -> None:
    bodies: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(503 if len(bodies) < 3 else 201)

    connect(handler, pauses).send("PUT", "/api/v1/blobs/x", lambda: iter([b"a", b"b"]), 2)
    assert bodies == [b"ab"] * 3


def test_a_list_goes_on_to_its_last_page(pauses: Pauses) -> None:
    handler, seen = answers(
        httpx.Response(200, json={"items": [{"n": 1}, {"n": 2}], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [{"n": 3}], "next_cursor": None}),
    )
    assert [item["n"] for item in connect(handler, pauses).listed("/merges", {"q": None})] == [1, 2, 3]
    assert [request.url.params.get("cursor") for request in seen] == [None, "c"]
    assert "q" not in seen[0].url.params


def test_what_is_no_registry_is_said_to_be_none(pauses: Pauses) -> None:
    handler, _ = answers(httpx.Response(200, text="<html>welcome</html>"))
    with pytest.raises(errors.UnexpectedAnswer):
        connect(handler, pauses).get("/whoami")
