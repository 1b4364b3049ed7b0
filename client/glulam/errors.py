"""Everything that this client raises on purpose.

GlulamError
├── Refused              the registry answered, and said no; carries the problem (RFC 9457)
│   ├── Malformed        400, 422: the request itself is wrong
│   ├── Unauthenticated  401: no token, or a bad one
│   ├── Forbidden        403: a right is missing
│   ├── NotFound         404: it does not exist, or you may not read it
│   ├── Conflict         409: it contradicts what is stored
│   │   └── PlanRefused  409: a recipe that cannot be merged as asked
│   ├── Gone             410: deleted, expired or evicted
│   ├── OverLimit        413, 416, 429, 507: a limit of the registry
│   ├── Recalled         451
│   └── Unavailable      500 and above: try again later
├── Unreachable          no answer, after the retries
├── UnexpectedAnswer     an answer that the contract does not know
├── DigestMismatch       the bytes that arrived are not those that were promised
├── MergeFailed          the merge ended without a result; carries its problem
├── MergeCancelled
├── ResultNotThere       the merge succeeded, and its files are not to be had any more
├── MergeTimeout         the merge still runs after the time that was given
└── InvalidArgument      what was asked cannot be sent; also a ValueError
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

no_problem = "about:blank"
"""The type where an answer carried no problem: it did not come from a registry, or never reached it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the registry said no."""

    type: str
    """The last part of the problem's type: `version-conflict`."""
    title: str
    status: int
    detail: str
    facts: Mapping[str, Any]
    """The problem's further members, by name."""
    request_id: str | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any], status: int = 0) -> Self:
        known = {"type", "title", "status", "detail", "request_id"}
        title = str(body.get("title") or f"status {status}")
        return cls(
            type=str(body.get("type", no_problem)).rsplit("/", 1)[-1],
            title=title,
            status=int(body.get("status") or status),
            detail=str(body.get("detail") or title),
            facts={key: value for key, value in body.items() if key not in known},
            request_id=body.get("request_id"),
        )


advice = {
    "unauthenticated": "run `glulam login`, or set GLULAM_TOKEN",
    "invalid-token": "run `glulam login` with a fresh token",
    "scope-missing": "use a token that has this scope",
    "version-exists": "choose the next version number, or give none and let the registry number it",
    "unknown-blob": "push the file first",
    "idempotency-key-reused": "send the request again",
    "result-evicted": "ask for the same merge again",
    "version-conflict": "pin one version (conflicts, --pin ns/name=X.Y.Z), or leave a layer out",
    "overlapping-contents": "leave one of the two out, or allow it (overlaps, --overlaps covered|allow)",
    "edge-weight-conflict": "name the shared adapter as a layer, with the weight that you want",
    "ancestor-among-branches": "leave the ancestor out: it is summed anyway; or set ancestors (--ancestors branch)",
    "duplicate-layer": "name it once, with the sum of the weights",
    "trunk-not-readable": "ask the owners of what these layers build on for the right to read it",
    "trunk-not-referable": "ask for the trunk to be included (--trunk included)",
    "base-model-mismatch": "merge only adapters of one base model",
    "base-not-stored": "push the base model as a repository of kind model, or ask for an adapter",
    "no-exact-adapter": "ask for a rank (--rank), an energy (--energy) or a model (--model)",
    "too-many-layers": "merge fewer layers, or by another method",
    "not-an-adapter": "name adapters as layers; a model parent is given as the base model",
    "unresolvable": "widen a range, or leave one of the layers out",
    "recalled": "take another version; an owner may add --accept-recalled",
    "plan-too-large": "merge in two steps, or ask the operator for a higher limit",
}
"""What a caller can do about a problem, by its type."""


class GlulamError(Exception):
    """Anything that this client raises on purpose."""


class Refused(GlulamError):
    """The registry answered, and said no."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem

    @property
    def type(self) -> str:
        return self.problem.type

    @property
    def title(self) -> str:
        return self.problem.title

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.problem.facts

    @property
    def request_id(self) -> str | None:
        return self.problem.request_id

    @property
    def advice(self) -> str | None:
        """What to do about it, where there is something."""
        return advice.get(self.problem.type)

    def __str__(self) -> str:
        return self.detail if self.advice is None else f"{self.detail} ({self.advice})"


class Malformed(Refused):
    """The request itself is wrong, whatever is stored."""


class Unauthenticated(Refused):
    """No token, or a bad one."""


class Forbidden(Refused):
    """A right is missing on something that the caller can read."""


class NotFound(Refused):
    """It does not exist, or the caller may not read it."""


class Conflict(Refused):
    """It contradicts what is stored."""


class PlanRefused(Conflict):
    """A recipe that cannot be merged as asked."""

    @property
    def paths(self) -> list[list[str]]:
        """From a layer to the culprit, as references; a hidden ancestor stands as `hidden-1`."""
        return [[step_name(step) for step in path] for path in self.facts.get("paths", [])]


class Gone(Refused):
    """Deleted, expired or evicted."""


class OverLimit(Refused):
    """A limit of the registry."""


class Recalled(Refused):
    """The version was recalled."""


class Unavailable(Refused):
    """The registry cannot answer at the moment, or has a defect."""


class Unreachable(GlulamError):
    """No answer, after the retries."""


class UnexpectedAnswer(GlulamError):
    """An answer that the contract does not know: perhaps no Glulam server stands at this address."""


class DigestMismatch(GlulamError):
    """The bytes that arrived are not those that were promised; the file was not kept."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(f"{path}: {expected} expected, {found} arrived; the file was not kept")
        self.path = path
        self.expected = expected
        self.found = found


class MergeFailed(GlulamError):
    """A merge ended without a result."""

    def __init__(self, merge: str, problem: Problem) -> None:
        super().__init__(f"merge {merge} failed: {problem.detail}")
        self.problem = problem


class MergeCancelled(GlulamError):
    """The merge was cancelled."""


class ResultNotThere(GlulamError):
    """The merge succeeded, and its files were evicted, or the caller may no longer read them."""


class MergeTimeout(GlulamError, TimeoutError):
    """The merge still runs after the time that was given; waiting again is fine."""


class InvalidArgument(GlulamError, ValueError):
    """What was asked cannot be sent."""


plan_problems = {
    "version-conflict",
    "overlapping-contents",
    "base-model-mismatch",
    "edge-weight-conflict",
    "ancestor-among-branches",
    "duplicate-layer",
    "trunk-not-readable",
    "trunk-not-referable",
    "recalled-in-plan",
    "not-an-adapter",
    "model-expected",
    "base-not-stored",
    "module-not-in-base",
    "module-not-in-result",
    "no-exact-adapter",
    "too-many-layers",
    "unsupported-feature",
    "base-needed",
    "replacement-conflict",
    "plan-too-large",
    "unresolvable",
}
by_status: dict[int, type[Refused]] = {
    400: Malformed,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: OverLimit,
    416: OverLimit,
    422: Malformed,
    429: OverLimit,
    451: Recalled,
    507: OverLimit,
}


def refusal(problem: Problem) -> Refused:
    """The exception for a problem."""
    if problem.status == 409 and problem.type in plan_problems:
        return PlanRefused(problem)
    return by_status.get(problem.status, Unavailable if problem.status >= 500 else Refused)(problem)


def step_name(step: Any) -> str:
    """A reference in a path, or the id of a hidden ancestor."""
    return str(step.get("reference") or step.get("id")) if isinstance(step, Mapping) else str(step)
