"""How a recipe names its method."""

from dataclasses import replace

import pytest

from app.domain.recipe import Method
from app.errors import MalformedRequest, UnknownMethod
from app.merge.methods import Parameter, methods, parse_method

table = {
    "sparse": replace(
        methods["linear"],
        parameters={
            "density": Parameter(default=1.0, lowest=0.0, highest=1.0),
            "seed": Parameter(default=0, lowest=0, highest=2**53 - 1, is_whole=True),
        },
    )
}


def test_linear_is_the_default() -> None:
    assert parse_method({}) == parse_method({"name": "linear"}) == Method("linear", {})


def test_a_method_that_is_not_there_is_named_beside_those_that_are() -> None:
    with pytest.raises(UnknownMethod) as refused:
        parse_method({"name": "average"})
    assert refused.value.facts == {"name": "average", "known": sorted(methods), "pointer": "/method/name"}


def test_defaults_are_filled_in() -> None:
    assert parse_method({"name": "sparse"}, table) == Method("sparse", {"density": 1.0, "seed": 0})
    assert parse_method({"name": "sparse", "seed": 7.0}, table) == Method("sparse", {"density": 1.0, "seed": 7})


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"name": 3}, "/method/name"),
        ({"name": "linear", "density": 0.5}, "/method/density"),
        ({"name": "linear", "a/b~c": 1}, "/method/a~1b~0c"),
    ],
)
def test_what_a_method_does_not_take_is_refused(value: dict[str, object], pointer: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        parse_method(value)
    assert refused.value.facts["pointer"] == pointer


def test_a_convention_is_one_of_those_that_the_method_knows() -> None:
    assert parse_method({"name": "ties", "convention": "peft"}).parameters["convention"] == "peft"
    assert parse_method({"name": "ties"}).parameters == {"density": 0.2, "lambda": 1.0, "convention": "paper"}
    for value in ("kohya", 3, None):
        with pytest.raises(MalformedRequest) as refused:
            parse_method({"name": "ties", "convention": value})
        assert refused.value.facts["pointer"] == "/method/convention"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("density", -0.1),
        ("density", 1.1),
        ("density", "0.5"),
        ("density", True),
        ("density", float("nan")),
        ("density", None),
        ("seed", 0.5),
        ("seed", 2**53),
        ("seed", float("inf")),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(MalformedRequest) as refused:
        parse_method({"name": "sparse", key: value}, table)
    assert refused.value.facts["pointer"] == f"/method/{key}"


def test_every_method_names_its_paper() -> None:
    assert all(facts.paper and facts.summary for facts in methods.values())
