"""Campaigns that find nothing must be able to: the same ones, in short form, against faults that were planted."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from fastapi import HTTPException
from hypothesis import strategies as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.formats import adapter_config, inspection, json_text, patterns
from app.formats.header import Header, HeaderRefused, Reason, length_bytes, read_entry, read_header
from app.formats.inspection import FiniteCheck, Inspector
from app.services.accounts import Accounts
from app.services.aliasing import Aliasing
from app.services.merging import Merging
from app.services.registering import Registering
from tests.fuzz.campaign import campaign
from tests.fuzz.config_mutants import configs
from tests.fuzz.judges import Judge, judge_config, judge_file, judged
from tests.fuzz.mutants import Mutant, files
from tests.fuzz.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

planted_seed = 20261121
"""Of the first campaign; each further one, while something was not seen, has the next."""
root = "/api/v1"
lineage_path = f"{root}/repositories/{{namespace}}/{{name}}/versions/{{ref}}/lineage"
planted_in_the_api = {
    "a name that is not ASCII is a fault": (f"GET {root}/organizations/{{name}}", "not_a_server_error"),
    "a text is read as a number": (
        f"GET {root}/repositories/{{namespace}}/{{name}}/aliases/{{alias}}/history",
        "not_a_server_error",
    ),
    "a caller's text is compiled as a pattern": (f"GET {root}/repositories", "not_a_server_error"),
    "a status that stands nowhere": (f"DELETE {root}/merges/{{id}}", "status_code_conformance"),
    "another content type": (f"GET {lineage_path}", "content_type_conformance"),
    "a member has another name": (f"GET {root}/whoami", "response_schema_conformance"),
    "no token is needed": (f"GET {root}/audit", "ignored_auth"),
    "a limit is not held": (f"GET {root}/merges", "negative_data_rejection"),
}
attacked = "v1/(organizations|organizations/{name}|merges|merges/{id}|whoami|audit|repositories)$|/history$|/lineage$"


class Planted:
    """The application with faults of the kind that its framework keeps it from, in front of it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path == f"{root}/audit" and "authorization" not in Headers(scope=scope):
            scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {self.token}".encode())]
        if path == f"{root}/merges":
            pairs = parse_qsl(scope["query_string"].decode())
            smaller = [
                (key, "200" if key == "limit" and value.isdecimal() and value != "0" else value) for key, value in pairs
            ]
            scope["query_string"] = urlencode(smaller).encode()

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start" and path.endswith("/lineage"):
                MutableHeaders(scope=message)["Content-Type"] = "text/plain"
            if message["type"] == "http.response.body" and path.endswith("/whoami"):
                message["body"] = message["body"].replace(b"is_admin", b"is_chief")
            await send(message)

        await self.app(scope, receive, changed)


def before(monkeypatch: pytest.MonkeyPatch, service: type, name: str, fault: Callable[..., Any]) -> None:
    """Let a service's method call `fault` with its arguments first."""
    method = getattr(service, name)

    def faulty(self: Any, *arguments: Any, **named: Any) -> Any:
        fault(*arguments, **named)
        return method(self, *arguments, **named)

    monkeypatch.setattr(service, name, faulty)


def refuse_with_teapot(*_: Any) -> None:
    raise HTTPException(418)


def test_the_campaign_sees_what_is_planted_in_the_api(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before(monkeypatch, Accounts, "organization", lambda caller, name: name.encode("ascii"))
    before(monkeypatch, Aliasing, "history", lambda caller, repository, alias, *_: int(alias))
    before(monkeypatch, Registering, "search", lambda caller, **asked: re.compile(asked["q"] or ""))
    before(monkeypatch, Merging, "cancel", refuse_with_teapot)
    app = Planted(world.registry.app, world.alice.token or "")
    missed = set(planted_in_the_api)
    operations = {operation for operation, _ in planted_in_the_api.values()}
    # a short campaign may miss one: what it sends depends on random ids too
    for seed in range(planted_seed, planted_seed + 5):
        findings = campaign(world, "user", seed=seed, examples=12, boundaries=True, only=attacked, app=app)
        missed -= {fault for fault, where in planted_in_the_api.items() if where in findings.failures}
        # and nothing else: that a fault is noted where there is none would be no better
        assert {operation for operation, _ in findings.failures} <= operations, findings.report()
        if not missed:
            return
    raise AssertionError(f"played on without seeing {missed}")


def reader_without(reason: Reason) -> Callable[[bytes], Header]:
    """`read_header` that lets pass what breaks one rule."""

    def read(text: bytes) -> Header:
        try:
            return read_header(text)
        except HeaderRefused as refused:
            if refused.reason is not reason:
                raise
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", {})
        tensors = sorted(
            (read_entry(name, entry, length_bytes + len(text)) for name, entry in entries.items()),
            key=lambda tensor: (tensor.start, tensor.end),
        )
        return Header(
            tuple(tensors), metadata, max((tensor.end for tensor in tensors), default=length_bytes + len(text))
        )

    return read


def careless_reader(text: bytes) -> Header:
    """What most people write first."""
    for entry in json.loads(text).values():
        if isinstance(entry, dict) and entry.get("dtype") == "F16":
            entry["data_offsets"][0].to_bytes(8, "little")
    return read_header(text)


Plant = Callable[[pytest.MonkeyPatch], None]

planted_in_formats: dict[str, tuple[Plant, st.SearchStrategy[Mutant], Judge]] = {
    "tensors may overlap": (
        lambda patch: patch.setattr(inspection, "read_header", reader_without(Reason.OVERLAP)), files(), judge_file,
    ),
    "bytes may belong to no tensor": (
        lambda patch: patch.setattr(inspection, "read_header", reader_without(Reason.HOLE)), files(), judge_file,
    ),
    "a name may stand twice": (
        lambda patch: patch.setattr(inspection, "read_header", reader_without(Reason.DUPLICATE_KEY)), files(), judge_file,
    ),
    "a header that is no JSON is a crash": (
        lambda patch: patch.setattr(inspection, "read_header", careless_reader), files(), judge_file,
    ),
    "the end of the file is not looked at": (
        lambda patch: patch.setattr(Inspector, "fault_at_end", lambda self: None), files(), judge_file,
    ),
    "NaN is a number": (
        lambda patch: patch.setattr(FiniteCheck, "any_not_finite", lambda self, bits, mask: False), files(), judge_file,
    ),
    "code may be imported": (
        lambda patch: patch.setattr(adapter_config, "check_imports", lambda fields: None), configs(), judge_config,
    ),
    "a key may stand twice": (
        lambda patch: patch.setattr(json_text, "decoder", json.JSONDecoder()), configs(), judge_config,
    ),
    "objects may be nested at will": (
        lambda patch: patch.setattr(json_text, "deepest_config", 1000), configs(), judge_config,
    ),
    "a configuration may have any size": (
        lambda patch: patch.setattr(adapter_config, "largest_config_bytes", 1 << 30), configs(), judge_config,
    ),
    "a pattern may have any length": (
        lambda patch: patch.setattr(patterns, "largest_pattern_bytes", 1 << 30), configs(), judge_config,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", planted_in_formats)
def test_the_mutants_see_what_is_planted_in_the_formats(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, mutants, judge = planted_in_formats[fault]
    # without the library's verdict, which would hide what our own rules let pass
    monkeypatch.setattr(inspection, "library_refuses", lambda text, header: None)
    plant(monkeypatch)
    with pytest.raises(
        (AssertionError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
    ):
        judged(mutants, judge, 1000, planted_seed, shrinks=False)
