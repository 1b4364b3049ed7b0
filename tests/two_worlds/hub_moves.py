"""What an outsider asks by the Hugging Face protocol."""

import json
from typing import Any

from tests.api.conftest import digest_of
from tests.hub.talking import chunk, shard, shard_file
from tests.two_worlds.moves import paths, ref, repository, some_bytes, words
from tests.two_worlds.player import Player
from tests.two_worlds.worlds import known_bytes, quiet_xorb

ways = ["", "/refs", "/auth-check", "/auth-check/write", "/tree/main", "/commits/main"]


def read_hub(player: Player) -> None:
    draw = player.random
    name, revision = repository(player), draw.choice([ref(player), "main", "main", "draft", "quiet"])
    root = f"/api/models/{name}"
    at = draw.choice([f"{root}/revision/{revision}", f"{root}/tree/{revision}", f"{root}/commits/{revision}"])
    params = draw.choice([{}, {"limit": 1}, {"recursive": "true", "expand": "true"}, {"blobs": "true"}])
    player.ask("GET", draw.choice([at, root + draw.choice(ways)]), params=params, hub=True)
    if draw.random() < 0.5:
        method = draw.choice(["GET", "HEAD"])
        way = draw.choice(["resolve", "resolve", "raw"])
        player.ask(method, f"/{name}/{way}/{revision}/{draw.choice(paths)}", hub=True)
    if draw.random() < 0.3:
        player.ask("POST", f"{root}/paths-info/{revision}", json={"paths": paths, "expand": True}, hub=True)


def list_hub(player: Player) -> None:
    draw = player.random
    choices: dict[str, list[Any]] = {
        "search": words,
        "author": ["alice", "bob", "lab", "nobody"],
        "filter": ["hush-tag", "base-layer", "peft", "base_model:adapter:acme/tiny", "license:mit", "card-tag"],
        "sort": ["lastModified", "createdAt"],
        "limit": [1, 2, 50],
        "full": ["true"],
    }
    chosen = draw.sample(sorted(choices), draw.randrange(3))
    player.ask("GET", "/api/models", params={key: draw.choice(choices[key]) for key in chosen}, hub=True)


def write_hub(player: Player) -> None:
    draw = player.random
    name = draw.choice([repository(player), f"{player.name}/own", f"{player.name}/own"])
    root = f"/api/models/{name}"
    data = some_bytes(player)
    hexadecimal = draw.choice([digest_of(data)[7:], player.secret("weights")[7:]])
    head = json.dumps({"key": "header", "value": {"summary": "A commit"}})
    linked = {"path": "known.bin", "algo": "sha256", "oid": hexadecimal}
    card = f"---\nbuilds_on: {repository(player)}@1.0.0\ntags: [card-tag]\n---\n"
    readme = {"path": "README.md", "content": card, "encoding": "utf-8"}
    lines = draw.choice([[("lfsFile", linked)], [("file", readme)], [("deletedFile", {"path": "README.md"})]])
    body = "\n".join([head, *(json.dumps({"key": key, "value": value}) for key, value in lines)])
    match draw.randrange(7):
        case 0 | 1 | 2:
            player.ask("POST", f"{root}/commit/main", content=body.encode(), hub=True)
        case 3:
            asked: dict[str, Any] = {"operation": "upload", "objects": [{"oid": hexadecimal, "size": len(data)}]}
            player.ask("POST", f"/{name}.git/info/lfs/objects/batch", json=asked, hub=True)
        case 4:
            files = [{"path": path, "size": 10, "sample": ""} for path in paths]
            player.ask("POST", f"{root}/preupload/main", json={"files": files}, hub=True)
        case 5:
            namespace, _, last = name.partition("/")
            asked = {"organization": namespace, "name": last, "private": draw.choice([True, False])}
            player.ask("POST", "/api/repos/create", json=asked, hub=True)
        case _:
            player.ask("POST", f"{root}/branch/draft", json={"startingPoint": ref(player)}, hub=True)
            player.ask("POST", f"{root}/tag/{ref(player)}", json={"tag": "best"}, hub=True)


def change_hub(player: Player) -> None:
    draw = player.random
    # never their own: the other scripts go on with it
    name = repository(player).replace(f"{player.name}/own", "alice/nothing")
    root = f"/api/models/{name}"
    namespace, _, last = name.partition("/")
    match draw.randrange(6):
        case 0:
            player.ask("DELETE", f"{root}/branch/{draw.choice(['quiet', 'draft', 'main'])}", hub=True)
        case 1:
            player.ask("DELETE", f"{root}/tag/{ref(player)}", hub=True)
        case 2:
            player.ask("PUT", f"{root}/settings", json={"private": draw.choice([True, False])}, hub=True)
        case 3:
            target = draw.choice([repository(player), f"{player.name}/{last}", "alice/hush"])
            player.ask("POST", "/api/repos/move", json={"fromRepo": name, "toRepo": target}, hub=True)
        case 4:
            player.ask("DELETE", "/api/repos/delete", json={"organization": namespace, "name": last}, hub=True)
        case _:
            text = draw.choice(["---\nlicense: mit\n---", "---\n: [\n---"])
            player.ask("POST", "/api/validate-yaml", json={"content": text}, hub=True)
            player.ask("GET", "/api/whoami-v2", hub=True)


def chunks_hub(player: Player) -> None:
    """Where somebody else's chunks are, and what they would be put together to."""
    draw = player.random
    player.ask("GET", f"/api/models/{repository(player)}/xet-write-token/main", hub=True)
    granted = player.ask("GET", f"/api/models/{player.name}/own/xet-write-token/main", as_me=True, hub=True)
    if granted.status_code != 200:
        # a script may have deleted it
        return
    own = "/" + granted.json()["casUrl"].split("/", 3)[3]
    overheard = own.rpartition("/")[0] + "/" + player.secret("repository")
    data = draw.choice(sorted(known_bytes.values()))
    xorb = draw.choice([quiet_xorb, "a" * 64])
    listing = shard(shard_file(digest_of(data), [(xorb, len(data), 0, 1)]))
    for base in (own, overheard):
        player.ask("GET", f"{base}/v1/chunks/default/{xorb}", hub=True)
        if draw.random() < 0.3:
            player.ask("POST", f"{base}/v1/xorbs/default/{xorb}", content=chunk(b"something else"), hub=True)
        player.ask("POST", f"{base}/v1/shards", content=listing, hub=True)
