"""Merges that tests of pages ask the real server for, and its worker does."""

import json
from typing import Any

from tests.api.conftest import User, done


def finished(user: User, id: str) -> dict[str, Any]:
    """The merge, once its stream of events has ended."""
    with user.http.stream(
        "GET", f"/api/v1/merges/{id}/events", headers={"Authorization": f"Bearer {user.token}"}
    ) as news:
        told = [json.loads(line.removeprefix("data: ")) for line in news.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "succeeded", told
    return done(user.get(f"/merges/{id}"))


def merged(user: User, recipe: dict[str, Any]) -> dict[str, Any]:
    """Ask for a merge and wait until it is done."""
    response = user.post("/merges", recipe)
    assert response.status_code in {200, 202}, response.text
    return finished(user, response.json()["id"])
