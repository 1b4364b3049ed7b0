"""What writers and owners do on an adapter's pages, by plain forms."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.api.conftest import User, done
from tests.web.adapter_pages import files
from tests.web.conftest import Site, check_accessible, screenshot, sign_in

Open = Callable[..., BrowserContext]


@pytest.fixture
def keeper(site: Site) -> User:
    return site.user("page-keeper")


def publish(keeper: User, name: str, versions: int = 2) -> str:
    """An adapter with its page's address."""
    for number in range(versions):
        keeper.publish(f"page-keeper/{name}", files(number + 1))
    return f"/page-keeper/{name}"


def form(page: Page, name: str) -> Page:
    found: Page = page.get_by_role("form", name=name)  # type: ignore[assignment]  # a locator asks as a page does
    return found


def test_words_and_aliases_are_set_without_a_script(new_context: Open, keeper: User) -> None:
    at = publish(keeper, "worded")
    page = sign_in(new_context(java_script_enabled=False).new_page(), keeper)
    page.goto(at)
    page.get_by_role("link", name="Settings").click()
    form(page, "Description").get_by_label("Description").fill("Two words,\nand more")
    form(page, "Description").get_by_label("Licence").fill("mit")
    form(page, "Description").get_by_label("Tags").fill("chat, short , chat")
    form(page, "Description").get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The description is saved.")
    told = done(keeper.get("/repositories/page-keeper/worded"))
    assert (told["description"], told["license"], told["tags"]) == ("Two words,\nand more", "mit", ["chat", "short"])
    moving = form(page, "Move an alias")
    moving.get_by_label("Alias").fill("prod")
    moving.get_by_label("Version").fill("1.0.0")
    moving.get_by_role("button", name="Move").click()
    expect(page.get_by_role("status")).to_have_text("The alias is moved.")
    expect(page.get_by_role("listitem").filter(has_text="prod is 1.0.0")).to_be_visible()
    page.get_by_role("button", name="Remove prod").click()
    expect(page.get_by_role("status")).to_have_text("The alias is removed; its history stays.")
    expect(page.get_by_text("prod is 1.0.0")).to_have_count(0)


def test_what_is_refused_is_told_at_its_form_and_nothing_typed_is_lost(page: Page, keeper: User) -> None:
    at = publish(keeper, "refusing", 1)
    sign_in(page, keeper)
    page.goto(f"{at}/settings")
    moving = form(page, "Move an alias")
    for alias, version, words in (
        ("1.0", "1.0.0", "looks like a version"),
        ("prod", "9.9.9", "page-keeper/refusing@9.9.9"),
        ("main", "1.0.0", "is a ref of every repository"),
    ):
        moving.get_by_label("Alias").fill(alias)
        moving.get_by_label("Version").fill(version)
        moving.get_by_role("button", name="Move").click()
        expect(moving.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_role("alert")).to_have_count(1)
        expect(moving.get_by_role("alert")).to_be_focused()
        expect(form(page, "Delete a version").get_by_label("Version")).to_have_value("")
        expect(moving.get_by_label("Alias")).to_have_value(alias)
        expect(moving.get_by_label("Version")).to_have_value(version)
    check_accessible(page)
    screenshot(page, "adapter-settings-refused")
    deleting = form(page, "Delete a version")
    deleting.get_by_label("Version").fill("1.0.0")
    deleting.get_by_label("The same number again").fill("1.0.1")
    deleting.get_by_role("button", name="Delete this version").click()
    expect(deleting.get_by_role("alert")).to_have_text("to confirm, write 1.0.0")
    removing = form(page, "Delete the repository")
    removing.get_by_label("to confirm").fill("refusing")
    removing.get_by_role("button", name="Delete page-keeper/refusing").click()
    expect(removing.get_by_role("alert")).to_have_text("to confirm, write page-keeper/refusing")
    assert done(keeper.get("/repositories/page-keeper/refusing/versions/1.0.0"))["state"] == "published"


def test_what_is_made_private_is_not_there_for_others(page: Page, new_context: Open, keeper: User) -> None:
    at = publish(keeper, "closing", 1)
    other = new_context().new_page()
    other.goto(at)
    expect(other.get_by_role("heading", level=1)).to_have_text("page-keeper/closing")
    sign_in(page, keeper)
    page.goto(f"{at}/settings")
    access = form(page, "Who may read it")
    access.get_by_label("Private").check()
    access.get_by_role("button", name="Save").click()
    expect(page.get_by_role("list", name="In short")).to_contain_text("private")
    gone = other.goto(at)
    never = new_context().new_page().goto("/page-keeper/never-was")
    assert gone is not None
    assert never is not None
    assert (gone.status, never.status) == (404, 404)
    assert gone.text().replace("closing", "never-was").count("never-was") == never.text().count("never-was")
    page.goto(at)
    expect(page.get_by_role("region", name="Use it")).to_contain_text("glulam login")


def test_a_recall_is_told_on_every_page_of_the_version_and_undone(page: Page, new_context: Open, keeper: User) -> None:
    at = publish(keeper, "recalled")
    done(keeper.post("/repositories", {"namespace": "page-keeper", "name": "above", "visibility": "public"}), 201)
    keeper.publish("page-keeper/above", files(7), builds_on=["page-keeper/recalled@1.1.0"])
    sign_in(page, keeper)
    page.goto(f"{at}/settings?version=1.1.0")
    recalling = form(page, "Recall a version")
    expect(recalling.get_by_label("Version")).to_have_value("1.1.0")
    recalling.get_by_label("Reason").fill("It was trained on the test set")
    recalling.get_by_label("Severity").select_option("critical")
    recalling.get_by_role("button", name="Recall").click()
    expect(page.get_by_role("status")).to_contain_text("is recalled")
    reader = new_context().new_page()
    for path in ("", "/files", "/tensors"):
        reader.goto(f"{at}{path}?version=1.1.0")
        expect(reader.get_by_role("note")).to_contain_text("critical: It was trained on the test set")
    reader.goto(f"{at}/files?version=1.1.0")
    expect(reader.get_by_role("link", name="Download")).to_have_count(0)
    reader.goto(f"{at}?version=1.1.0")
    expect(reader.get_by_role("region", name="Use it")).to_have_count(0)
    check_accessible(reader)
    screenshot(reader, "adapter-recalled")
    reader.goto("/page-keeper/above")
    expect(reader.get_by_role("note")).to_contain_text("by way of page-keeper/recalled@1.1.0")
    # what is shown unasked is a version that may be had
    reader.goto(at)
    expect(reader.get_by_text("Version 1.0.0")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{at}?version=1.1.0")
    page.get_by_role("button", name="Undo this recall").click()
    expect(page.get_by_role("status")).to_have_text("The recall is undone.")
    reader.goto(f"{at}?version=1.1.0")
    expect(reader.get_by_role("region", name="Use it")).to_be_visible()


def test_a_deleted_version_leaves_a_tombstone_and_a_deleted_repository_its_name(page: Page, keeper: User) -> None:
    at = publish(keeper, "ending")
    sign_in(page, keeper)
    page.goto(f"{at}/settings")
    deleting = form(page, "Delete a version")
    deleting.get_by_label("Version").fill("1.0.0")
    deleting.get_by_label("The same number again").fill("1.0.0")
    deleting.get_by_role("button", name="Delete this version").click()
    expect(page.get_by_role("status")).to_contain_text("The version is deleted.")
    for path in ("", "/files", "/tensors"):
        response = page.goto(f"{at}{path}?version=1.0.0")
        assert response is not None
        assert response.status == 410
        expect(page.get_by_role("note")).to_contain_text("page-keeper/ending@1.0.0 was deleted")
    expect(page.get_by_role("link", name="page-keeper/ending@1.1.0")).to_be_visible()
    check_accessible(page)
    screenshot(page, "adapter-tombstone")
    page.goto(f"{at}/settings")
    removing = form(page, "Delete the repository")
    removing.get_by_label("to confirm").fill("page-keeper/ending")
    removing.get_by_role("button", name="Delete page-keeper/ending").click()
    expect(page).to_have_url("/page-keeper")
    response = page.goto(at)
    assert response is not None
    assert response.status == 410


def test_an_empty_repository_says_how_to_fill_it(page: Page, site: Site, keeper: User) -> None:
    keeper.repository("empty")
    page.goto("/page-keeper/empty")
    expect(page.get_by_text("published nothing here that you may read")).to_be_visible()
    sign_in(page, keeper)
    page.goto("/page-keeper/empty")
    expect(page.get_by_label("How to publish")).to_contain_text(f"GLULAM_URL={site.address}")
    expect(page.get_by_label("How to publish")).to_contain_text("glulam push page-keeper/empty ./output")
    check_accessible(page)
    screenshot(page, "adapter-empty")
