"""Random worlds, steered towards what plain randomness misses.

That is: merges, continuations, twins by content, weighted diamonds, pins that replace something, extractions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from app.domain.base_model import BaseModel
from app.domain.lineage import Kind, LineageVersion, Relation, Role, VersionState
from app.domain.recipe import Ancestors, Overlaps
from app.errors import RefusedPlan
from app.merge.publication import check_version
from tests.merge.world import Source, World

bases = [
    BaseModel("org/base", revision="main-1"),
    BaseModel("Org/Base"),
    BaseModel("org/base-alias", digest="sha256:" + "1" * 64),
    BaseModel("org/base", revision="main-1", quantization="nf4"),
    BaseModel("org/base", revision="main-2"),
    BaseModel("org/base", digest="sha256:" + "2" * 64),
    None,
]
aliases = {"org/base-alias": "org/base"}
edge_weights = (1.0, 1.0, 1.0, 1.0, 0.5, 0.0)
layer_weights = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 2.0, -1.0, 0.0)


@dataclass(frozen=True)
class Question:
    """A world and a recipe in it."""

    world: World
    layers: Sequence[tuple[str, float]]
    pins: Sequence[str]
    linear: bool
    overlaps: Overlaps
    ancestors: Ancestors


def random_question(random: Random) -> Question:
    return random.choice((open_question,) * 4 + (covering_question, pinned_question))(random)


def covering_question(random: Random) -> Question:
    """Merges, of merges too, beside what stands on the same trunk; some are only declared, some weights are not the same."""
    world = World()
    for name in ("i", "j"):
        world.add(f"{name}@1.0.0", ["i@1.0.0"] if name == "j" and random.random() < 0.5 else [])
    world.add("i@1.0.1", twin_of="i@1.0.0")
    for name in ("d", "e", "r"):
        below = random.sample(["i@1.0.0", "j@1.0.0", "i@1.0.1"], random.choice((0, 1, 1, 2)))
        world.add(f"{name}@1.0.0", [(it, random.choice((1.0, 1.0, 1.0, 0.5))) for it in below])
    merges: list[str] = []
    for name in ("m", "n", "o")[: random.choice((1, 2, 2, 3))]:
        available = ["i@1.0.0", "i@1.0.1", "j@1.0.0", "d@1.0.0", "e@1.0.0", *merges, *merges]
        chosen = dict.fromkeys(random.sample(available, random.choice((1, 2, 2, 3))))
        parts = [Source(it, random.choice((1.0, 1.0, 1.0, 1.0, 0.5, 2.0, -1.0))) for it in chosen]
        builds_on = [random.choice(available)] if random.random() < 0.2 else []
        world.add(f"{name}@1.0.0", builds_on, merged_from=parts, is_exact_linear=random.random() < 0.8)
        merges.append(f"{name}@1.0.0")
    told = merges[-1]
    if random.random() < 0.3:
        # the same bytes uploaded by hand: nobody says what they are made of
        world.add("t@1.0.0", built_on(world, told), twin_of=told)
        merges.append("t@1.0.0")
        if random.random() < 0.5:
            world.add("u@1.0.0", merged_from=[Source("t@1.0.0")], is_exact_linear=True)
            merges = ["u@1.0.0", told]
    world.add("s@1.0.0", random.sample([told, *merges, "i@1.0.0", "j@1.0.0"], 2))
    others = ["r@1.0.0", "s@1.0.0", "d@1.0.0"]
    layers = [random.choice(merges), random.choice(others)] if random.random() < 0.8 else random.sample(others, 2)
    return Question(
        world=world,
        layers=[(layer, random.choice((1.0, 1.0, 1.0, 1.0, 0.5, 2.0))) for layer in layers],
        pins=(),
        linear=True,
        overlaps=random.choice((Overlaps.COVERED,) * 5 + (Overlaps.REFUSE,)),
        ancestors=Ancestors.REFUSE,
    )


def pinned_question(random: Random) -> Question:
    """Several versions of few repositories, each standing on versions of the others, and one or two of them pinned."""
    world = World()
    for number in range(random.choice((2, 3))):
        for name in ("p", "q", "s"):
            reference = f"{name}@1.{number}.0"
            if number and random.random() < 0.25:
                previous = f"{name}@1.{number - 1}.0"
                world.add(reference, built_on(world, previous), twin_of=previous)
                continue
            below = random.sample(list(world.versions), min(len(world.versions), random.choice((0, 1, 1, 2))))
            previous_run = f"{name}@1.{number - 1}.0" if number and random.random() < 0.3 else None
            builds_on = [(it, random.choice((1.0, 1.0, 1.0, 0.5))) for it in below]
            world.add(reference, builds_on, initialized_from=previous_run)
    references = list(world.versions)
    for name in ("v", "w"):
        world.add(f"{name}@1.0.0", random.sample(references, random.choice((1, 2))))
    hide(world, random)
    pinned = random.sample(["p", "q", "s"], random.choice((1, 1, 2)))
    return Question(
        world=world,
        layers=[(layer, 1.0) for layer in random.sample(["v@1.0.0", "w@1.0.0"], random.choice((1, 2)))],
        pins=[random.choice([it for it in references if it.startswith(name)]) for name in pinned],
        linear=True,
        overlaps=random.choice((Overlaps.REFUSE, Overlaps.ALLOW)),
        ancestors=Ancestors.REFUSE,
    )


def open_question(random: Random) -> Question:
    world = random_world(random)
    references = list(world.versions)
    layers = random_layers(world, random)
    pins: dict[str, str] = {}
    while random.random() < 0.45:
        pin = random.choice(references)
        # a pin that has something to replace: another version of a repository that a layer stands on
        candidates = [
            it
            for layer in layers
            for below in foundation(world, layer)
            for it in references
            if it != below
            and world.versions[it].repository == world.versions[below].repository
            and not any(world.versions[it].repository == world.versions[other].repository for other in layers)
        ]
        if candidates and random.random() < 0.9:
            pin = random.choice(candidates)
        pins[world.versions[pin].repository_name] = pin
    return Question(
        world=world,
        layers=[(layer, random.choice(layer_weights)) for layer in layers],
        pins=list(pins.values()),
        linear=random.random() < 0.8,
        overlaps=random.choice((Overlaps.REFUSE, Overlaps.COVERED, Overlaps.COVERED, Overlaps.ALLOW)),
        ancestors=random.choice(list(Ancestors)),
    )


def random_layers(world: World, random: Random) -> list[str]:
    """Mostly late versions, which have ancestors; or a merge beside something that stands on a part of it."""
    references = list(world.versions)
    adapters = [it for it in references if world.versions[it].kind is not Kind.MODEL] or references
    deep = [it for it in adapters if len(foundation(world, it)) > 1]
    if deep and random.random() < 0.3:
        return random.sample(deep, min(len(deep), 2))
    if random.random() < 0.35:
        pairs = [
            [merge, other]
            for merge in adapters
            for other in adapters
            if other != merge
            and sources(world, merge) & foundation(world, other)
            and merge not in foundation(world, other)
        ]
        if pairs:
            return random.choice(pairs)
    late = adapters[len(adapters) // 2 :]
    layers = random.sample(late, min(len(late), random.choice((1, 1, 2, 2, 2, 3))))
    if random.random() < 0.03:
        layers[-1] = random.choice(references)
    return layers


def foundation(world: World, reference: str) -> set[str]:
    direct = {parent for parent, _ in built_on(world, reference)}
    return direct.union(*(foundation(world, parent) for parent in direct))


def sources(world: World, reference: str) -> set[str]:
    edges = world.versions[reference].edges
    return {world.catalogue[edge.parent].reference for edge in edges if edge.relation is Relation.MERGED_FROM}


def random_world(random: Random) -> World:
    """4 to 10 versions in few repositories, each standing on earlier ones."""
    world = World()
    size = random.randint(4, 12)
    repositories = random.choice((3, 5, 8, 12))
    is_lawful = random.random() < 0.75
    has_odd_bases = random.random() < 0.25
    while len(world.versions) < size:
        repository = f"r{random.randrange(repositories)}"
        number = sum(version.repository_name == repository for version in world.versions.values())
        reference = f"{repository}@1.{number}.0"
        version = add_random(world, reference, random, random.choice(bases) if has_odd_bases else bases[0])
        if is_lawful:
            try:
                check_version(version, world.catalogue, aliases)
            except RefusedPlan:
                world.remove(reference)
    hide(world, random)
    for reference in world.versions:
        if random.random() < 0.02:
            world.change(reference, state=random.choice((VersionState.RECALLED, VersionState.DELETED)))
    return world


def hide(world: World, random: Random) -> None:
    """In some worlds some versions."""
    if random.random() < 0.1:
        for reference in world.versions:
            world.change(reference, is_readable=random.random() < 0.7)


def add_random(world: World, reference: str, random: Random, base: BaseModel | None) -> LineageVersion:
    earlier = list(world.versions)
    kind = random.choice(
        ("plain",) * 8 + ("merge",) * 4 + ("continuation", "twin") * 2 + ("declared", "model", "extraction")
    )
    if not earlier or kind == "plain":
        parents = random.sample(earlier, min(len(earlier), random.choice((0, 0, 1, 1, 1, 2, 2, 3))))
        return world.add(reference, [(parent, random.choice(edge_weights)) for parent in parents], base_model=base)
    if kind == "merge":
        return add_merge(world, reference, random, base)
    if kind == "continuation":
        first = random.choice(earlier)
        builds_on = built_on(world, first)
        if random.random() < 0.3:
            builds_on = [(random.choice(earlier), 1.0)]
        return world.add(reference, builds_on, initialized_from=first, base_model=base)
    if kind == "twin":
        return add_twin(world, reference, random, base)
    if kind == "declared":
        parts = [Source(it, random.choice(edge_weights)) for it in random.sample(earlier, min(len(earlier), 2))]
        builds_on = [(random.choice(earlier), 1.0)] if random.random() < 0.3 else []
        return world.add(reference, builds_on, merged_from=parts, base_model=base)
    if kind == "model":
        parts = [Source(it) for it in random.sample(earlier, min(len(earlier), random.choice((0, 1, 2))))]
        models = [it for it in earlier if world.versions[it].kind is Kind.MODEL]
        if models:
            parts.append(Source(random.choice(models), role=Role.BASE))
        return world.add(reference, merged_from=parts, is_exact_linear=True, kind=Kind.MODEL, base_model=None)
    models = [it for it in earlier if world.versions[it].kind is Kind.MODEL] or earlier
    source, subtracted = random.choice(models), random.choice(models)
    taken_from = [Source(source, role=None)]
    if subtracted != source:
        taken_from.append(Source(subtracted, role=Role.BASE))
    return world.add(reference, extracted_from=taken_from, base_model=base)


def built_on(world: World, reference: str) -> list[tuple[str, float]]:
    return [
        (world.catalogue[edge.parent].reference, edge.weight)
        for edge in world.versions[reference].edges
        if edge.relation is Relation.BUILDS_ON
    ]


def add_merge(world: World, reference: str, random: Random, base: BaseModel | None) -> LineageVersion:
    """Mostly what this registry would make of a plan; else any sources at any weights."""
    earlier = [it for it in world.versions if world.versions[it].kind is not Kind.MODEL] or list(world.versions)
    chosen = random.sample(earlier, min(len(earlier), random.choice((1, 2, 2))))
    layers = [(it, random.choice((1.0, 1.0, 0.5, 2.0))) for it in chosen]
    parts = [Source(it, weight) for it, weight in layers]
    builds_on: list[tuple[str, float]] = []
    if random.random() < 0.8:
        try:
            resolution = world.resolve(*layers, overlaps=random.choice(list(Overlaps)), aliases=aliases)
        except RefusedPlan:
            pass
        else:
            if random.random() < 0.3:
                builds_on = [(member.reference, member.weight) for member in resolution.trunk]
            else:
                parts += [Source(it.reference, it.weight, Role.TRUNK) for it in resolution.trunk]
    return world.add(reference, builds_on, merged_from=parts, is_exact_linear=random.random() < 0.85, base_model=base)


def add_twin(world: World, reference: str, random: Random, base: BaseModel | None) -> LineageVersion:
    """The same bytes again; on the same parents or on their twins, with or without the edges that tell what it is made of."""
    original = random.choice(list(world.versions))
    version = world.versions[original]
    builds_on = []
    for parent, weight in built_on(world, original):
        twins = [it for it in world.versions if world.content(it) == world.content(parent)]
        builds_on.append((random.choice(twins), weight))
    tells = random.random() < 0.4
    edges = version.edges if tells else ()
    started = [world.catalogue[edge.parent].reference for edge in edges if edge.relation is Relation.INITIALIZED_FROM]
    made_of = [
        (edge.relation, Source(world.catalogue[edge.parent].reference, edge.weight, edge.role)) for edge in edges
    ]
    lies = not tells and random.random() < 0.2
    return world.add(
        reference,
        builds_on,
        twin_of=original,
        initialized_from=random.choice(list(world.versions)) if lies else next(iter(started), None),
        merged_from=[source for relation, source in made_of if relation is Relation.MERGED_FROM],
        extracted_from=[source for relation, source in made_of if relation is Relation.EXTRACTED_FROM],
        is_exact_linear=tells and version.is_exact_linear,
        kind=version.kind,
        base_model=version.base_model if random.random() < 0.8 else base,
    )
