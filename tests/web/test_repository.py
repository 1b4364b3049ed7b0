"""An adapter's pages in a browser: what they tell, with and without a script, by keyboard and on a phone."""

import gzip
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.web.assets import assets, built
from tests.api.conftest import User, done
from tests.web.adapter_pages import modules, publish_story
from tests.web.conftest import Site, check_accessible, screenshot

Open = Callable[..., BrowserContext]
at = "/page-owner/dialogue"


@pytest.fixture(scope="module")
def owner(site: Site) -> User:
    owner = site.user("page-owner")
    publish_story(owner, site.user("page-other"))
    return owner


def test_an_adapter_says_what_it_is_and_where_it_comes_from(page: Page, owner: User) -> None:
    page.goto(at)
    expect(page.get_by_role("heading", level=1)).to_have_text("page-owner/dialogue")
    badges = page.get_by_role("list", name="In short")
    for badge in (
        "kind adapter",
        "base acme/tiny",
        "licence apache-2.0",
        "method LoRA",
        "rank 8",
        "dtype F32",
        "alias prod",
    ):
        expect(badges.get_by_text(badge, exact=True)).to_be_visible()
    below = page.get_by_role("region", name="Stands on")
    expect(below.get_by_role("link", name="page-owner/instruct@1.0.0")).to_be_visible()
    expect(below).to_contain_text("on the bare base model it is not whole")
    above = page.get_by_role("region", name="Built on it").get_by_role("listitem")
    expect(above).to_have_text(["page-other/tools@1.0.0 builds on this, × 0.5"])
    assert "page-other/hidden" not in page.content()
    expect(page.get_by_role("region", name="What is new in 1.1.0")).to_contain_text("A higher rank")
    expect(page.get_by_role("table").filter(has_text="alpaca.lc")).to_contain_text("27.8")


def test_a_card_shows_the_pictures_that_came_with_it_and_no_others(page: Page, owner: User) -> None:
    page.goto(at)
    shown = page.get_by_role("article", name="Card")
    expect(shown.get_by_role("heading", name="Dialogue", level=2)).to_be_visible()
    picture = shown.get_by_role("img", name="The loss")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("naturalWidth", 1)
    expect(shown).to_contain_text("An image is not shown")
    link = shown.get_by_role("link", name="the code")
    expect(link).to_have_attribute("rel", "nofollow noopener noreferrer")
    with page.expect_download() as download:
        shown.get_by_role("link", name="how to prompt it").click()
    assert download.value.path().read_bytes() == b"Ask nicely.\n"


def test_all_of_it_is_there_without_a_script(new_context: Open, owner: User) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(at)
    use = page.get_by_role("region", name="Use it")
    expect(use.get_by_label("With glulam")).to_be_visible()
    use.get_by_text("PEFT", exact=True).click()
    expect(use.get_by_label("With PEFT")).to_contain_text("PeftModel.from_pretrained(base, folder)")
    expect(use.get_by_label("With glulam")).to_be_hidden()
    page.get_by_text("Version 1.1.0").click()
    page.get_by_role("link", name="1.0.0", exact=True).click()
    expect(page.get_by_text("Version 1.0.0")).to_be_visible()
    tabs = page.get_by_role("navigation", name="Of this repository")
    tabs.get_by_role("link", name="Modules").click()
    # the version that was chosen stays
    expect(page).to_have_url(f"{at}/tensors?version=1.0.0")
    page.get_by_role("searchbox", name="Name").fill("layers.3 PROJ")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#rows > tr")).to_have_count(3)
    tabs.get_by_role("link", name="Files").click()
    row = page.get_by_role("row").filter(has_text="adapter_config.json")
    with page.expect_download() as download:
        row.get_by_role("link", name="Download").click()
    wanted = owner.get("/repositories/page-owner/dialogue/versions/1.0.0/files/adapter_config.json").content
    assert download.value.path().read_bytes() == wanted
    tabs.get_by_role("link", name="Versions").click()
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(f"{at}/compare/1.0.0...1.1.0")


def test_modules_are_found_while_a_name_is_typed(page: Page, owner: User) -> None:
    page.goto(f"{at}/tensors")
    rows = page.locator("#rows > tr:visible")
    expect(rows).to_have_count(len(modules))
    field = page.get_by_role("searchbox", name="Name")
    field.press_sequentially("layers.11 q_")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("model.layers.11.self_attn.q_proj")
    expect(page.get_by_role("status")).to_have_text(f"1 of {len(modules)} shown")
    field.fill("")
    expect(rows).to_have_count(len(modules))
    heading = page.get_by_role("columnheader", name="Module")
    heading.get_by_role("link").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("model.layers.11.self_attn.v_proj")


def test_a_comparison_names_what_changed_and_counts_what_did_not(page: Page, owner: User) -> None:
    page.goto(f"{at}/compare/1.0.0...1.1.0")

    def rows(title: str) -> list[str]:
        found = page.get_by_role("region", name=title, exact=True).locator("tbody > tr")
        return [" | ".join(row.locator("th, td").all_inner_texts()) for row in found.all()]

    assert rows("adapter_config.json") == ["lora_dropout added | – | 0.1", "r changed | 4 | 8 +100.0 %"]
    assert [row.partition(" changed")[0] for row in rows("Modules")] == [
        f"model.layers.*.{part} (12)" for part in ("mlp.up_proj", "self_attn.q_proj", "self_attn.v_proj")
    ]
    assert "rank 4, alpha 8, scaling 2, F32, 8 → 8 | rank 8, alpha 8, scaling 1" in rows("Modules")[0]
    assert rows("Metrics") == ["alpaca.lc added | – | 27.8", "mt_bench changed | 7.5 | 7.9 +5.3 %"]
    expect(page.get_by_role("region", name="Lineage", exact=True)).to_contain_text("No difference in 1.")
    assert {row.split(" ")[0] for row in rows("Files")} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    card = page.get_by_role("region", name="Card", exact=True)
    expect(card.locator("del")).to_contain_text("is public")
    expect(card.locator("ins")).to_contain_text("is open")


def test_versions_and_aliases_tell_their_history(page: Page, owner: User) -> None:
    page.goto(f"{at}/versions")
    table = page.get_by_role("group", name="Versions")
    expect(table.locator("tbody > tr > th > a")).to_have_text(["1.1.0", "1.0.0"])
    expect(table.get_by_role("row").nth(1)).to_contain_text("builds on page-owner/instruct@1.0.0")
    page.get_by_role("link", name="History of prod").click()
    moves = page.get_by_role("region", name="Moves of prod, newest first").get_by_role("listitem")
    expect(moves).to_have_count(2)
    expect(moves.first).to_contain_text("to 1.1.0")
    page.get_by_role("link", name="Changes from 1.0.0 to 1.1.0").click()
    expect(page.get_by_role("heading", name="From 1.0.0 to 1.1.0")).to_be_visible()


def test_a_repository_that_moved_is_found_under_its_old_name(page: Page, owner: User) -> None:
    owner.publish("page-owner/before", own_files(owner))
    done(owner.patch("/repositories/page-owner/before", {"name": "after"}))
    page.goto("/page-owner/before/files?version=1.0.0")
    expect(page).to_have_url("/page-owner/after/files?version=1.0.0")
    page.goto("/PAGE-owner/After/versions")
    expect(page).to_have_url("/page-owner/after/versions")


def own_files(owner: User) -> dict[str, bytes]:
    """The weights and the configuration of an adapter that is there."""
    root = "/repositories/page-owner/instruct/versions/1.0.0/files"
    return {path: owner.get(f"{root}/{path}").content for path in ("adapter_config.json", "adapter_model.safetensors")}


def test_what_is_copied_is_what_is_shown(new_context: Open, owner: User) -> None:
    page = new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto(at)
    shown = page.get_by_label("With glulam").inner_text()
    page.get_by_role("button", name="Copy for glulam").click()
    assert page.evaluate("navigator.clipboard.readText()") == shown.strip()
    assert "glulam pull page-owner/dialogue@1.1.0" in shown
    page.get_by_role("button", name="Copy the digest").click()
    digest = done(owner.get("/repositories/page-owner/dialogue/versions/1.1.0"))["digest"]
    assert page.evaluate("navigator.clipboard.readText()") == digest


def test_what_is_copied_over_plain_http_is_what_is_shown(page: Page, owner: User) -> None:
    """There browsers keep their clipboard from scripts."""
    page.add_init_script("delete Navigator.prototype.clipboard")
    page.goto(at)
    button = page.get_by_role("button", name="Copy the digest")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied")).to_be_visible()
    page.get_by_role("searchbox", name="Search adapters").focus()
    page.keyboard.press("Control+V")
    digest = done(owner.get("/repositories/page-owner/dialogue/versions/1.1.0"))["digest"]
    expect(page.get_by_role("searchbox", name="Search adapters")).to_have_value(digest)


def test_the_tool_that_was_chosen_is_chosen_the_next_time(page: Page, owner: User) -> None:
    page.goto(at)
    page.get_by_role("radio", name="glulam").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_label("With PEFT")).to_be_visible()
    page.goto("/page-owner/instruct")
    expect(page.get_by_role("radio", name="PEFT")).to_be_checked()
    expect(page.get_by_label("With PEFT")).to_contain_text("snapshot_download")


def test_the_version_menu_is_used_by_keyboard(page: Page, owner: User) -> None:
    page.goto(at)
    menu = page.locator(".title summary")
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="1.1.0 prod")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{at}?version=1.0.0")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("card", ""),
        ("compare", "/compare/1.0.0...1.1.0"),
        ("files", "/files"),
        ("modules", "/tensors"),
        ("versions", "/versions?alias=prod"),
    ],
)
def test_everybody_can_use_the_pages(page: Page, owner: User, name: str, path: str) -> None:
    page.goto(at + path)
    check_accessible(page)
    screenshot(page, f"adapter-{name}")


def test_the_scripts_of_an_adapter_s_page_are_small() -> None:
    """Below 150 kB compressed, as they are sent."""

    def reached(entry: str) -> set[str]:
        found = assets.current()[entry]
        return {found["file"], *(file for module in found.get("imports", ()) for file in reached(module))}

    scripts = reached("src/pages/base.ts") | reached("src/pages/repository.ts")
    size = sum(len(gzip.compress((built / script).read_bytes())) for script in scripts)
    assert 0 < size < 150_000
