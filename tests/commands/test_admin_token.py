"""The admin token: made once, kept where only its owner reads it."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import SecretStr

from app.commands.admin_token import admin_token
from app.settings import Settings


def test_it_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path / "data")
    token, is_new = admin_token(settings)
    assert is_new
    assert token.startswith("glu_")
    assert len(token) >= len("glu_") + 32, "192 random bits are 32 characters"
    assert stat.S_IMODE(settings.admin_token_path.stat().st_mode) == 0o600
    assert admin_token(settings) == (token, False)


def test_one_that_is_set_is_not_written_down(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, admin_token=SecretStr("glu_chosen"))
    assert admin_token(settings) == ("glu_chosen", False)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: admin_token(settings), range(8)))
    assert len({token for token, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1
    assert list(tmp_path.iterdir()) == [settings.admin_token_path]
