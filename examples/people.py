"""Three people publish what they trained, each in another way: alice with the client, bob with curl, carol with plain REST."""

import hashlib
import json
import subprocess
from pathlib import Path

import httpx

from examples.story import Story, base_name
from glulam import Registry, Version


def invite(url: str, admin_token: str, name: str) -> str:
    """Make a user. Returns: a token for them."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {admin_token}"}, timeout=60) as admin:
        admin.post("/api/v1/users", json={"name": name}).raise_for_status()
        asked = {"name": "demo", "scopes": ["read", "write", "merge"], "user": name}
        token: str = admin.post("/api/v1/tokens", json=asked).raise_for_status().json()["token"]
        return token


def alice_pushes(alice: Registry, story: Story) -> tuple[Version, Version]:
    """The base model and *instruct*, with the client. Returns: both."""
    base = alice.push(base_name, story.folders["base"], kind="model", visibility="public", version="1.0.0")
    instruct = alice.push(
        "alice/instruct",
        story.folders["instruct"],
        version="1.0.0",
        base_model={"name": base_name, "digest": base.content_digest},
        visibility="public",
        message="Answers in translations",
    )
    return base, instruct


def bob_pushes(url: str, token: str, story: Story) -> None:
    """*dialogue*, with curl and the form that browsers send."""
    repository = {"namespace": "bob", "name": "dialogue", "kind": "adapter", "visibility": "public"}
    curl(url, token, "/api/v1/repositories", "--json", json.dumps(repository))
    fields = [
        "version=1.0.0",
        "builds_on=alice/instruct@1.0.0",
        f"base_model={base_name}",
        "notes=Answers a second turn",
    ]
    files = [f"files=@{path}" for path in sorted(story.folders["dialogue"].iterdir())]
    form = [part for field in files + fields for part in ("--form", field)]
    curl(url, token, "/api/v1/repositories/bob/dialogue/versions/form", *form)


def curl(url: str, token: str, path: str, *arguments: str) -> None:
    """The token goes in by stdin: a command line is readable by others."""
    subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "--config", "-", *arguments, url + path],
        input=f'header = "Authorization: Bearer {token}"\n',
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )


def carol_pushes(url: str, token: str, story: Story) -> None:
    """*reasoning*, and *tool use* on top of it, with plain HTTP."""
    with httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60) as carol:
        for name, parent in (("reasoning", "alice/instruct@1.0.0"), ("tool-use", "carol/reasoning@1.0.0")):
            repository = {"namespace": "carol", "name": name, "kind": "adapter", "visibility": "public"}
            carol.post("/repositories", json=repository).raise_for_status()
            files = {path.name: put(carol, path) for path in sorted(story.folders[name].iterdir())}
            version = {"version": "1.0.0", "files": files, "builds_on": [parent], "base_model": base_name}
            carol.post(f"/repositories/carol/{name}/versions", json=version).raise_for_status()


def put(client: httpx.Client, path: Path) -> str:
    """Upload a file. Returns: its digest."""
    data = path.read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    client.put(f"/blobs/{digest}", content=data).raise_for_status()
    return digest
