"""Tokens, organisations with their members, users, the audit log."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.api.conftest import User, done, refused
from tests.web.conftest import Site, check_accessible, screenshot

SignedIn = Callable[[User], Page]


def test_a_token_is_made_shown_once_and_revoked(site: Site, signed_in: SignedIn) -> None:
    ursula = site.user("ursula")
    page = signed_in(ursula)
    page.locator(".site-nav summary").click()
    page.get_by_role("link", name="Tokens").click()
    expect(page.get_by_role("heading", name="Tokens", exact=True)).to_be_visible()
    check_accessible(page)
    form = page.get_by_role("form", name="A new token")
    form.get_by_label("Name").fill("training cluster")
    form.get_by_label("write").uncheck()
    form.get_by_label("merge").uncheck()
    form.get_by_role("button").click()
    token = page.locator("#new-token").inner_text()
    assert done(User(site.http, "ursula", token).get("/whoami"))["scopes"] == ["read"]
    check_accessible(page)
    screenshot(page, "tokens")
    page.goto("/settings/tokens")
    expect(page.get_by_role("heading", name="training cluster")).to_be_visible()
    assert token not in page.content()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke training cluster").click()
    expect(page.get_by_role("heading", name="training cluster")).to_have_count(0)
    refused(User(site.http, "ursula", token).get("/whoami"), 401, "invalid-token")


def test_what_is_missing_in_a_token_is_said_at_its_field(site: Site, signed_in: SignedIn) -> None:
    page = signed_in(site.user("ursula"))
    page.goto("/settings/tokens")
    form = page.get_by_role("form", name="A new token")
    form.get_by_label("Name").fill("can do nothing")
    for scope in ("read", "write", "merge"):
        form.get_by_label(scope).uncheck()
    form.get_by_role("button").click()
    expect(form.get_by_role("alert")).to_contain_text("choose what it may")
    expect(form.get_by_label("Name")).to_have_value("can do nothing")
    form.get_by_label("read").check()
    form.get_by_label("Name").fill("  ")
    form.get_by_role("button").click()
    expect(form.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("read")).to_be_checked()
    expect(form.get_by_label("write")).not_to_be_checked()


def test_revoking_the_token_in_hand_ends_the_session(site: Site, signed_in: SignedIn) -> None:
    ursula = site.user("ursula")
    token = done(ursula.post("/tokens", {"name": "in hand", "scopes": ["read", "write"]}), 201)["token"]
    page = signed_in(User(site.http, "ursula", token))
    page.goto("/settings/tokens")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke in hand").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_an_organisation_is_made_and_its_members_change(site: Site, signed_in: SignedIn) -> None:
    site.user("viktor")
    page = signed_in(site.user("ursula"))
    page.goto("/settings/organizations")
    check_accessible(page)
    page.get_by_label("Name").fill("ursula's lab")
    page.get_by_role("button", name="Make the organisation").click()
    expect(page.locator("#name-error")).to_contain_text("cannot be a name")
    page.get_by_label("Name").fill("ursulas-lab")
    page.get_by_role("button", name="Make the organisation").click()
    expect(page.get_by_role("heading", name="ursulas-lab")).to_be_visible()
    add = page.get_by_role("form", name="Add a member")
    add.get_by_label("User").fill("nobody-of-this-name")
    add.get_by_role("button").click()
    expect(page.locator("#user-error")).to_contain_text("does not exist")
    add.get_by_label("User").fill("viktor")
    add.get_by_role("button").click()
    expect(page.get_by_label("Role of viktor", exact=True)).to_have_value("writer")
    check_accessible(page)
    screenshot(page, "organisation")
    page.get_by_label("Role of viktor", exact=True).select_option("reader")
    page.get_by_role("button", name="Save the role of viktor").click()
    members = {member["user"]: member["role"] for member in members_of(site, "ursulas-lab")}
    expect(page.get_by_label("Role of viktor", exact=True)).to_have_value("reader")
    page.get_by_role("button", name="Remove ursula").evaluate("button => button.form.removeAttribute('data-confirm')")
    page.get_by_role("button", name="Remove ursula").click()
    expect(page.get_by_role("alert")).to_contain_text("owner")
    members = {member["user"]: member["role"] for member in members_of(site, "ursulas-lab")}
    assert members == {"ursula": "owner", "viktor": "reader"}
    delete = page.get_by_role("form", name="Delete the organisation")
    delete.get_by_label("Write its name").fill("ursulas")
    delete.get_by_role("button").click()
    expect(page.locator("#confirmation-error")).to_contain_text("ursulas-lab")
    delete.get_by_label("Write its name").fill("ursulas-lab")
    delete.get_by_role("button").click()
    expect(page.get_by_text("You are a member of no organisation")).to_be_visible()


def members_of(site: Site, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = done(site.admin.get(f"/organizations/{name}"))["members"]
    return found


def test_an_administrator_makes_a_user_who_signs_in(site: Site, signed_in: SignedIn) -> None:
    page = signed_in(site.admin)
    page.goto("/settings/users")
    check_accessible(page)
    page.get_by_label("Name").fill("wilma")
    page.get_by_role("button", name="Make the user").click()
    token = page.locator("#new-token").inner_text()
    assert done(User(site.http, "wilma", token).get("/whoami"))["name"] == "wilma"
    page.get_by_label("Name").fill("wilma")
    page.get_by_role("button", name="Make the user").click()
    expect(page.locator("#name-error")).to_contain_text("exists already")


def test_users_are_made_by_administrators_alone(site: Site, signed_in: SignedIn) -> None:
    page = signed_in(site.user("ursula"))
    page.goto("/settings/users")
    expect(page.get_by_role("heading", name="The token lacks a scope")).to_be_visible()
    check_accessible(page)
    screenshot(page, "problem")


def test_the_audit_log_tells_owners_what_was_done(site: Site, signed_in: SignedIn) -> None:
    ursula = site.user("ursula")
    ursula.repository("ursula/audited", visibility="private")
    page = signed_in(ursula)
    page.goto("/settings/audit?subject=ursula/audited")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("row").nth(1)).to_contain_text("repository.created")
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_role("row").nth(3)).to_be_visible()
    check_accessible(page)
    screenshot(page, "audit")
    other = site.user("viktor")
    assert "ursula/audited" not in other.request("GET", "/settings/audit?subject=ursula/audited").text.split("<form")[0]
