"""Settings: where they come from, and that each is described."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.settings import Settings

documentation = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_defaults_need_nothing() -> None:
    settings = Settings(_env_file=None)
    assert settings.object_store_url == (Path.cwd() / "data" / "objects").as_uri()
    assert settings.admin_token is None


def test_a_variable_and_an_env_file_both_count_and_the_variable_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("GLULAM_PORT=9001\nGLULAM_HOST=0.0.0.0\nUNRELATED=1\n")
    monkeypatch.setenv("GLULAM_PORT", "9002")
    settings = Settings(_env_file=file)
    assert (settings.host, settings.port) == ("0.0.0.0", 9002)


def test_secrets_are_read_from_files_and_a_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "glulam_database_url": "postgresql://u:hidden@h/d\n",
        "GLULAM_ADMIN_TOKEN": "glu_of_a_file",
        "glulam_port": "9001",
        "another": "1",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("GLULAM_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("GLULAM_PORT", "9002")
    settings = Settings(_env_file=None)
    assert settings.database_url == SecretStr("postgresql://u:hidden@h/d")
    assert settings.admin_token == SecretStr("glu_of_a_file")
    assert settings.port == 9002


def test_the_folder_of_secrets_may_stand_in_an_env_file(tmp_path: Path) -> None:
    (tmp_path / "glulam_port").write_text("9001")
    file = tmp_path / ".env"
    file.write_text(f"GLULAM_SECRETS_DIR={tmp_path}\n")
    assert Settings(_env_file=file).port == 9001


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_folder_of_secrets_that_is_none_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GLULAM_SECRETS_DIR", str(tmp_path / name))
    with pytest.raises(ValidationError, match="secrets_dir"):
        Settings(_env_file=None)


def test_secrets_do_not_show() -> None:
    settings = Settings(
        _env_file=None, database_url=SecretStr("postgresql://u:hidden@h/d"), admin_token=SecretStr("glu_hidden")
    )
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GLULAM_PORT", "0"),
        ("GLULAM_DEVICE", "tpu"),
        ("GLULAM_MAX_UPLOAD_BYTES", "-1"),
        ("GLULAM_WORKER_STALLED_SECONDS", "6"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings(_env_file=None)


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("GLULAM_HSOT=0.0.0.0\nOTHER=1\n")
    monkeypatch.setenv("GLULAM_PROT", "1")
    monkeypatch.setenv("GLULAM_TOKEN", "glu_1")
    (tmp_path / "glulam_admin_tokne").touch()
    monkeypatch.setenv("GLULAM_SECRETS_DIR", str(tmp_path))
    settings = Settings()
    assert settings.unknown_variables() == ["GLULAM_ADMIN_TOKNE", "GLULAM_HSOT", "GLULAM_PROT"]


def test_every_setting_has_its_line_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(GLULAM_\w+)` \| (.*?) \|", documentation.read_text(), re.MULTILINE))
    assert set(rows) == {Settings.variable_of(field) for field in Settings.model_fields}
