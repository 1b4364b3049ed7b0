"""A recipe as the query of a URL, and back."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from app.api.merge_bodies import RecipeBody
from app.errors import MalformedRequest
from app.merge.methods import methods
from app.web.composition import Composition, LayerAsked
from app.web.methods_told import by_family, parameter_words, told

layers = (
    LayerAsked("alice/a@1.0.0"),
    LayerAsked("bob/b@prod", "-0.5"),
    LayerAsked("bob/c@sha256:0123456789ab", "1e-3"),
)
states = [
    Composition(),
    Composition(layers=layers[:1]),
    Composition(layers=layers, pins=("alice/x@2.0.0", "bob/y@1.0.0"), overlaps="covered", ancestors="branch"),
    Composition(layers=layers, method="dare_ties", parameters=(("dare_ties.seed", "7"), ("ties.density", "0.5"))),
    Composition(layers=layers, size="rank", rank="16", ranks="q_proj=32, layers.0.v_proj=8"),
    Composition(layers=layers, size="energy", energy="0.95", dtype="bfloat16", trunk="referenced"),
    Composition(layers=layers, output="model", dtype="float16", method="slerp", parameters=(("slerp.t", "0.25"),)),
    Composition(layers=(LayerAsked("a&b=c#d/e@?", "much"),), q="two words & more", rank="few", size="rank"),
]


def reparsed(url: str) -> Composition:
    return Composition.parse(parse_qsl(urlsplit(url).query, keep_blank_values=True))


@pytest.mark.parametrize("state", states, ids=range(len(states)))
def test_a_state_is_what_its_url_says(state: Composition) -> None:
    assert reparsed(state.url) == state


@pytest.mark.parametrize("state", states[1:-1], ids=range(1, len(states) - 1))
def test_a_merge_leads_back_to_a_state_that_asks_for_the_same(state: Composition) -> None:
    recipe = RecipeBody.model_validate(state.to_json()).to_recipe()
    stored = {
        "layers": [{"adapter": layer.adapter, "weight": layer.weight} for layer in recipe.layers],
        "method": {"name": recipe.method.name, **recipe.method.parameters},
        "output": recipe.output.as_json(),
        "conflicts": recipe.conflicts,
        "overlaps": recipe.overlaps.value,
        "ancestors": recipe.ancestors.value,
        "publish": None,
    }
    again = Composition.of_recipe(stored)
    assert RecipeBody.model_validate(again.to_json()).to_recipe() == recipe
    assert reparsed(again.url).url == again.url


def test_a_weight_belongs_to_the_layer_before_it() -> None:
    state = Composition.parse(
        [("weight", "9"), ("layer", "a/a@1.0.0"), ("layer", "b/b@1.0.0"), ("weight", "0.5"), ("x", "y")]
    )
    assert state.layers == (LayerAsked("a/a@1.0.0"), LayerAsked("b/b@1.0.0", "0.5"))
    assert state.to_json() == {"layers": [{"adapter": "a/a@1.0.0"}, {"adapter": "b/b@1.0.0", "weight": 0.5}]}


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("up:1", "/merges/new?layer=b/b@1.0.0&weight=0.5&layer=a/a@1.0.0&pin=c/c@1.0.0"),
        ("down:1", "/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&weight=0.5&pin=c/c@1.0.0"),
        ("remove:0", "/merges/new?layer=b/b@1.0.0&weight=0.5&pin=c/c@1.0.0"),
        ("unpin:0", "/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&weight=0.5"),
        # a pin takes the place of another one of the same repository
        ("pin:C/c@2.0.0", "/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&weight=0.5&pin=C/c@2.0.0"),
        (
            "add:d/d@1.0.0=0.25",
            "/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&weight=0.5&layer=d/d@1.0.0&weight=0.25&pin=c/c@1.0.0",
        ),
        ("set:overlaps=allow", "/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&weight=0.5&overlaps=allow&pin=c/c@1.0.0"),
    ],
)
def test_a_button_leads_to_the_state_after_it(action: str, expected: str) -> None:
    state = reparsed("/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&weight=0.5&pin=c/c@1.0.0")
    assert state.apply(action).url == expected


@pytest.mark.parametrize(
    "action", ["", "dance", "remove:2", "remove:-1", "up:x", "unpin:1", "set:layers=x", "set:pins=x"]
)
def test_a_button_that_is_not_there_does_nothing(action: str) -> None:
    with pytest.raises(MalformedRequest):
        reparsed("/merges/new?layer=a/a@1.0.0&layer=b/b@1.0.0&pin=c/c@1.0.0").apply(action)


def test_no_more_layers_than_a_recipe_takes() -> None:
    state = Composition.parse([("layer", f"a/a{number}@1.0.0") for number in range(100)])
    assert len(state.layers) == 64
    with pytest.raises(MalformedRequest):
        state.apply("add:b/b@1.0.0")


@pytest.mark.parametrize("pins", [("alice/x",), ("@1.0.0",), ("a/x@1.0.0", "a/x@2.0.0")])
def test_pins_that_say_nothing_or_two_things_are_refused(pins: tuple[str, ...]) -> None:
    with pytest.raises(MalformedRequest):
        Composition(layers=layers, pins=pins).to_json()


def test_every_method_and_parameter_is_explained() -> None:
    assert {name for _, names in by_family() for name in names} == set(methods)
    used = {parameter.name for facts in methods.values() for parameter in told(facts)}
    assert used == set(parameter_words)
