"""Every method has all of its parts: definition, reference, what runs, a test of its own, and its line in the page."""

import re
from inspect import signature
from pathlib import Path

import pytest

from app.kernel import reference
from app.kernel.methods import arguments, element_wise, low_rank
from app.merge.methods import Space, methods
from tests.kernel.branches import variants
from tests.kernel.golden.inputs import golden_cases
from tests.kernel.test_golden import peft_methods

page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
planted = {"linear", "tsv", "iso_c", "iso_cts", "cart", "knots_ties", "core_ties"}
"""No peer computes these on LoRA as they are meant here: `tests/kernel/test_planted.py` has cases whose result is known."""


def test_every_method_has_definition_reference_and_what_runs() -> None:
    assert list(methods) == list(reference.methods) == [*low_rank, *element_wise]
    assert {name for name, facts in methods.items() if facts.space is Space.ELEMENTS} == element_wise.keys()


@pytest.mark.parametrize("name", sorted(methods))
def test_reference_and_what_runs_take_the_parameters_of_the_definition(name: str) -> None:
    runs = (low_rank.get(name) or element_wise[name], reference.methods[name])
    for function in runs:
        # the dtype is that of the result, not of the method
        taken = signature(function).parameters.keys() - {"branches", "dtype"}
        assert taken == arguments(methods[name].parameters).keys()


def test_every_method_has_a_golden_or_a_planted_case_and_its_properties() -> None:
    assert golden_cases.keys() | set(peft_methods) | planted == methods.keys()
    assert {name for name, _ in variants()} == methods.keys()


@pytest.mark.parametrize("name", sorted(methods))
def test_every_method_has_its_line_with_its_parameters(name: str) -> None:
    lines = re.findall(rf"^- `{name}`(?:.|\n)*?(?=\n- `|\n\n)", page, re.MULTILINE)
    assert len(lines) == (0 if name == "linear" else 1)
    for key, parameter in methods[name].parameters.items():
        assert f"`{key}`" in page
        if key == "density":
            assert f"default {parameter.default:g}" in lines[0]
