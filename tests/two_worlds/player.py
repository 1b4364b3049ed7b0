"""An outsider in one of the worlds: asks, remembers what was answered, and asks on with that."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from httpx2 import Response

from tests.api.conftest import User
from tests.two_worlds.worlds import World


@dataclass
class Player:
    """Draws from the same random numbers in both worlds, so that as long as the answers are equal the questions are."""

    world: World
    random: Random
    me: User
    reader: User
    """The same user with a token that only reads."""
    asked: list[str] = field(default_factory=list)
    answered: list[Response] = field(default_factory=list)
    ids: dict[str, list[str]] = field(default_factory=dict)
    """What was made so far: by kind, ids or names."""
    digests: list[str] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)

    @classmethod
    def enter(cls, world: World, seed: int) -> "Player":
        """As one of the outsiders, who each own the public repository `out-…/own` with a version in it."""
        me, reader = world.outsiders[seed % len(world.outsiders)]
        player = cls(world, Random(seed), me, reader)
        player.ids = {kind: [player.secret(kind)] for kind in ("merge", "upload", "token")}
        return player

    @property
    def name(self) -> str:
        return self.me.name

    def secret(self, word: str) -> str:
        return self.world.secrets.words[word]

    def ask(self, method: str, path: str, *, as_me: bool = False, hub: bool = False, **sent: Any) -> Response:
        """One request; mostly as oneself, sometimes without a token or with one that only reads."""
        users = [self.me] if as_me else [*[self.me] * 8, self.reader, self.world.registry.anonymous]
        user = self.random.choice(users)
        if not hub and not path.startswith(("/api", "/healthz", "/readyz", "/metrics", "/problems", "/docs")):
            path = f"/api/v1{path}"
        response = user.request(method, path, **sent)
        who = "anonymous" if user.token is None else ("reader" if user is self.reader else "me")
        self.asked.append(f"{who}: {method} {path} {sent}")
        self.answered.append(response)
        self.remember(response)
        return response

    def remember(self, response: Response) -> None:
        if "etag" in response.headers:
            self.etags.append(response.headers["etag"])
        if response.headers.get("content-type") != "application/json" or not response.content:
            return
        body = response.json()
        if isinstance(body, dict):
            if body.get("next_cursor"):
                self.cursors.append(body["next_cursor"])
            self.digests += [body[key] for key in ("digest", "commit") if isinstance(body.get(key), str)]

    def keep(self, kind: str, response: Response) -> None:
        """The id of what a request has made, for later requests."""
        if response.status_code in {200, 201, 202}:
            self.ids[kind].append(response.json()["id"])

    def made(self, kind: str) -> str:
        return self.random.choice(self.ids[kind])

    def play(self, moves: list[Callable[["Player"], None]], weights: list[int], count: int) -> None:
        """So many moves, each of one request or a few."""
        for _ in range(count):
            self.random.choices(moves, weights)[0](self)
