"""What an outsider does: every kind of request, about what is public, private, their own, and nothing at all."""

from collections.abc import Callable
from typing import Any

from tests.api.conftest import digest_of, make_adapter
from tests.two_worlds.player import Player
from tests.two_worlds.worlds import hush_files, known_bytes, leaf_files, root_files, twin_files

public = ["bob/root", "carol/leaf", "alice/open", "lab/mixed", "carol/latest-work", "bob/gone", "carol/far"]
hidden = [
    "alice/hush", "alice/hush-child", "alice/hush-next", "alice/a-twin", "alice/veil", "alice/hush-mix", "acme/tiny",
    "alice/hush-gone", "alice/hush-was", "alice/hush-is", "alice/keyed",
]  # fmt: skip
nowhere = ["alice/nothing", "nobody/nothing", "bob/Root", "alice/hush--x"]
words = ["hush", "root", "alice", "hidden", "tiny", "open", "a", "e", "twin", "100%", "fresh"]
paths = ["adapter_config.json", "adapter_model.safetensors", "README.md", "config.json", "nothing.bin"]
adapters = {"root": root_files, "leaf": leaf_files, "hush": hush_files, "twin": twin_files}


def repository(player: Player) -> str:
    return player.random.choice([*public, *hidden, *hidden, *nowhere, f"{player.name}/own", f"{player.name}/hush"])


def ref(player: Player) -> str:
    """What stands behind the @."""
    mine = player.digests or ["1.0.0"]
    chosen = player.random.choice(mine)
    return player.random.choice(
        [
            "1.0.0",
            "1.0.0",
            "1.0.1",
            "1.1.0",
            "2.0.0",
            "3.0.0",
            "prod",
            "latest",
            "main",
            "best",
            "nothing",
            chosen,
            chosen[:20],
            player.secret("version"),
            player.secret("version")[:21],
            player.secret("commit"),
        ]
    )


def reference(player: Player) -> str:
    if player.random.random() < 0.5:
        return player.random.choice(
            ["bob/root@1.0.0", "carol/leaf@1.0.0", "alice/open@1.0.0", f"{player.name}/own@1.0.0"]
        )
    return f"{repository(player)}@{ref(player)}"


def some_bytes(player: Player) -> bytes:
    card = player.random.choice(sorted(known_bytes))
    files = player.random.choice(sorted(adapters))
    path = player.random.choice(["adapter_model.safetensors", "adapter_config.json"])
    return player.random.choice([known_bytes[card], adapters[files][path], b"%d" % player.random.randrange(100)])


def conditions(player: Player) -> dict[str, str]:
    """Headers that ask for a part, or only for what is new."""
    tags = [f'"{player.secret("weights")[7:]}"', f'"{player.secret("version")[7:]}"', "*", '"0"']
    tags += [f'"{digest_of(data)[7:]}"' for data in known_bytes.values()] + player.etags[-3:]
    tag = player.random.choice(tags)
    return player.random.choice(
        [
            {},
            {},
            {"Range": "bytes=0-9"},
            {"Range": "bytes=-5"},
            {"Range": "bytes=100000-"},
            {"If-None-Match": tag},
            {"If-None-Match": tag, "Range": "bytes=0-1"},
            {"If-Range": tag, "Range": "bytes=2-3"},
        ]
    )


def read(player: Player) -> None:
    name, selector = repository(player), ref(player)
    if player.random.random() < 0.4:
        # what is there for everybody
        name, selector = player.random.choice(["bob/root", "carol/leaf", "alice/open", "lab/mixed"]), "1.0.0"
    root = f"/repositories/{name}"
    at = f"{root}/versions/{selector}"
    path = player.random.choice(paths)
    alias = player.random.choice(["prod", "best", "latest", "nothing"])
    page: dict[str, Any] = player.random.choice([{}, {"limit": 1}, {"limit": 2}])
    what = player.random.choice(
        [root, f"{root}/versions", at, at, f"{at}/tensors", f"{root}/aliases", f"{root}/aliases/{alias}/history"]
    )
    player.ask("GET", what, params=page if what != at else {})
    if player.random.random() < 0.4:
        method = player.random.choice(["GET", "HEAD"])
        rest = player.random.choice([f"/files/{path}", "/archive.tar"])
        player.ask(method, at + rest, headers=conditions(player))


def search(player: Player) -> None:
    choices: dict[str, list[Any]] = {
        "q": words,
        "tag": ["hush-tag", "base-layer", "fresh"],
        "license": ["hush-1.0", "apache-2.0"],
        "base_model": ["acme/tiny", "acme/hidden-base", "acme/other"],
        "namespace": ["alice", "bob", "acme", "nobody", player.name],
        "kind": ["adapter", "model", "stack"],
        "sort": ["updated", "created", "name"],
        "limit": [1, 2, 3, 200],
    }
    names = player.random.sample(sorted(choices), player.random.randrange(4))
    params = {name: player.random.choice(choices[name]) for name in names}
    player.cursors.clear()
    player.ask("GET", "/repositories", params=params)
    for _ in range(3):
        if not player.cursors:
            break
        player.ask("GET", "/repositories", params={**params, "cursor": player.cursors.pop()})


def trace(player: Player) -> None:
    params = player.random.choice([{}, {"direction": "descendants"}, {"direction": "ancestors"}, {"depth": 1}])
    name = player.random.choice(["bob/root@1.0.0", "carol/leaf@1.0.0", "alice/open@1.0.0", reference(player)])
    at, _, selector = name.partition("@")
    player.ask("GET", f"/repositories/{at}/versions/{selector}/lineage", params=params)


def look_up(player: Player) -> None:
    wanted = [digest_of(some_bytes(player)), player.secret("weights"), player.secret("version"), "sha256:1", "0" * 64]
    wanted += [digest_of(data) for files in adapters.values() for data in files.values()]
    found = player.random.choice(wanted)
    player.ask("GET", f"/lookup/{player.random.choice([found, found.removeprefix('sha256:')])}")


def recipe(player: Player) -> dict[str, Any]:
    draw = player.random
    layers = [
        {"adapter": reference(player), "weight": draw.choice([1.0, 0.5, -1.0])} for _ in range(draw.randrange(1, 4))
    ]
    body: dict[str, Any] = {"layers": layers}
    if draw.random() < 0.25:
        # as alice asked it for herself
        body = {"layers": [{"adapter": "bob/root@1.0.0", "weight": 0.5}, {"adapter": "carol/leaf@1.0.0"}]}
    if draw.random() < 0.3:
        body["method"] = draw.choice([{"name": "ties"}, {"name": "linear"}, {"name": "slerp"}])
    if draw.random() < 0.3:
        body["output"] = draw.choice([{"kind": "model"}, {"kind": "adapter", "rank": 2}, {"trunk": "referenced"}])
    if draw.random() < 0.3:
        body["conflicts"] = {repository(player): ref(player)}
    if draw.random() < 0.3:
        body["overlaps"] = draw.choice(["allow", "covered"])
    return body


def plan(player: Player) -> None:
    player.ask("POST", "/merges/plan", json=recipe(player))


def merge(player: Player) -> None:
    body = recipe(player)
    if player.random.random() < 0.4:
        body["publish"] = {"repository": player.random.choice([f"{player.name}/own", repository(player)])}
    player.keep("merge", player.ask("POST", "/merges", as_me=True, json=body))
    player.world.registry.work()


def watch(player: Player) -> None:
    at = f"/merges/{player.made('merge')}"
    method, rest = player.random.choice(
        [
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/archive.tar"),
            ("HEAD", "/archive.tar"),
            ("DELETE", ""),
            ("GET", f"/files/{player.random.choice(paths)}"),
            ("HEAD", f"/files/{player.random.choice(paths)}"),
        ]
    )
    player.ask(method, at + rest, headers=conditions(player))
    params = player.random.choice([{}, {"limit": 1}, {"state": "succeeded"}])
    player.ask("GET", "/merges", params=params)


def upload(player: Player) -> None:
    data = some_bytes(player)
    digest = player.random.choice([digest_of(data), digest_of(data), player.secret("weights")])
    if player.random.random() < 0.4:
        player.ask("PUT", f"/blobs/{digest}", content=data)
        return
    player.keep("upload", player.ask("POST", "/uploads", as_me=True, json={"digest": digest, "size": len(data)}))
    at = f"/uploads/{player.made('upload')}"
    for method, rest, content in [("GET", "", None), ("PUT", "/parts/1", data), ("GET", "", None)]:
        if player.random.random() < 0.6:
            player.ask(method, at + rest, content=content)
    if player.random.random() < 0.6:
        player.ask("POST", f"{at}/complete")


def create(player: Player) -> None:
    namespace, _, name = player.random.choice(
        [f"{player.name}/own", f"{player.name}/hush", f"{player.name}/hush", repository(player)]
    ).partition("/")
    body = {"namespace": namespace, "name": name, "visibility": player.random.choice(["public", "private"])}
    if player.random.random() < 0.3:
        body["kind"] = player.random.choice(["model", "stack"])
    headers = player.random.choice([{}, {"Idempotency-Key": "key-1"}])
    player.ask("POST", "/repositories", json=body, headers=headers)


def publish(player: Player) -> None:
    """With bytes that were uploaded, or only named; standing on what may be read, or may not."""
    draw = player.random
    files = draw.choice([*adapters.values(), make_adapter(draw.randrange(30, 33)).files])
    if draw.random() < 0.6:
        for data in files.values():
            player.ask("PUT", f"/blobs/{digest_of(data)}", as_me=True, content=data)
    body: dict[str, Any] = {"files": {path: digest_of(data) for path, data in files.items()}}
    if draw.random() < 0.3:
        body["files"]["README.md"] = digest_of(known_bytes[draw.choice(sorted(known_bytes))])
    if draw.random() < 0.5:
        body["builds_on"] = [reference(player)]
    if draw.random() < 0.2:
        body["initialized_from"] = reference(player)
    if draw.random() < 0.2:
        body["merged_from"] = [{"version": reference(player), "weight": 0.5}]
    at = draw.choice([f"{player.name}/own", f"{player.name}/own", repository(player)])
    player.ask("POST", f"/repositories/{at}/versions", as_me=True, json=body)


def publish_form(player: Player) -> None:
    files = player.random.choice(list(adapters.values()))
    fields = player.random.choice([{}, {"builds_on": reference(player)}, {"initialized_from": reference(player)}])
    at = player.random.choice([f"{player.name}/own", repository(player)])
    sent = [("files", (path, data)) for path, data in files.items()]
    player.ask("POST", f"/repositories/{at}/versions/form", data=fields, files=sent)


def change(player: Player) -> None:
    draw = player.random
    body: dict[str, Any] = draw.choice(
        [
            {"description": "mine"},
            {"visibility": "private"},
            {"visibility": "public"},
            {"derivatives": "open"},
            {"name": "hush"},
            {"namespace": "alice", "name": "hush"},
            {"namespace": "alice"},
            {"namespace": "nobody"},
        ]
    )
    at = f"/repositories/{repository(player)}"
    if draw.random() < 0.3:
        player.ask("DELETE", at)
    else:
        player.ask("PATCH", at, json=body)
    if draw.random() < 0.4:
        player.ask("DELETE", f"{at}/versions/{ref(player)}")


def point(player: Player) -> None:
    at = player.random.choice([f"{player.name}/own", repository(player)])
    alias = f"/repositories/{at}/aliases/{player.random.choice(['prod', 'best', 'latest', 'mine'])}"
    if player.random.random() < 0.3:
        player.ask("DELETE", alias)
    else:
        player.ask("PUT", alias, json={"version": player.random.choice([ref(player), reference(player)])})
    player.ask("GET", f"{alias}/history", params={"limit": 1})
    if player.cursors:
        player.ask("GET", f"{alias}/history", params={"limit": 1, "cursor": player.cursors[-1]})


def accounts(player: Player) -> None:
    draw = player.random
    match draw.randrange(5):
        case 0:
            user = draw.choice([None, "alice", "nobody"])
            body = {"name": "hush", "scopes": ["read"], "user": user}
            player.keep("token", player.ask("POST", "/tokens", as_me=True, json=body))
        case 1:
            player.ask("DELETE", f"/tokens/{player.made('token')}", as_me=True)
            player.ask("GET", "/tokens", params={"limit": draw.choice([1, 2, 50])})
        case 2:
            name = draw.choice(["lab", "alice", "nobody", f"{player.name}-lab"])
            members = [{"user": draw.choice(["alice", "bob", "nobody"]), "role": "reader"}]
            player.ask("POST", "/organizations", json={"name": name, "members": members})
            player.ask("GET", f"/organizations/{name}")
        case 3:
            name = draw.choice(["lab", "nobody", f"{player.name}-lab"])
            player.ask("PATCH", f"/organizations/{name}", json={"members": [{"user": "alice", "role": None}]})
            player.ask("DELETE", f"/organizations/{name}")
        case _:
            player.ask("POST", "/users", json={"name": draw.choice(["alice", "hush"])})
            player.ask("GET", "/whoami")


def audit(player: Player) -> None:
    params: dict[str, Any] = player.random.choice(
        [{}, {"limit": 1}, {"limit": 2}, {"subject": "alice/hush"}, {"action": "repository.created"}]
    )
    player.cursors.clear()
    player.ask("GET", "/audit", params=params)
    if player.cursors:
        player.ask("GET", "/audit", params={**params, "cursor": player.cursors[-1]})


def look_around(player: Player) -> None:
    path = player.random.choice(
        [
            "/metrics",
            "/healthz",
            "/readyz",
            "/problems/not-found",
            "/problems/hush",
            "/api/openapi.json",
            "/base-models",
        ]
    )
    player.ask("GET", path)


moves: dict[Callable[[Player], None], int] = {
    read: 6, search: 4, trace: 3, look_up: 2, plan: 3, merge: 2, watch: 2, upload: 2, create: 2, publish: 3,
    publish_form: 1, change: 2, point: 2, accounts: 1, audit: 1, look_around: 1,
}  # fmt: skip
"""How often each is drawn."""
