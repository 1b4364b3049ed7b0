"""Rule 7: a module that an adapter does not have is a zero delta; it is no reason to refuse, and adds no rank."""

from app.domain.recipe import Method, Output
from app.merge.planning import plan
from tests.merge.files import adapter, module, weight_files
from tests.merge.world import World


def test_a_member_without_a_module_adds_nothing_to_it() -> None:
    world = World()
    a, b = world.add("a/a@1.0.0"), world.add("b/b@1.0.0")
    adapters = {a.id: adapter(module("q", 2), module("v", 3)), b.id: adapter(module("q", 4))}
    files = dict.fromkeys(adapters, weight_files(1000))
    planned = plan(world.resolve("a/a@1.0.0", "b/b@1.0.0"), adapters, files, Method(), Output(), None, world.catalogue)
    assert (planned.modules, planned.rank_min, planned.rank_max) == (2, 3, 6)


def test_members_without_a_common_module_are_merged() -> None:
    world = World()
    a, b = world.add("a/a@1.0.0"), world.add("b/b@1.0.0")
    adapters = {a.id: adapter(module("q", 2)), b.id: adapter(module("v", 4))}
    files = dict.fromkeys(adapters, weight_files(1000))
    planned = plan(world.resolve("a/a@1.0.0", "b/b@1.0.0"), adapters, files, Method(), Output(), None, world.catalogue)
    assert (planned.modules, planned.rank_min, planned.rank_max) == (2, 2, 4)
