"""What could be done about a recipe that was refused: each a button, and only those that help."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from app.errors import RegistryError
from app.web.composition import Composition

most_tried = 8
"""Each is planned before it is offered."""


@dataclass(frozen=True, slots=True)
class Remedy:
    action: str
    """What the composition is asked to `apply`."""
    label: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipe's refusal, as one caller may see it."""

    name: str
    """`version-conflict`."""
    detail: str
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, error: RegistryError) -> "Refusal":
        return cls(error.kebab_name(), error.detail, error.facts)


def remedies(
    refusal: Refusal,
    composition: Composition,
    layers: Sequence[str],
    refusal_of: Callable[[Composition], Refusal | None],
) -> list[Remedy]:
    """Those after which the recipe can be planned, or is refused for another reason only.

    Args:
        layers: each layer's version, as a reference with its number: paths begin with these.
        refusal_of: plans a composition.
    """

    def helps(remedy: Remedy) -> bool:
        after = composition.apply(remedy.action)
        if not after.layers:
            return False
        left = refusal_of(after)
        return left is None or (left.name, left.facts) != (refusal.name, refusal.facts)

    found = islice(dict.fromkeys(proposed(refusal, composition, layers)), most_tried)
    return [remedy for remedy in found if helps(remedy)]


def proposed(refusal: Refusal, composition: Composition, layers: Sequence[str]) -> Iterator[Remedy]:
    facts = refusal.facts
    match refusal.name:
        case "version-conflict":
            for version in readable(facts["versions"]):
                trained = readable([path[0] for path in facts["paths"] if len(path) > 1 and path[-1] == version])
                reason = f" {', '.join(trained)} was trained on it." if trained else ""
                yield Remedy(
                    f"pin:{version}", f"Use {version}", f"What stands on the other version then uses this one.{reason}"
                )
            yield from without(firsts(facts["paths"]), layers)
        case "overlapping-contents":
            yield Remedy(
                "set:overlaps=covered",
                "Count what is shared once",
                "What a merged layer holds already, at the same weight, is not added again.",
            )
            yield from without(firsts(facts["paths"]), layers)
            yield Remedy("set:overlaps=allow", "Sum it as asked", "What is shared then counts as often as it is there.")
        case "ancestor-among-branches":
            yield from without(readable([facts["ancestor"]]), layers, "The other layer brings it as part of the trunk.")
            yield Remedy(
                "set:ancestors=branch", "Keep it as a layer", "It is then merged by the method, like every layer."
            )
            yield Remedy("set:method=linear", "Use the method linear", "In a plain sum an ancestor may be a layer.")
        case "edge-weight-conflict":
            for version in readable([facts["reference"]]):
                for weight in facts["weights"]:
                    yield Remedy(
                        f"add:{version}={weight:g}",
                        f"Take {version} at weight {weight:g}",
                        "As a layer of its own: its weight is then the one that you say.",
                    )
        case "duplicate-layer":
            yield from (removal(place, layers) for place in facts["layers"][1:])
        case "trunk-not-readable":
            yield from (removal(entry["layer"], layers) for entry in facts["hidden"])
        case "base-model-mismatch":
            yield from without(reversed(firsts(facts["paths"])), layers)
        case "recalled-in-plan":
            yield from without(firsts(facts["paths"]), layers)
        case "replacement-conflict":
            yield from without(readable(facts["versions"]), layers)
        case "unsupported-feature" | "module-not-in-base":
            yield from without(readable([facts["reference"]]), layers)
        case "module-not-in-result":
            yield Remedy("set:ranks=", "Drop the ranks for some modules", "Every module then has the same.")
        case "no-exact-adapter":
            yield Remedy(
                "set:size=rank",
                f"The best adapter of rank {composition.rank}",
                "The nearest adapter of that rank; the report tells what was lost.",
            )
            yield Remedy(
                "set:size=energy",
                f"Keep {composition.energy} of the energy",
                "Each module gets the smallest rank that keeps this share.",
            )
            yield Remedy("set:output=model", "A whole model", "The base model with everything added: nothing is lost.")
        case "base-needed":
            yield Remedy("set:output=model", "A whole model", "The base model with everything added.")
        case "base-not-stored":
            yield Remedy("set:output=adapter", "An adapter", "It needs no base model in this registry.")
        case "trunk-not-referable":
            yield Remedy("set:trunk=included", "Include the trunk", "The result is then complete by itself.")
        case "too-many-layers" | "unknown-method":
            yield Remedy("set:method=linear", "Use the method linear", "The weighted sum takes any number of layers.")
        case "pin-contradicts-layer":
            yield from (
                Remedy(f"unpin:{place}", f"Drop the pin {pin}", "The layer decides.")
                for place, pin in enumerate(composition.pins)
                if pin == facts["pin"]
            )
        case _:
            # whatever it is, it says by its pointer which layer or pin it is about
            pointer = str(facts.get("pointer", ""))
            place = layer_at(pointer, len(layers))
            if place is not None:
                yield removal(place, layers)
            for number, pin in enumerate(composition.pins):
                if pointer == "/conflicts/" + pin.partition("@")[0].replace("~", "~0").replace("/", "~1"):
                    yield Remedy(f"unpin:{number}", f"Drop the pin {pin}", "Each layer then stands on its own version.")


def readable(versions: Sequence[Any]) -> list[str]:
    """The references among them: what is hidden has no name."""
    return [version for version in versions if isinstance(version, str)]


def firsts(paths: Sequence[Sequence[Any]]) -> list[Any]:
    return [path[0] for path in paths if path]


def without(versions: Any, layers: Sequence[str], explanation: str = "") -> Iterator[Remedy]:
    """Leave out the layers that are these versions."""
    for version in versions:
        if version in layers:
            yield removal(layers.index(version), layers, explanation)


def removal(place: int, layers: Sequence[str], explanation: str = "") -> Remedy:
    return Remedy(f"remove:{place}", f"Leave out {layers[place]}", explanation or "The merge is then made without it.")


def layer_at(pointer: str, count: int) -> int | None:
    """The layer that a JSON pointer such as `/layers/1/adapter` leads into."""
    parts = pointer.split("/")
    if len(parts) < 3 or parts[1] != "layers" or not parts[2].isdecimal() or int(parts[2]) >= count:
        return None
    return int(parts[2])
