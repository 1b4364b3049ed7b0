"""schemathesis over the served document: every operation, with what the document says of it and with what it forbids."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis import engine
from schemathesis.engine import events
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.hooks import HookContext
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fuzz.world import World, kept, spare

awkward = [
    "(",
    "[",
    "*",
    "\\",
    "%",
    "_",
    "'",
    '"',
    "é",
    "ß",
    "İ",
    "日本",
    "🦊",
    "a\u0301",
    "\u202e",
    " ",
    "-1",
    "1e999",
    "null",
    "None",
]
"""What has a meaning to some parser, or no byte of its own to some encoding."""
layers = ["alice/instruct@1.0.0", "alice/dialogue@prod", "alice/reasoning@1.0.0"]

unchecked: list[dict[str, Any]] = [
    # `plan` and `form` are a merge's id and a version's alias to other routes, which know other methods of these paths
    {
        "include-path-regex": "/(merges/plan|versions/form)$",
        "checks": {"unsupported_method": {"enabled": False}, "allow_header_conformance": {"enabled": False}},
    },
    # what is not found may be a user or a namespace that the body names
    {"include-method": "PATCH", "checks": {"ensure_resource_availability": {"enabled": False}}},
    # a short campaign has noted this of organisations that another case may have deleted: `use_after_free` is the sharper check
    {"include-method": "DELETE", "checks": {"ensure_resource_availability": {"enabled": False}}},
]


@dataclass
class Findings:
    """What a campaign saw."""

    seed: int
    cases: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often each operation answered with each status."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    """By operation and check: the first failure, with a request that shows it."""
    errors: list[str] = field(default_factory=list)
    """Of schemathesis itself: a campaign with one has not seen everything."""

    @property
    def succeeded(self) -> set[str]:
        """Operations that did once what they are for."""
        return {operation for operation, status in self.statuses if status < 300}

    def record(self, recorder: ScenarioRecorder) -> None:
        for case, interaction in recorder.interactions.items():
            self.cases += 1
            if interaction.response is not None:
                self.statuses[recorder.cases[case].value.operation.label, interaction.response.status_code] += 1
        for case, checks in recorder.checks.items():
            operation = recorder.cases[case].value.operation.label
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    told = f"{failure.title}: {failure.message}\n{check.failure_info.code_sample}"
                    self.failures.setdefault((operation, check.name), told)

    def report(self) -> str:
        """What is wrong, for whoever has to mend it."""
        found = [f"{operation}: {check}\n{told}" for (operation, check), told in sorted(self.failures.items())]
        return "\n\n".join([f"FUZZ_SEED={self.seed}, {self.cases} cases", *self.errors, *found])


class Served:
    """The application as a server runs it: a fault has been answered with 500 when it is raised again, for the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(Exception):
            await self.app(scope, receive, send)


def campaign(
    world: World,
    who: str,
    *,
    seed: int,
    examples: int,
    boundaries: bool,
    only: str | None = None,
    app: ASGIApp | None = None,
) -> Findings:
    """Attack the world's registry.

    Args:
        who: `anonymous`, `user` or `admin`.
        examples: random requests of each operation.
        boundaries: also every boundary value that the document tells of, some forty requests of each operation.
        only: a regular expression of the paths that are attacked; all unless said.
        app: what is attacked, where it is not the registry's own application.
    """
    config = schemathesis.Config.from_dict(configuration(world, who, seed, examples, boundaries, only))
    schema = schemathesis.openapi.from_dict(world.document(), config=config)
    schema.app = Served(app or world.registry.app)
    findings = Findings(seed)
    for event in engine.from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            findings.record(event.recorder)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            findings.errors.append(repr(event))
    return findings


@schemathesis.hook("before_call")
def spare_what_is_kept(context: HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """What is deleted answers with nothing but 410, to all that comes after."""
    name = case.path_parameters.get("name")
    if case.method == "DELETE" and "namespace" in case.path_parameters and name in kept:
        case.path_parameters["name"] = spare[kept.index(name)]


def configuration(
    world: World, who: str, seed: int, examples: int, boundaries: bool, only: str | None
) -> dict[str, Any]:
    token = world.token_of(who)
    words = world.words() | world.identifiers | {"layers": layers, "awkward": awkward}

    def mostly(name: str) -> dict[str, Any]:
        return {"dictionary": name, "probability": 0.8}

    known = {f"path.{name}": mostly(name) for name in world.words()}

    ids: list[dict[str, Any]] = [
        {"include-path-regex": f"^/api/v1/{kind}/", "parameters": {"path.id": mostly(kind)}}
        for kind in world.identifiers
        # what is in the paths of tokens is deleted
        if kind != "tokens"
    ]
    left_out = [] if only is None else [{"exclude-path-regex": only, "enabled": False}]
    return {
        "seed": seed,
        "headers": {} if token is None else {"Authorization": f"Bearer {token}"},
        "continue-on-failure": True,
        "max-stream-events": 1,
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        "phases": {
            # one method that a path does not know tells what `Allow` says
            "coverage": {"enabled": boundaries, "unexpected-methods": ["options"]},
            # the links are the document's own
            "stateful": {"inference": {"algorithms": []}},
        },
        "checks": {
            # a name that breaks the rules and a version that was never uploaded are refused, though the document allows both
            "positive_data_acceptance": {"enabled": False},
            "negative_data_rejection": {"expected-statuses": [str(status) for status in refusing]},
        },
        "dictionaries": {name: {"values": values} for name, values in words.items()},
        "parameters": {
            "body.layers[*].adapter": mostly("layers"),
            **{f"query.{name}": {"dictionary": "awkward", "probability": 0.5} for name in ("q", "action", "subject")},
        },
        "operations": [
            *left_out,
            *unchecked,
            *ids,
            {"include-path-regex": "/repositories/", "parameters": known},
            {"include-path-regex": "/stacks/", "parameters": known | {"path.name": mostly("stack")}},
            {"include-path-regex": "/(blobs|lookup)/", "parameters": known},
            {
                "include-path-regex": "/organizations/",
                "parameters": {"path.name": {"dictionary": "awkward", "probability": 0.5}},
            },
        ],
    }


refusing = (401, 403, 404, 405, 409, 410, 413, 422)
"""What refuses a request that the document forbids: whoever may not ask is told so first."""
