"""The foundations of a recipe's layers, with the pins applied."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from uuid import UUID

from app.domain.digest import Digest
from app.domain.lineage import Relation
from app.domain.recipe import ResolvedPin
from app.merge.published import Catalogue, Published


def redirections(published: Published, pins: Sequence[ResolvedPin]) -> dict[UUID, UUID]:
    """What the pins replace: version → pinned version.

    Every version of a pinned repository is replaced by the pinned one, unless it is the same content or one of the two
    builds on the other in the lineage as published. One map for all pins: they are applied at once, to the original edges.
    """
    pinned = {pin.repository: pin.version for pin in pins}
    replacements: dict[UUID, UUID] = {}
    for version, entry in published.catalogue.items():
        pin = pinned.get(entry.repository)
        if pin is None or entry.content_digest == published.content(pin) or published.related(version, pin):
            continue
        replacements[version] = pin
    return replacements


class Closure:
    """Everything that the layers reach through *builds on*.

    Pins can close a cycle (each of two pinned versions may build on a replaced version of the other), so that every walk marks
    what it has visited; and contents have no order here but that of the first walk, from the layers in their order.
    """

    def __init__(self, catalogue: Catalogue, layers: Sequence[UUID], replacements: Mapping[UUID, UUID]) -> None:
        self._catalogue = catalogue
        self.layers = tuple(layers)
        self._is_layer = frozenset(self.layers)
        self.parents: dict[UUID, list[tuple[UUID, float]]] = {}
        """version → its parents after the pins, and the weights of the edges; of every version reached, layers included"""
        self.redirected: list[tuple[UUID, UUID, UUID]] = []
        """(child, replaced parent, replacement)"""
        self._came_from: dict[UUID, UUID] = {}

        waiting = deque(self.layers)
        while waiting:
            version = waiting.popleft()
            if version in self.parents:
                continue
            self.parents[version] = []
            for edge in catalogue[version].edges:
                if edge.relation is not Relation.BUILDS_ON:
                    continue
                parent = replacements.get(edge.parent, edge.parent)
                if parent != edge.parent:
                    self.redirected.append((version, edge.parent, parent))
                self.parents[version].append((parent, edge.weight))
                if parent not in self._came_from and parent not in self._is_layer:
                    self._came_from[parent] = version
                waiting.append(parent)

        self.foundations = tuple(self._reach(layer) for layer in self.layers)
        """Per layer the versions in its foundation; the layer itself only where pins closed a cycle."""
        self.foundation_contents = tuple(
            {self._content(version) for version in reached} for reached in self.foundations
        )
        self.branch_contents = {self._content(layer) for layer in self.layers}
        self.reached: dict[Digest, list[UUID]] = defaultdict(list)
        """content digest → the versions by which it was named: as a layer, or by an edge"""
        for version in self.parents:
            self.reached[self._content(version)].append(version)
        self.trunk_contents = sorted(content for content in self.reached if content not in self.branch_contents)

    def path(self, version: UUID) -> list[UUID]:
        """A shortest path from a layer to a version that was reached, both included."""
        path = [version]
        while path[-1] in self._came_from:
            path.append(self._came_from[path[-1]])
        return path[::-1]

    def path_from(self, layer: UUID, content: Digest) -> list[UUID]:
        """A shortest path from one layer to a version of this content in its foundation, both included."""
        came_from: dict[UUID, UUID] = {}
        waiting = deque([layer])
        while waiting:
            version = waiting.popleft()
            for parent, _ in self.parents[version]:
                if self._content(parent) == content:
                    path = [parent, version]
                    while path[-1] in came_from:
                        path.append(came_from[path[-1]])
                    return path[::-1]
                if parent not in came_from and parent != layer:
                    came_from[parent] = version
                    waiting.append(parent)
        raise KeyError(content)

    def weights(self) -> dict[Digest, dict[float, list[UUID]]]:
        """What each content of the trunk weighs: weight → a path to an edge that says so. More than one is a conflict.

        A version's own edges override what its parents' foundations say, so that the edges which count for a layer are the
        first ones met on every way down. Where all edges into a content agree there is nothing to decide, and no path.
        """
        said: dict[Digest, dict[float, list[tuple[UUID, UUID]]]] = defaultdict(lambda: defaultdict(list))
        children: dict[UUID, list[UUID]] = defaultdict(list)
        for version, parents in self.parents.items():
            for parent, weight in parents:
                said[self._content(parent)][weight].append((version, parent))
                children[parent].append(version)
        weights: dict[Digest, dict[float, list[UUID]]] = {}
        for content in self.trunk_contents:
            if len(said[content]) == 1:
                weights[content] = {weight: [] for weight in said[content]}
                continue
            overriding = {child for edges in said[content].values() for child, _ in edges}
            met = {weight: self._first_met(edges, overriding, children) for weight, edges in said[content].items()}
            weights[content] = {weight: path for weight, path in met.items() if path is not None}
        return weights

    def _first_met(
        self, edges: Sequence[tuple[UUID, UUID]], overriding: set[UUID], children: Mapping[UUID, Sequence[UUID]]
    ) -> list[UUID] | None:
        """A path from a layer to one of the edges that passes nobody with an own edge to the same content; upwards, depth first."""
        seen: set[UUID] = set()
        for child, parent in edges:
            way_up, choices = [child], [iter(children.get(child, ()))]
            while way_up:
                if way_up[-1] in self._is_layer:
                    return [*reversed(way_up), parent]
                above = next((it for it in choices[-1] if it not in overriding and it not in seen), None)
                if above is None:
                    way_up.pop()
                    choices.pop()
                else:
                    seen.add(above)
                    way_up.append(above)
                    choices.append(iter(children.get(above, ())))
        return None

    def _reach(self, layer: UUID) -> set[UUID]:
        reached: set[UUID] = set()
        waiting = [parent for parent, _ in self.parents[layer]]
        while waiting:
            version = waiting.pop()
            if version not in reached:
                reached.add(version)
                waiting.extend(parent for parent, _ in self.parents[version])
        return reached

    def _content(self, version: UUID) -> Digest:
        return self._catalogue[version].content_digest
