"""The page of all kinds names what the code knows."""

import re
from pathlib import Path

from app.domain.adapter import ModuleKind, ReplacementKind
from app.formats.adapter_config import unmerged_keys
from app.merge import dependents, planning

page = Path("docs/kinds.md").read_text()


def test_every_kind_has_its_row() -> None:
    kinds = {kind.value for kind in ModuleKind} - {ModuleKind.LINEAR, ModuleKind.EMBEDDING}
    kinds |= {kind.value for kind in ReplacementKind} | {"dora", "lora_bias"}
    table = page.split("## Convolutions")[0]
    assert all(f"`{kind}`" in table for kind in kinds)
    assert not kinds & set(unmerged_keys.values())


def test_every_refusal_has_its_line() -> None:
    """The sentences of the planner's refusals, with `…` for what they fill in."""
    texts: set[str] = set()
    for module in (dependents, planning):
        source = Path(str(module.__file__)).read_text()
        texts |= set(re.findall(r'(?:what = f?|UnsupportedFeature\(\s*f?)"([^"]*)"', source))
    found = {re.sub(r"\{[^}]*\}", "…", text) for text in texts}
    assert {"trainable_tokens beside dora", "… with a referenced trunk"} <= found
    assert sorted(text for text in found if f"`{text}`" not in page) == []
