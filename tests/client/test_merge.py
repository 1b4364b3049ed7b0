"""Waiting for a merge: by events, and by asking again where there are none."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from glulam import Merge, MergeCancelled, MergeFailed, MergeTimeout
from glulam.connection import Connection
from glulam.merge import events


class Script:
    """A registry that gives the merge's states in turn, and one stream of events per question for them."""

    def __init__(self, states: list[dict[str, Any]], streams: list[list[dict[str, Any]] | int]) -> None:
        self.states = iter(states)
        self.streams = iter(streams)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path.rsplit("/", 1)[-1])
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json={"id": "m", **next(self.states)})
        stream = next(self.streams)
        if isinstance(stream, int):
            return httpx.Response(stream)
        text = "".join(f"event: progress\ndata: {json.dumps(event)}\n\n" for event in stream)
        return httpx.Response(200, text=": hello\n\n" + text, headers={"Content-Type": "text/event-stream"})


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glulam.merge.poll_seconds", 0.01)


def merge(script: Script) -> Merge:
    return Merge(Connection("http://registry", None, httpx.MockTransport(script)), {"id": "m", "state": "queued"})


def test_progress_is_told_until_the_merge_has_succeeded() -> None:
    script = Script(
        [{"state": "succeeded", "progress": {"done": 2, "total": 2, "unit": "modules"}}],
        [[{"state": "running"}, {"done": 1, "total": 2, "unit": "modules"}, {"state": "succeeded"}]],
    )
    told: list[tuple[str, int, int, str]] = []
    assert merge(script).wait(progress=lambda *step: told.append(step)).state == "succeeded"
    assert told == [("merge", 1, 2, "modules"), ("merge", 2, 2, "modules")]
    assert script.asked == ["events", "m"]


def test_a_stream_that_ends_early_is_opened_again() -> None:
    script = Script([{"state": "running"}, {"state": "succeeded"}], [[{"state": "running"}], [{"state": "succeeded"}]])
    merge(script).wait()
    assert script.asked == ["events", "m", "events", "m"]


def test_without_events_the_state_is_asked_for() -> None:
    script = Script([{"state": "running"}, {"state": "succeeded"}], [404, 404])
    assert merge(script).wait().state == "succeeded"


def test_a_failed_merge_says_why() -> None:
    problem = {"type": "/problems/values-out-of-range", "title": "x", "status": 409, "detail": "too large for float16"}
    script = Script([{"state": "failed", "error": problem}], [[{"state": "failed"}]])
    with pytest.raises(MergeFailed, match="too large for float16") as caught:
        merge(script).wait()
    assert caught.value.problem.type == "values-out-of-range"


def test_a_cancelled_merge_is_no_result() -> None:
    with pytest.raises(MergeCancelled):
        merge(Script([{"state": "cancelled"}], [[{"state": "cancelled"}]])).wait()


def test_waiting_ends_with_its_time() -> None:
    running: Iterator[dict[str, Any]] = iter(lambda: {"state": "running"}, None)
    script = Script([], [])
    script.states, script.streams = running, iter(lambda: [{"state": "running"}], None)
    with pytest.raises(MergeTimeout):
        merge(script).wait(timeout=0.2)


def test_events_may_span_lines_and_carry_comments() -> None:
    lines = [
        ": ping",
        "",
        "event: state",
        'data: {"state":',
        'data:"running"}',
        "",
        "id: 3",
        'data: {"a": 1}',
        "",
        'data: {"cut',
    ]
    assert list(events(iter(lines))) == [{"state": "running"}, {"a": 1}]
