"""What a person composes: a recipe as the query of a URL, so that every state can be linked, loaded again and shared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from app.errors import MalformedRequest
from app.merge.methods import Choice, MethodFacts, methods

Fields = Sequence[tuple[str, str]]
"""A query, or a form's fields, in their order."""

plain_fields = (
    "method", "output", "size", "rank", "ranks", "energy", "dtype", "trunk", "overlaps", "ancestors", "q",
)  # fmt: skip
most_layers = 64


@dataclass(frozen=True, slots=True)
class LayerAsked:
    reference: str
    weight: str = "1"
    """As it was typed, so that what is no number is shown again beside what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Composition:
    """The composer's state. Texts are kept as they were typed; the registry's own parser judges them."""

    layers: tuple[LayerAsked, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    """`ties.density` → `0.3`: of each method that was touched, so that trying another one loses nothing."""
    pins: tuple[str, ...] = ()
    """References: each names the version of its repository that lineage is to use."""
    method: str = "linear"
    output: str = "adapter"
    size: str = "exact"
    """Of an adapter: `exact`, `rank` or `energy`."""
    rank: str = "64"
    ranks: str = ""
    """Of some modules, where they are to have another: `q_proj=32, v_proj=16`."""
    energy: str = "0.99"
    dtype: str = ""
    trunk: str = "included"
    overlaps: str = "refuse"
    ancestors: str = "refuse"
    q: str = ""
    """What is searched among the adapters that could be added."""

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """A weight belongs to the layer before it. Fields that are not known are left out."""
        layers: list[LayerAsked] = []
        parameters: dict[str, str] = {}
        pins: list[str] = []
        plain: dict[str, str] = {}
        for name, value in fields:
            text = value.strip()
            if name == "layer" and text:
                layers.append(LayerAsked(text))
            elif name == "weight" and layers:
                layers[-1] = replace(layers[-1], weight=text)
            elif name == "pin" and text:
                pins.append(text)
            elif name in plain_fields and text:
                plain[name] = text
            elif parameter_of(name) is not None:
                parameters[name] = text
        return cls(tuple(layers[:most_layers]), tuple(parameters.items()), tuple(dict.fromkeys(pins)), **plain)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What `parse` reads this state from: what is as by default is left out."""
        fields: list[tuple[str, str]] = []
        for layer in self.layers:
            fields.append(("layer", layer.reference))
            if layer.weight != "1":
                fields.append(("weight", layer.weight))
        fields += [(name, value) for name in plain_fields if (value := getattr(self, name)) != getattr(blank, name)]
        for name, value in self.parameters:
            found = parameter_of(name)
            if found is not None and value != f"{found.default}":
                fields.append((name, value))
        return fields + [("pin", pin) for pin in self.pins]

    @property
    def url(self) -> str:
        """The page that shows this state."""
        query = urlencode(self.fields, safe="/@:")
        return f"/merges/new?{query}" if query else "/merges/new"

    def parameter(self, name: str) -> str:
        """Of the method in use, as typed or by default."""
        return dict(self.parameters).get(f"{self.method}.{name}", f"{methods[self.method].parameters[name].default}")

    @property
    def facts(self) -> MethodFacts | None:
        """Of the method; None where there is none of this name."""
        return methods.get(self.method)

    def to_json(self) -> dict[str, Any]:
        """The recipe as `POST /merges` takes it, without what is as by default; numbers that are none stay texts."""
        recipe: dict[str, Any] = {
            "layers": [
                {"adapter": layer.reference} if layer.weight == "1" else
                {"adapter": layer.reference, "weight": number(layer.weight)}
                for layer in self.layers
            ]
        }  # fmt: skip
        said = {
            name.partition(".")[2]: value if isinstance(parameter_of(name), Choice) else number(value)
            for name, value in self.parameters
            if name.startswith(f"{self.method}.") and value != f"{self._default(name)}"
        }
        if said or self.method != "linear":
            recipe["method"] = {"name": self.method, **said}
        if output := self._output():
            recipe["output"] = output
        if self.pins:
            recipe["conflicts"] = pinned(self.pins)
        if self.overlaps != "refuse":
            recipe["overlaps"] = self.overlaps
        if self.ancestors != "refuse":
            recipe["ancestors"] = self.ancestors
        return recipe

    def _default(self, name: str) -> Any:
        found = parameter_of(name)
        return None if found is None else found.default

    def _output(self) -> dict[str, Any]:
        output: dict[str, Any] = {}
        if self.output == "adapter" and self.size == "rank":
            modules = {name: number(rank) for name, rank in pairs_in(self.ranks)}
            output["rank"] = {"default": number(self.rank), "modules": modules} if modules else number(self.rank)
        elif self.output == "adapter" and self.size == "energy":
            output["rank"] = {"energy": number(self.energy)}
        if self.dtype:
            output["dtype"] = self.dtype
        if self.trunk != "included" and self.output == "adapter":
            output["trunk"] = self.trunk
        if output or self.output != "adapter":
            output = {"kind": self.output, **output}
        return output

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any]) -> Self:
        """The state that asks for a merge's recipe again, from its JSON; where it is not published."""
        output, method = recipe["output"], recipe["method"]
        rank = output["rank"]
        said: dict[str, str] = {"size": "rank"}
        match rank:
            case None:
                said = {}
            case {"energy": share}:
                said = {"size": "energy", "energy": f"{share}"}
            case {"default": default, "modules": modules}:
                said |= {"rank": f"{default}", "ranks": ", ".join(f"{name}={one}" for name, one in modules.items())}
            case _:
                said |= {"rank": f"{rank}"}
        return cls(
            layers=tuple(
                LayerAsked(layer["adapter"], f"{layer['weight']:g}")
                for layer in recipe["layers"]
                # what its reader may not see any more has no name
                if isinstance(layer["adapter"], str)
            ),
            parameters=tuple(
                (f"{method['name']}.{name}", f"{value}") for name, value in method.items() if name != "name"
            ),
            pins=tuple(f"{repository}@{version}" for repository, version in recipe["conflicts"].items()),
            method=method["name"],
            output=output["kind"],
            dtype="" if output["dtype"] in {None, "float32"} and output["kind"] == "adapter" else output["dtype"] or "",
            trunk=output["trunk"],
            overlaps=recipe["overlaps"],
            ancestors=recipe["ancestors"],
            **said,
        )

    # what buttons do

    def apply(self, action: str) -> "Composition":
        """The state after a button `do`: `add:REF`, `remove:2`, `up:2`, … Raises: MalformedRequest."""
        verb, _, what = action.partition(":")
        match verb:
            case "add" if len(self.layers) < most_layers:
                reference, _, weight = what.partition("=")
                return replace(self, layers=(*self.layers, LayerAsked(reference, weight or "1")))
            case "remove":
                gone = self._place(what, len(self.layers))
                return replace(self, layers=self.layers[:gone] + self.layers[gone + 1 :])
            case "up" | "down":
                place = self._place(what, len(self.layers))
                other = place + (-1 if verb == "up" else 1)
                if not 0 <= other < len(self.layers):
                    return self
                layers = list(self.layers)
                layers[place], layers[other] = layers[other], layers[place]
                return replace(self, layers=tuple(layers))
            case "pin":
                repository = what.partition("@")[0].lower()
                kept = tuple(pin for pin in self.pins if pin.partition("@")[0].lower() != repository)
                return replace(self, pins=(*kept, what))
            case "unpin":
                gone = self._place(what, len(self.pins))
                return replace(self, pins=self.pins[:gone] + self.pins[gone + 1 :])
            case "set" if (setting := what.partition("="))[0] in plain_fields:
                changed: dict[str, Any] = {setting[0]: setting[2]}
                return replace(self, **changed)
            case _:
                raise MalformedRequest("a button that this page does not have", pointer="?do")

    def _place(self, text: str, count: int) -> int:
        if not text.isdecimal() or int(text) >= count:
            raise MalformedRequest("a button for what is not there any more", pointer="?do")
        return int(text)


blank = Composition()


def parameter_of(name: str) -> Any:
    """`ties.density` → the parameter; None for what no method takes."""
    method, _, parameter = name.partition(".")
    facts = methods.get(method)
    return None if facts is None else facts.parameters.get(parameter)


def pinned(pins: Iterable[str]) -> dict[str, str]:
    """Repository → version. Raises: MalformedRequest."""
    found: dict[str, str] = {}
    for pin in pins:
        repository, at, version = pin.partition("@")
        if not (at and repository and version):
            raise MalformedRequest(f"{pin!r} is no pin: namespace/name@version expected", pointer="/conflicts")
        if found.setdefault(repository, version) != version:
            raise MalformedRequest(f"{repository} is pinned twice", pointer="/conflicts")
    return found


def pairs_in(text: str) -> list[tuple[str, str]]:
    """`q_proj=32, v_proj=16`. Raises: MalformedRequest."""
    pairs = [entry.strip().partition("=") for entry in text.split(",") if entry.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise MalformedRequest("module=rank is expected, with commas between them", pointer="/output/rank")
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def number(text: str) -> int | float | str:
    """The number that a text is, or the text, which the registry's parser will refuse by the name of its field."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
