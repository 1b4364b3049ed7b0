"""The bootstrap token of the user `admin`."""

import os
import secrets
import tempfile

from app.settings import Settings

random_bytes = 32


def admin_token(settings: Settings) -> tuple[str, bool]:
    """The token that is set, else the one kept in the data folder, and whether it was made just now.

    Raises: OSError if the folder cannot be written.
    """
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value(), False
    path = settings.admin_token_path
    path.parent.mkdir(parents=True, exist_ok=True)
    # complete under another name first, then linked, which fails if there is one: two that start together agree
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with open(handle, "w") as file:
        file.write(f"glu_{secrets.token_urlsafe(random_bytes)}\n")
    try:
        os.link(draft, path)
        is_new = True
    except FileExistsError:
        is_new = False
    finally:
        os.unlink(draft)
    return path.read_text().strip(), is_new
