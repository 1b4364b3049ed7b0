"""Where the registry is, and who asks: arguments, then the environment, then what `glulam login` kept."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from glulam.errors import InvalidArgument

default_url = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An address, and the token for it; the token stays out of `repr`."""

    url: str
    token: str | None

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, token={'…' if self.token else None})"


def credentials_file() -> Path:
    """`glulam/credentials.json` in the platform's configuration folder; `XDG_CONFIG_HOME` wins everywhere."""
    if folder := os.environ.get("XDG_CONFIG_HOME"):
        return Path(folder) / "glulam" / "credentials.json"
    if sys.platform == "win32":
        folder = os.environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
        return Path(folder) / "glulam" / "credentials.json"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "glulam" / "credentials.json"
    return Path.home() / ".config" / "glulam" / "credentials.json"


def kept() -> Credentials | None:
    """What `glulam login` kept, if anything."""
    try:
        body = json.loads(credentials_file().read_text())
    except FileNotFoundError:
        return None
    return Credentials(body["url"], body["token"])


def keep(credentials: Credentials) -> Path:
    """Keep an address and its token, readable by this user only. Returns: the file."""
    path = credentials_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    # the mode stands before the token does: there is no moment at which others can read it
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"url": credentials.url, "token": credentials.token}, file)
    fresh.replace(path)
    return path


def resolve(url: str | None, token: str | None) -> Credentials:
    """The address and token to use.

    A kept token goes only to the address it was kept for.
    Raises: InvalidArgument if the address is no http address.
    """
    login = kept()
    address = url or os.environ.get("GLULAM_URL") or (login.url if login else default_url)
    address = address.rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InvalidArgument(f"{address!r} is no address: http://… or https://… expected")
    secret = token or os.environ.get("GLULAM_TOKEN")
    if secret is None and login is not None and login.url == address:
        secret = login.token
    return Credentials(address, secret)
