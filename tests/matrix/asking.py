"""Asking: a row's request, sent by a role about a subject, and what is wrong with the answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from httpx2 import Response
from sqlalchemy import text

from tests.api.conftest import Registry, User
from tests.matrix.rights import Answer, Right, Role, Row, State, expected
from tests.matrix.subjects import Cast, Subject, make_subject, numbers

path_parameter = re.compile(r"{(\w+)(:path)?}")
times = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
identifiers = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|glu_[\w-]{20,}")
hub_codes = {
    "not-found": "RepoNotFound",
    "revision-not-found": "RevisionNotFound",
    "entry-not-found": "EntryNotFound",
}
"""What clients of the Hub know a problem by; they know no others."""
unsteady_headers = frozenset({"x-request-id", "content-length"})

state_of_everything = (
    "namespaces", "memberships", "tokens", "sessions", "repositories", "redirects", "versions", "edges", "refs", "aliases",
    "alias_events", "uploads", "receipts", "blobs", "base_model_aliases", "merge_requests", "audit_events",
    "stacks", "locks", "proposals", "recalls", "recall_marks", "webhooks", "deliveries",
)  # fmt: skip
"""Tables that a refused request leaves as they were."""

Shown = tuple[int, dict[str, str], str]


@dataclass
class Matrix:
    """A registry with a subject in every state, and everybody who asks for them."""

    registry: Registry
    cast: Cast
    subjects: dict[State, Subject] = field(default_factory=dict)
    cells: int = 0
    """How many were asked."""
    told_of_nothing: dict[tuple[str, Role, str | None], Shown] = field(default_factory=dict)

    @classmethod
    def build(cls, registry: Registry) -> "Matrix":
        cast = Cast.assemble(registry)
        matrix = cls(registry, cast)
        for state in State:
            matrix.subjects[state] = make_subject(cast, state)
        registry.work()
        body = {"name": "acme/name-to-end", "canonical": "acme/tiny"}
        assert registry.admin.put("/base-models", body).status_code == 204
        return matrix

    def users(self, row: Row, role: Role) -> Iterator[User]:
        if role is not Role.SCOPELESS:
            yield self.cast.users[role]
        elif row.right is not Right.OPEN:
            yield from (self.cast.lacking[scope] for scope in row.scopes)

    def ask(self, row: Row, role: Role, user: User, subject: Subject) -> Response:
        number = next(numbers)
        further = {
            **self.cast.own_words(role),
            "fresh": f"fresh-{number:06}",
            "fresh_number": f"2.0.{number}",
        }
        method, path = row.route.split(" ")

        def parameter(match: re.Match[str]) -> str:
            name = match.group(1)
            return str(subject.fill(row.params.get(name, f"${name}"), further))

        sent: dict[str, Any] = {"params": subject.fill(row.query, further)}
        if row.json is not None:
            sent["json"] = subject.fill(row.json, further)
        if row.content is not None:
            sent["content"] = subject.fill(row.content, further).encode()
        if row.fields is not None:
            sent["data"] = subject.fill(row.fields, further)
        if row.form is not None:
            sent["files"] = [("files", (name, data)) for name, data in row.form.items()]
        return user.request(method, path_parameter.sub(parameter, path), **sent)

    def faults(self, row: Row, roles: tuple[Role, ...] = tuple(Role)) -> list[str]:
        """Every cell of the row that is answered otherwise than the table says."""
        found: list[str] = []
        before = self.counts()
        wanted = [
            (role, user, state, expected(row, role, state))
            for role in roles
            for user in self.users(row, role)
            for state in row.states
        ]
        # first what is to be refused, which must leave everything as it was
        for changes in (False, True):
            for role, user, state, answer in wanted:
                if (min(answer.statuses) < 400) is changes:
                    found += self.fault(row, role, user, state, answer)
            after = self.counts()
            if not changes and after != before:
                found.append(f"{row.name}: refused, and yet something was written: {before} → {after}")
        return found

    def fault(self, row: Row, role: Role, user: User, state: State, answer: Answer) -> Iterator[str]:
        self.cells += 1
        cell = f"{row.name} by {role} for {state}"
        is_final = row.destroys and min(answer.statuses) < 400
        subject = make_subject(self.cast, state) if is_final else self.subjects[state]
        response = self.ask(row, role, user, subject)
        told = f"{response.status_code} {response.text[:300]}"
        if response.status_code not in answer.statuses:
            yield f"{cell}: {answer.statuses} expected, {told}"
            return
        if response.status_code >= 400 and row.is_hub:
            said = response.headers.get("X-Error-Code")
            is_other = answer.problem is not None and said != hub_codes.get(answer.problem)
            if not response.headers.get("X-Error-Message") or is_other:
                yield f"{cell}: the refusal {answer.problem} expected, {said}: {told}"
        elif response.status_code >= 400 and not row.route.startswith("HEAD"):
            is_problem = response.headers["content-type"] == "application/problem+json"
            if not is_problem or response.json()["type"] != f"/problems/{answer.problem}":
                yield f"{cell}: the problem {answer.problem} expected, {told}"
        if answer.is_as_absent and state is not State.ABSENT:
            never = self.never(row, role, user)
            if shown(response, subject) != never:
                yield f"{cell}: not as if it had never been: {shown(response, subject)} and {never}"
        if row.shows is not None and response.status_code < 400:
            does_show = subject.fill(row.shows, {}) in response.text
            if does_show is (answer.is_as_absent or state is State.ABSENT):
                yield f"{cell}: {'tells' if does_show else 'does not tell'} of the subject, {told}"

    def never(self, row: Row, role: Role, user: User) -> Shown:
        """What a role is told of a subject that never was."""
        asked = row.name, role, user.token
        if asked not in self.told_of_nothing:
            absent = self.subjects[State.ABSENT]
            self.told_of_nothing[asked] = shown(self.ask(row, role, user, absent), absent)
        return self.told_of_nothing[asked]

    def counts(self) -> dict[str, int]:
        counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in state_of_everything)
        with self.registry.services.database.read() as tx:
            return dict(tx.execute(text(f"SELECT {counts}")).one()._mapping)


def shown(response: Response, subject: Subject) -> Shown:
    """The answer with the subject's words, times, and what is random masked."""

    def masked(told: str) -> str:
        told = re.sub(r'"request_id": ?"[^"]+"', "", subject.masked(told))
        return identifiers.sub("ID", times.sub("TIME", told))

    headers = {name: masked(value) for name, value in response.headers.items() if name not in unsteady_headers}
    return response.status_code, headers, masked(response.text)
