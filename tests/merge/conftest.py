"""The story that most rules are told with."""

import pytest

from tests.merge.world import World


@pytest.fixture
def world() -> World:
    """instruct; dialogue and reasoning on it, each by somebody else."""
    world = World()
    world.add("alice/instruct@1.0.0")
    world.add("bob/dialogue@1.0.0", ["alice/instruct@1.0.0"])
    world.add("carol/reasoning@1.0.0", ["alice/instruct@1.0.0"])
    return world
