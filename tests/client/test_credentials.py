"""Where the registry is, and who asks."""

import stat
from pathlib import Path

import pytest

from glulam.credentials import Credentials, credentials_file, default_url, keep, resolve
from glulam.errors import InvalidArgument


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("GLULAM_URL", raising=False)
    monkeypatch.delenv("GLULAM_TOKEN", raising=False)
    return tmp_path


def test_without_anything_the_local_registry_is_asked_without_a_token() -> None:
    assert resolve(None, None) == Credentials(default_url, None)


def test_a_login_is_kept_for_its_owner_alone(configuration: Path) -> None:
    path = keep(Credentials("http://one", "glu_1"))
    assert path == configuration / "glulam" / "credentials.json" == credentials_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["credentials.json"]
    assert resolve(None, None) == Credentials("http://one", "glu_1")


def test_arguments_win_over_the_environment_and_that_over_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(Credentials("http://kept", "glu_kept"))
    monkeypatch.setenv("GLULAM_URL", "http://environment/")
    monkeypatch.setenv("GLULAM_TOKEN", "glu_environment")
    assert resolve(None, None) == Credentials("http://environment", "glu_environment")
    assert resolve("http://argument", "glu_argument") == Credentials("http://argument", "glu_argument")


def test_a_kept_token_goes_to_no_other_address() -> None:
    keep(Credentials("http://one", "glu_1"))
    assert resolve("http://other", None).token is None
    assert resolve("http://one/", None).token == "glu_1"


def test_a_token_is_not_in_the_representation() -> None:
    assert "glu_secret" not in repr(Credentials("http://one", "glu_secret"))


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        resolve("registry.example", None)
