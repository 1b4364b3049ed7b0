"""Signing in and out by a browser, and what a session may do."""

from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.api.conftest import User, done
from tests.web.conftest import Site, check_accessible, screenshot, sign_in

SignedIn = Callable[[User], Page]


def test_somebody_signs_in_and_out(site: Site, page: Page) -> None:
    alice = site.user("alice")
    page.goto("/")
    page.get_by_role("link", name="Sign in").first.click()
    page.get_by_label("Token").fill("glu_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    check_accessible(page)
    screenshot(page, "sign-in-refused")
    page.get_by_label("Token").fill(f" {alice.token} ")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.address}/")
    expect(page.locator(".site-nav summary")).to_have_text("alice")
    [cookie] = [cookie for cookie in page.context.cookies() if cookie["value"]]
    # on this machine's own plain http; over https it is __Host- and Secure
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (
        "glulam-session",
        True,
        "Lax",
        "/",
    )
    assert page.evaluate("document.cookie") == ""
    page.locator(".site-nav summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    assert [cookie for cookie in page.context.cookies() if cookie["value"]] == []


def test_a_page_for_those_who_are_signed_in_comes_after_the_form(site: Site, page: Page) -> None:
    page.goto("/settings/tokens?cursor=")
    expect(page).to_have_url(f"{site.address}/login?next=%2Fsettings%2Ftokens%3Fcursor%3D")
    page.get_by_label("Token").fill(site.user("alice").token or "")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.address}/settings/tokens?cursor=")


@pytest.mark.parametrize("elsewhere", ["//example.invalid/", "/\\example.invalid", "https://example.invalid/", "x"])
def test_signing_in_leads_to_no_other_site(site: Site, page: Page, elsewhere: str) -> None:
    page.goto("/login?next=" + elsewhere.replace("\\", "%5C"))
    page.get_by_label("Token").fill(site.user("alice").token or "")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.address}/")


def test_a_session_ends_with_its_token_and_when_it_is_ended_elsewhere(
    site: Site, new_context: Callable[..., BrowserContext]
) -> None:
    alice = site.user("alice")
    made = done(alice.post("/tokens", {"name": "for a session", "scopes": ["read"]}), 201)
    holder = User(site.http, "alice", made["token"])
    first, second = new_context().new_page(), new_context().new_page()
    sign_in(first, holder)
    sign_in(second, holder)
    [kept] = [cookie["value"] for cookie in first.context.cookies() if cookie["value"]]
    first.locator(".site-nav summary").click()
    first.get_by_role("button", name="Sign out").click()
    expect(first.get_by_role("link", name="Sign in").first).to_be_visible()
    # who kept a copy of the cookie has nothing
    copied = {"Cookie": f"glulam-session={kept}"}
    assert site.http.get("/api/v1/whoami", headers=copied).status_code == 401
    second.reload()
    expect(second.locator(".site-nav summary")).to_have_text("alice")
    assert alice.delete(f"/tokens/{made['id']}").status_code == 204
    second.reload()
    expect(second.get_by_role("link", name="Sign in").first).to_be_visible()


def test_a_session_may_what_its_token_may(site: Site, signed_in: SignedIn) -> None:
    alice = site.user("alice")
    token = done(alice.post("/tokens", {"name": "reads only", "scopes": ["read"]}), 201)["token"]
    page = signed_in(User(site.http, "alice", token))
    told = page.evaluate(
        """async () => {
            const headers = {
                'Content-Type': 'application/json',
                'X-CSRF-Token': document.querySelector('meta[name=csrf-token]').content,
            }
            const body = JSON.stringify({namespace: 'alice', name: 'not-made'})
            const made = await fetch('/api/v1/repositories', {method: 'POST', headers, body})
            const who = await fetch('/api/v1/whoami')
            return [made.status, (await made.json()).type, who.status, (await who.json()).scopes]
        }"""
    )
    assert told == [403, "/problems/scope-missing", 200, ["read"]]


def test_signing_in_over_plain_http_from_elsewhere_is_refused(site: Site) -> None:
    form = {"token": site.user("alice").token, "csrf_token": "x"}
    answer = site.http.post("/login", data=form, headers={"Host": "glulam.example"})
    assert answer.status_code == 403
    assert "use https" in answer.text
    assert not any(cookie.startswith("glulam-session=glu") for cookie in answer.headers.get_list("set-cookie"))


def test_nobody_is_signed_in_by_a_form_on_another_site(site: Site) -> None:
    with httpx2.Client(base_url=site.address) as browser:
        browser.get("/login")
        form = {"token": site.user("alice").token, "csrf_token": "0" * 64}
        assert browser.post("/login", data=form).status_code == 403
        assert browser.cookies.get("glulam-session") is None


@pytest.mark.parametrize("path", ["/docs", "/login", "/problems/deleted", "/problems/version-conflict"])
def test_what_is_open_to_all_is_accessible(site: Site, page: Page, path: str) -> None:
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 200
    check_accessible(page)
    if path == "/docs":
        # what is folded is read, too
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        check_accessible(page)
        screenshot(page, "docs")
