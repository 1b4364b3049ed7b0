"""Route × role × state: every cell is answered as the table says, and no other way."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.domain.caller import Caller, Scope
from app.domain.names import RepositoryName
from app.domain.repository import Repository
from app.errors import Forbidden, InvalidToken, NotFound
from app.lineage import accounts, repositories
from app.lineage.engine import Connection
from app.server import create_app
from app.services import finding
from app.services.accounts import Accounts
from tests.matrix.asking import Matrix
from tests.matrix.rights import Role
from tests.matrix.routes import documented, mounted
from tests.matrix.table import sections

all_rows = [row for rows in sections.values() for row in rows]


def without_path_converters(routes: set[str]) -> set[str]:
    return {route.replace(":path}", "}") for route in routes}


def test_every_mounted_route_has_a_row_and_every_row_a_route(matrix: Matrix) -> None:
    routes = without_path_converters(mounted(matrix.registry.app))
    assert routes - {row.route for row in all_rows} == set(), "routes that the table does not know"
    assert {row.route for row in all_rows} - routes == set(), "rows without a route"
    assert documented(matrix.registry.app) <= routes
    names = [row.name for row in all_rows]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("section", sorted(sections))
def test_every_cell_is_answered_as_the_table_says(matrix: Matrix, section: str) -> None:
    before = matrix.cells
    faults = [fault for row in sections[section] for fault in matrix.faults(row)]
    assert not faults, "\n".join(faults)
    asked = sum(len(row.states) for row in sections[section]) * (len(Role) - 1)
    assert matrix.cells - before >= asked


def test_a_planted_route_is_noticed(matrix: Matrix) -> None:
    app = create_app(matrix.registry.services)

    @app.get("/api/v1/planted", include_in_schema=False)
    def planted() -> str:
        return "anything"

    known = without_path_converters(mounted(matrix.registry.app))
    assert without_path_converters(mounted(app)) - known == {"GET /api/v1/planted"}


def a_writer_is_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Caller, "may_write", lambda caller, namespace: True)


def hidden_is_forbidden(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(finding, "repository", forbidding)


def forbidding(tx: Connection, name: RepositoryName, caller: Caller, pointer: str | None = None) -> Repository:
    found = repositories.find(tx, name, replace(caller, is_admin=True))
    if found is None:
        raise NotFound(str(name), pointer)
    if repositories.find(tx, name, caller) is None:
        raise Forbidden("read", str(name))
    return found


def a_bad_token_is_none(patch: pytest.MonkeyPatch) -> None:
    authenticate = Accounts.authenticate

    def planted(self: Accounts, token: str | None, request_id: str | None) -> Caller:
        try:
            return authenticate(self, token, request_id)
        except InvalidToken:
            return authenticate(self, None, request_id)

    patch.setattr(Accounts, "authenticate", planted)


def scopes_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    authenticate = Accounts.authenticate

    def planted(self: Accounts, token: str | None, request_id: str | None) -> Caller:
        return replace(authenticate(self, token, request_id), scopes=frozenset(Scope))

    patch.setattr(Accounts, "authenticate", planted)


def a_token_of_others_may_be_ended(patch: pytest.MonkeyPatch) -> None:
    revoke = accounts.revoke_token
    patch.setattr(accounts, "revoke_token", lambda tx, id, user: revoke(tx, id, None))


@pytest.mark.parametrize(
    ("plant", "route"),
    [
        (a_writer_is_whoever_asks, "PATCH /api/v1/repositories/{namespace}/{name}"),
        (hidden_is_forbidden, "GET /api/v1/repositories/{namespace}/{name}/versions"),
        (a_bad_token_is_none, "GET /api/v1/repositories/{namespace}/{name}"),
        (scopes_are_not_looked_at, "GET /api/v1/whoami"),
        (a_token_of_others_may_be_ended, "DELETE /api/v1/tokens/{id}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_found(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], route: str
) -> None:
    row = next(row for row in all_rows if row.name == route)
    with monkeypatch.context() as patch:
        plant(patch)
        assert matrix.faults(row) != []
