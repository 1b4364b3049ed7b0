"""One registry for all of the matrix: what is refused changes nothing, and what is destroyed was made for that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.assembly import Services
from app.server import create_app
from app.settings import Settings
from tests.api.conftest import Registry, admin_token
from tests.conftest import PostgresServer
from tests.matrix.asking import Matrix


@pytest.fixture(scope="module")
def matrix(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    url = postgres.create_migrated()
    folder: Path = tmp_path_factory.mktemp("matrix")
    settings = Settings(_env_file=None, database_url=SecretStr(url), data_dir=folder, device="cpu")
    services = Services.open(settings)
    services.accounts.bootstrap(admin_token)
    with TestClient(create_app(services), raise_server_exceptions=False) as http:
        yield Matrix.build(Registry(http, services))
    services.close()
    postgres.drop(url)
