"""What PEFT saves, and the registry takes, the browser's check before sending takes too, and reads alike."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.conftest import User
from tests.formats import test_peft as saved_by_peft
from tests.web.conftest import Site

pytestmark = pytest.mark.slow

variants = {
    **saved_by_peft.plain_variants,
    **{name: variant[:2] for name, variant in saved_by_peft.merged_variants.items()},
    **{name: variant[:2] for name, variant in saved_by_peft.unmerged_variants.items()},
}


def test_the_browser_is_never_stricter_than_the_registry(
    site: Site, signed_in: Callable[[User], Page], tmp_path: Path
) -> None:
    page = signed_in(site.user("reading-rita"))
    wrong = {}
    for name, (model, config) in variants.items():
        folder = tmp_path / name.replace(" ", "-")
        adapted = saved_by_peft.made(model(), config)
        adapter = saved_by_peft.read(*saved_by_peft.saved(adapted, folder))
        page.goto("/upload")
        page.locator("#files").set_input_files([folder / "adapter_model.safetensors", folder / "adapter_config.json"])
        expect(page.locator("#contents")).not_to_be_empty()
        names, values = (page.locator(f"#contents {tag}").all_inner_texts() for tag in ("dt", "dd"))
        told = dict(zip(names, values, strict=True))
        told["errors"] = "; ".join(page.locator("#chosen .error, #contents .error").all_inner_texts())
        expected = {
            "errors": "",
            "Parameters": f"{adapter.parameters:,}".replace(",", "\u2009"),
            "Dtype": adapter.dtype,
        }
        ranks = sorted({module.rank for module in adapter.modules})
        if ranks:
            expected |= {"Rank": ", ".join(map(str, ranks)), "Modules": str(len(adapter.modules))}
        if expected.items() - told.items():
            wrong[name] = told
    assert wrong == {}
