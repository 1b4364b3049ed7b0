"""A script played in both worlds, and the first answer in which they differ."""

from tests.two_worlds.hub_moves import change_hub, chunks_hub, list_hub, read_hub, write_hub
from tests.two_worlds.masks import Shown, first_difference, masked_answers
from tests.two_worlds.moves import moves
from tests.two_worlds.player import Player
from tests.two_worlds.worlds import World

moves_per_script = 8
all_moves = {**moves, read_hub: 4, list_hub: 2, write_hub: 3, change_hub: 2, chunks_hub: 1}


def play(world: World, seed: int) -> Player:
    player = Player.enter(world, seed)
    player.play(list(all_moves), list(all_moves.values()), moves_per_script)
    return player


def difference(without: World, with_private: World, seed: int) -> tuple[str | None, int]:
    """(what differs, or None; how many requests were sent to each world)."""
    players = [play(world, seed) for world in (without, with_private)]
    sides = [
        masked_answers(player.answered, player.world.private_digests(), frozenset(player.world.secrets.words.values()))
        for player in players
    ]
    place = first_difference(*sides)
    if place is None:
        return None, len(sides[0])
    asked = [player.asked[place] for player in players]
    question = asked[0] if asked[0] == asked[1] else " / ".join(asked)
    told = [around_difference(sides[here][place], sides[1 - here][place]) for here in (0, 1)]
    return f"TWO_WORLDS_SEED={seed}, request {place + 1}: {question}\nwithout: {told[0]}\nwith:    {told[1]}", place


def around_difference(one: Shown, other: Shown) -> str:
    """So much of an answer that it can be seen what differs."""
    text, other_text = repr(one), repr(other)
    equal = next((place for place, pair in enumerate(zip(text, other_text, strict=False)) if pair[0] != pair[1]), 0)
    return f"status {one['status']} …{text[max(0, equal - 200) : equal + 200]}…"
