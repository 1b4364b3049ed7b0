"""Both worlds, built once for a module."""

import pytest

from tests.conftest import PostgresServer
from tests.two_worlds.worlds import Pair


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.build(postgres, tmp_path_factory.mktemp("two-worlds"))
