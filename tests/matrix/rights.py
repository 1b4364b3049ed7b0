"""The rule of the matrix: what a row of the table says a route needs, and the answer that follows for each role and state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Who asks. All but the first two hold a token; `reader`, `writer` and `owner` are members of the subject's namespace."""

    ANONYMOUS = "anonymous"
    REVOKED = "revoked"
    """With a token that was revoked, of the owner."""
    OUTSIDER = "outsider"
    READER = "reader"
    WRITER = "writer"
    OWNER = "owner"
    ADMIN = "admin"
    SCOPELESS = "scopeless"
    """The administrator, who may do everything, with a token that has every scope but the one that the row needs."""


class State(StrEnum):
    """What became of the subject."""

    PUBLIC = "public"
    PRIVATE = "private"
    DELETED = "deleted"
    """A public repository, deleted with its version in it; an organisation, token or upload that is over."""
    DELETED_PRIVATE = "deleted-private"
    WITHDRAWN = "withdrawn"
    """A version was deleted in a public repository that lives."""
    WITHDRAWN_PRIVATE = "withdrawn-private"
    ABSENT = "absent"
    """It never was."""

    @property
    def is_public(self) -> bool:
        return self in {State.PUBLIC, State.DELETED, State.WITHDRAWN}

    @property
    def is_withdrawn(self) -> bool:
        return self in {State.WITHDRAWN, State.WITHDRAWN_PRIVATE}

    @property
    def is_deleted(self) -> bool:
        return self in {State.DELETED, State.DELETED_PRIVATE}


class Thing(StrEnum):
    """What a route is about."""

    NOTHING = "nothing"
    """Nothing of anybody in particular."""
    REPOSITORY = "repository"
    VERSION = "version"
    ORGANIZATION = "organization"
    EVENTS = "events"
    """What the audit log holds of it."""
    MERGE = "merge"
    """The owner's."""
    UPLOAD = "upload"
    TOKEN = "token"
    STACK = "stack"
    """A repository of its own, with a lock and an open proposal."""
    RECALL = "recall"
    """Of a version of its own repository, which no deletion touches."""
    WEBHOOK = "webhook"
    """Of the namespace."""


class Right(StrEnum):
    """What it takes, beside the scope."""

    OPEN = "open"
    """Nothing at all: the route looks at no token."""
    ANYBODY = "anybody"
    """No right on the subject: the answer is the same whatever became of it."""
    READ = "read"
    WRITE = "write"
    OWN = "own"
    MINE = "mine"
    """It is the owner's alone, and for everybody else it is not there."""
    MINE_OR_ADMIN = "mine-or-admin"
    ADMIN = "admin"
    """An administrator, whatever the subject."""


@dataclass(frozen=True)
class Answer:
    """What has to come back."""

    statuses: tuple[int, ...]
    problem: str | None = None
    is_as_absent: bool = False
    """Byte for byte what the same role is told of a subject that never was, after masking its name."""


gone = Answer((410,), "deleted")
not_told = Answer((200,), is_as_absent=True)
"""A list that is as empty as if the subject had never been."""


@dataclass(frozen=True)
class Row:
    """A route, what is sent to it, and what it needs.

    In `path`, `query` and everything that is sent, `$words` stand for the subject's own (`subjects.Subject.words`); path
    parameters are filled by their names.
    """

    route: str
    """`GET /api/v1/whoami`: method and path as the application has it, with its parameters."""
    right: Right
    thing: Thing = Thing.NOTHING
    scopes: tuple[str, ...] = ("read",)
    anonymous: bool = False
    """Whether it answers without a token (about what is public)."""
    success: tuple[int, ...] = (200,)
    absent: Answer = Answer((404,), "not-found")
    """Of a subject that is not there, or not for this role."""
    deleted: Answer | None = gone
    """Of a deleted repository, before any right but to read is looked at; None: as of a living one."""
    withdrawn: Answer | None = gone
    """Of a deleted version, after the rights were looked at; None: as of a living one."""
    exceptions: Callable[[Role, State], Answer | None] = lambda role, state: None
    """Where a role that may ask is answered otherwise than the rule says."""
    variant: str = ""
    """What tells rows of one route apart."""
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: str | None = None
    form: Mapping[str, Any] | None = None
    """Files, as a form with files sends them."""
    fields: Mapping[str, str] | None = None
    """Of a plain form."""
    destroys: bool = False
    """Success makes an end of the subject: each time it is a fresh one."""
    is_hub: bool = False
    """Of the Hugging Face protocol: refusals are told in headers."""
    shows: str | None = None
    """What an answer that tells of the subject holds, and one that does not tell of it does not."""

    @property
    def name(self) -> str:
        return f"{self.route} {self.variant}".strip()

    @property
    def states(self) -> tuple[State, ...]:
        if self.thing is Thing.NOTHING:
            return (State.ABSENT,)
        if self.thing is Thing.VERSION:
            return tuple(State)
        return tuple(state for state in State if not state.is_withdrawn)


def expected(row: Row, role: Role, state: State) -> Answer:
    """Deny by default: everything that is not named below is refused."""
    success = Answer(row.success)
    if row.right is Right.OPEN:
        return row.exceptions(role, state) or success
    if role is Role.REVOKED:
        return Answer((401,), "invalid-token")
    if role is Role.ANONYMOUS and not row.anonymous:
        return Answer((401,), "unauthenticated")
    if role is Role.SCOPELESS:
        return Answer((403,), "scope-missing")
    if (exception := row.exceptions(role, state)) is not None:
        return exception
    if row.right is Right.ADMIN:
        return success if role is Role.ADMIN else Answer((403,), "forbidden")
    if row.right is Right.ANYBODY:
        return Answer(row.success, is_as_absent=row.thing is not Thing.NOTHING)
    if not is_visible(row.thing, role, state):
        return Answer(row.absent.statuses, row.absent.problem, is_as_absent=True)
    if state.is_deleted and row.deleted is not None:
        return row.deleted
    if not has_right(row.right, role):
        return Answer((403,), "forbidden")
    if state.is_withdrawn and row.withdrawn is not None:
        return row.withdrawn
    return success


def is_visible(thing: Thing, role: Role, state: State) -> bool:
    """Whether the subject is there for this role."""
    if state is State.ABSENT:
        return False
    match thing:
        case Thing.REPOSITORY | Thing.VERSION | Thing.STACK | Thing.RECALL:
            return state.is_public or role in {Role.READER, Role.WRITER, Role.OWNER, Role.ADMIN}
        case Thing.ORGANIZATION:
            # that an organisation is there is no secret among those who have a token
            return not state.is_deleted
        case Thing.EVENTS:
            return role in {Role.OWNER, Role.ADMIN}
        case Thing.MERGE:
            # deleting an input ends no right to what was made of it
            return role in {Role.OWNER, Role.ADMIN}
        case Thing.TOKEN | Thing.WEBHOOK:
            return role in {Role.OWNER, Role.ADMIN} and not state.is_deleted
        case Thing.UPLOAD:
            return role is Role.OWNER and not state.is_deleted
    return False


def has_right(right: Right, role: Role) -> bool:
    """On something that is there for this role."""
    match right:
        case Right.READ:
            return True
        case Right.WRITE:
            return role in {Role.WRITER, Role.OWNER, Role.ADMIN}
        case Right.OWN | Right.MINE_OR_ADMIN:
            return role in {Role.OWNER, Role.ADMIN}
        case Right.MINE:
            return role is Role.OWNER
    return False
