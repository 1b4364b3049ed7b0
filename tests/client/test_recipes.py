"""Recipes and references in the forms that people write them in."""

from typing import Any

import pytest

from glulam.commands import parser
from glulam.commands.shared import recipe
from glulam.errors import InvalidArgument
from glulam.recipes import Layers, recipe_of, repository_path, split_reference


@pytest.mark.parametrize(
    "layers",
    [
        {"a/x@1.0.0": 1.0, "b/y@prod": 0.7},
        [("a/x@1.0.0", 1.0), ("b/y@prod", 0.7)],
        [{"adapter": "a/x@1.0.0", "weight": 1.0}, {"adapter": "b/y@prod", "weight": 0.7}],
    ],
)
def test_layers_may_be_written_in_three_ways(layers: Layers) -> None:
    assert recipe_of(layers) == {
        "layers": [{"adapter": "a/x@1.0.0", "weight": 1.0}, {"adapter": "b/y@prod", "weight": 0.7}]
    }


def test_what_is_not_said_is_left_to_the_registry() -> None:
    assert recipe_of(["a/x"]) == {"layers": [{"adapter": "a/x"}]}


def test_one_text_is_not_a_list_of_letters() -> None:
    with pytest.raises(InvalidArgument):
        recipe_of("a/x")


def test_names_and_references_stand_for_objects() -> None:
    asked = recipe_of(["a/x"], method="linear", output="model", publish="a/chat@2.0.0")
    assert asked["method"] == {"name": "linear"}
    assert asked["output"] == {"kind": "model"}
    assert asked["publish"] == {"repository": "a/chat", "version": "2.0.0"}
    assert recipe_of(["a/x"], publish="a/chat")["publish"] == {"repository": "a/chat"}


@pytest.mark.parametrize("reference", ["x", "a/b/c", "a/", "/b", "a/b@", ""])
def test_a_text_that_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(InvalidArgument):
        split_reference(reference)


def test_names_are_quoted_into_paths() -> None:
    assert repository_path("a/b?c#d") == "/repositories/a/b%3Fc%23d"


def from_command_line(*arguments: str) -> dict[str, Any]:
    return recipe_of(**recipe(parser().parse_args(["merge", *arguments])))


def test_the_command_line_speaks_the_whole_recipe() -> None:
    asked = from_command_line(
        *("a/x@1.0.0", "b/y@prod=0.7", "--rank", "64", "--dtype", "bfloat16", "--pin", "a/i=2.0.0"),
        *("--overlaps", "covered", "--ancestors", "branch", "--publish", "a/chat@2.0.0", "--trunk", "included"),
        *("--method", "ties", "--parameter", "density=0.5", "--parameter", "convention=paper"),
    )
    assert asked == {
        "layers": [{"adapter": "a/x@1.0.0"}, {"adapter": "b/y@prod", "weight": 0.7}],
        "method": {"name": "ties", "density": 0.5, "convention": "paper"},
        "output": {"kind": "adapter", "rank": 64, "dtype": "bfloat16", "trunk": "included"},
        "conflicts": {"a/i": "2.0.0"},
        "overlaps": "covered",
        "ancestors": "branch",
        "publish": {"repository": "a/chat", "version": "2.0.0"},
    }


def test_a_bare_command_line_asks_for_the_defaults() -> None:
    assert from_command_line("a/x") == {"layers": [{"adapter": "a/x"}]}
    assert from_command_line("a/x", "--method", "ties", "--density", "0.2")["method"] == {
        "name": "ties",
        "density": 0.2,
    }
    assert from_command_line("a/x", "--model")["output"] == {"kind": "model"}
    assert from_command_line("a/x", "--energy", "0.99")["output"] == {"kind": "adapter", "rank": {"energy": 0.99}}
    ranks = from_command_line("a/x", "--rank", "16", "--module-rank", "q_proj=32", "--module-rank", "mlp.up_proj=8")
    assert ranks["output"]["rank"] == {"default": 16, "modules": {"q_proj": 32, "mlp.up_proj": 8}}


@pytest.mark.parametrize(
    "arguments",
    [["a/x=heavy"], ["a/x", "--pin", "a/i"], ["a/x", "--parameter", "density=1"], ["a/x", "--module-rank", "q=1"]],
)
def test_a_command_line_that_says_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        from_command_line(*arguments)
