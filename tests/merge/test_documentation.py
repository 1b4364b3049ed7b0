"""What the planner can say stands in the page that explains it."""

from pathlib import Path

import pytest

from app import errors
from app.merge import bases, planning, publication, resolution, rules

page = (Path(__file__).parents[2] / "docs" / "lineage.md").read_text()
raised = {
    value.kebab_name()
    for module in (bases, planning, publication, resolution, rules)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, errors.RegistryError)
}
warnings = {"base-unknown", "base-unpinned", "quantization-differs", "overlapping-contents", "pin-without-effect"}


@pytest.mark.parametrize("name", sorted(raised | warnings))
def test_every_refusal_and_warning_is_explained(name: str) -> None:
    assert f"`{name}`" in page


def test_the_refusals_are_found() -> None:
    assert {"version-conflict", "trunk-not-referable", "plan-too-large"} <= raised
