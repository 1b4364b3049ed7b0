"""The upload form without a script, and with the keyboard alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Page, expect

from tests.api.conftest import User, done, make_adapter, refused
from tests.web.conftest import Site, sign_in
from tests.web.test_upload import written

pytestmark = pytest.mark.slow

most_tabs = 60


def test_without_a_script_a_form_publishes_too(
    site: Site, new_context: Callable[..., BrowserContext], tmp_path: Path
) -> None:
    dora = site.user("plain-dora")
    dora.publish("plain-dora/root", make_adapter(1))
    dora.publish("plain-dora/run", make_adapter(2), builds_on=["plain-dora/root@1.0.0"])
    page = sign_in(new_context(java_script_enabled=False).new_page(), dora, "/upload")
    # what only a script can do is not offered
    for hidden in ("Choose a folder", "Add another", "Preview"):
        expect(page.get_by_text(hidden, exact=True)).to_be_hidden()
    paths = written(tmp_path / "out", make_adapter(3).files)
    page.get_by_label("Files of the adapter").set_input_files(paths)
    page.get_by_label("Name").fill("dialogue")
    page.get_by_label("Adapter 1").fill("plain-dora/nobody@1.0.0")
    page.get_by_label("Initialized from", exact=True).fill("plain-dora/run@1.0.0")
    page.get_by_label("Card", exact=True).fill("# Dialogue\n\nIt talks.")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#builds_on-error")).to_have_text(
        "The parent plain-dora/nobody@1.0.0 does not exist, or you may not read it."
    )
    expect(page.get_by_text("Choose the files again")).to_contain_text("adapter_config.json")
    expect(page.get_by_label("Name")).to_have_value("dialogue")
    expect(page.get_by_label("Card", exact=True)).to_have_value("# Dialogue\n\nIt talks.")
    page.get_by_label("Files of the adapter").set_input_files(paths)
    page.get_by_label("Adapter 1").fill("")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/plain-dora/dialogue?version=1.0.0")
    made = done(dora.get("/repositories/plain-dora/dialogue/versions/1.0.0"))
    assert made["initialized_from"]["reference"] == "plain-dora/run@1.0.0"
    # taken over, since nothing else was said
    assert [parent["reference"] for parent in made["builds_on"]] == ["plain-dora/root@1.0.0"]
    assert (
        dora.get("/repositories/plain-dora/dialogue/versions/1.0.0/files/README.md").text == "# Dialogue\n\nIt talks."
    )
    assert done(dora.get("/repositories/plain-dora/dialogue"))["visibility"] == "private"
    page.goto("/upload?repository=plain-dora/dialogue")
    expect(page.locator("#repository-help")).to_have_text(
        "plain-dora/dialogue is there: this becomes its next version."
    )
    page.get_by_label("Files of the adapter").set_input_files(paths)
    page.get_by_label("Initialized from", exact=True).fill("plain-dora/run@1.0.0")
    page.get_by_label("It builds on no other adapter").check()
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/plain-dora/dialogue?version=1.1.0")
    assert done(dora.get("/repositories/plain-dora/dialogue/versions/1.1.0"))["builds_on"] == []


def test_the_keyboard_alone_uploads(site: Site, signed_in: Callable[[User], Page], tmp_path: Path) -> None:
    emil = site.user("keyboard-emil")
    emil.publish("keyboard-emil/root", make_adapter(1))
    emil.publish("keyboard-emil/run", make_adapter(2))
    paths = written(tmp_path / "out", make_adapter(3).files)
    page = signed_in(emil)
    # before the page is there: a browser takes its time to begin to listen for it
    page.on("filechooser", lambda chooser: chooser.set_files(paths))
    page.goto("/upload")
    go_to(page, "choose-files")
    page.keyboard.press("Enter")
    expect(page.locator("#contents")).to_contain_text("acme/tiny")
    go_to(page, "name")
    page.keyboard.type("typed")
    go_to(page, "visibility-private")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Public")).to_be_checked()
    take_suggestion(page, "builds_on-1", "keyboard-emil/root@1.0.0")
    page.keyboard.press("Tab")
    page.keyboard.type("0,5")
    go_to(page, "add-parent")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Adapter 2")).to_be_focused()
    page.keyboard.type("nobody")
    # the list is closed, and Enter takes nothing that was not chosen
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Remove this adapter").last).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Adapter 2")).to_have_count(0)
    take_suggestion(page, "initialized_from", "keyboard-emil/run@1.0.0")
    expect(page.locator("#lineage-preview figcaption")).to_have_text(
        "keyboard-emil/typed builds on keyboard-emil/root@1.0.0, weight 0.5 and is initialized from"
        " keyboard-emil/run@1.0.0."
    )
    go_to(page, "card")
    page.keyboard.type("Typed")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#card-preview")).to_have_text("Typed")
    go_to(page, "publish")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keyboard-emil/typed?version=1.0.0")
    made = done(site.anonymous.get("/repositories/keyboard-emil/typed/versions/1.0.0"))
    assert [(parent["reference"], parent["weight"]) for parent in made["builds_on"]] == [
        ("keyboard-emil/root@1.0.0", 0.5)
    ]
    assert made["initialized_from"]["reference"] == "keyboard-emil/run@1.0.0"


def take_suggestion(page: Page, id: str, wanted: str) -> None:
    """With arrows, as far as it is away."""
    go_to(page, id)
    field = page.locator(f"#{id}")
    expect(page.locator(f"#{id}-list [role=option]").first).to_be_visible()
    offered = page.locator(f"#{id}-list .suggestion").all_inner_texts()
    for _ in range(offered.index(wanted) + 1):
        page.keyboard.press("ArrowDown")
    expect(page.locator(f"#{id}-list [aria-selected=true]")).to_contain_text(wanted)
    page.keyboard.press("Enter")
    expect(field).to_have_value(wanted)
    expect(page.locator(f"#{id}-list")).to_be_hidden()


def go_to(page: Page, id: str) -> None:
    """By the Tab key; what has the focus can be seen to have it."""
    for _ in range(most_tabs):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == id:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nothing shows that {id} has the focus"
            return
    raise AssertionError(f"{id} is not reached by the Tab key")


def test_a_form_that_is_none_of_its_own_pages_publishes_nothing(site: Site, signed_in: Callable[[User], Page]) -> None:
    """The session's cookie alone is not enough; the token stands among the form's fields, behind the files."""
    lara = site.user("forged-lara")
    page = signed_in(lara)
    files: dict[str, str | float | bool | bytes | FilePayload] = {"namespace": lara.name, "name": "forged"}
    for token in (None, "", "forged"):
        form = {**files} if token is None else {**files, "csrf_token": token}
        answer = page.request.post("/upload", multipart=form, headers={"Accept": "text/html"})
        assert answer.status == 403
        assert "form&#39;s token is missing" in answer.text()
    own = page.locator('meta[name="csrf-token"]').get_attribute("content") or ""
    elsewhere = {"Accept": "text/html", "Origin": "https://elsewhere.example"}
    assert page.request.post("/upload", multipart={**files, "csrf_token": own}, headers=elsewhere).status == 403
    # with it, it is the form itself that is looked at
    answer = page.request.post("/upload", multipart={**files, "csrf_token": own}, headers={"Accept": "text/html"})
    assert answer.status == 422
    assert "No file was chosen." in answer.text()
    refused(lara.get("/repositories/forged-lara/forged"), 404, "not-found")
