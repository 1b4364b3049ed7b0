"""Every method has all of its parts: definition, reference, what runs, a case of its own, its properties, and its line."""

import re
from inspect import signature
from pathlib import Path

import pytest

from app.kernel import reference
from app.kernel.methods import arguments, element_wise, low_rank
from app.merge.methods import Space, methods
from tests.kernel.branches import variants
from tests.kernel.golden.inputs import golden_cases
from tests.kernel.properties import properties
from tests.kernel.test_golden import peft_methods

root = Path(__file__).parents[2]
page = (root / "docs" / "methods.md").read_text()
planted = set(re.findall(r'check\(\s*"(\w+)"', (root / "tests" / "kernel" / "test_planted.py").read_text()))
"""Those with a case whose result is known: no peer computes them on LoRA as they are meant here."""


def test_no_part_is_there_without_its_method() -> None:
    """In one order, and so with nothing that belongs to none."""
    assert list(methods) == list(reference.methods) == [*low_rank, *element_wise] == list(properties)
    assert golden_cases.keys() | set(peft_methods) | planted == methods.keys()
    named = set(re.findall(r"^- `(\w+)`", page, re.MULTILINE))
    assert methods.keys() - {"linear"} == named & methods.keys()


@pytest.mark.parametrize("name", sorted(methods))
def test_a_method_is_complete(name: str) -> None:
    facts = methods[name]
    assert facts.summary
    assert facts.paper
    # a reference and what runs, which take what the definition says
    assert (name in element_wise) is (facts.space is Space.ELEMENTS)
    for function in (low_rank.get(name) or element_wise[name], reference.methods[name]):
        # the dtype is that of the result, not of the method
        taken = signature(function).parameters.keys() - {"branches", "dtype"}
        assert taken == arguments(facts.parameters).keys()
    # a peer's own result, or a case that is known without a computation
    assert name in golden_cases or name in peft_methods or name in planted
    # what it promises, tried in every convention
    assert properties[name].ignores_order is facts.ignores_order
    assert (properties[name].is_scaled_by_lambda is not None) is ("lambda" in facts.parameters)
    convention = facts.parameters.get("convention")
    tried = [parameters.get("convention") for tried_name, parameters in variants() if tried_name == name]
    assert tried == list(getattr(convention, "options", (None,)))
    # its line, with its parameters
    lines = re.findall(rf"^- `{name}`(?:.|\n)*?(?=\n- `|\n\n)", page, re.MULTILINE)
    assert len(lines) == (0 if name == "linear" else 1)
    assert f"`{name}`" in page
    for key, parameter in facts.parameters.items():
        assert f"`{key}`" in page
        if key == "density":
            assert f"default {parameter.default:g}" in lines[0]
