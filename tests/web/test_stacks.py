"""Pages of stacks, their locks and proposals, of recalls, and the list of merges."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.api.conftest import User, done, make_adapter
from tests.crash.installation import wait_until
from tests.web.conftest import Site, check_accessible, screenshot
from tests.web.payloads import executed, one_line, payloads

SignedIn = Callable[[User], Page]
base = "acme/stacked"


def make_stack(user: User, name: str, **fields: Any) -> str:
    """Of two layers, one of which stands on a third; with lock 1. Its name."""
    own = user.name
    user.publish(f"{own}/{name}-instruct", make_adapter(1, base=base))
    user.publish(f"{own}/{name}-dialogue", make_adapter(2, base=base), builds_on=[f"{own}/{name}-instruct@1.0.0"])
    user.publish(f"{own}/{name}-reasoning", make_adapter(3, base=base))
    layers = [
        {"adapter": f"{own}/{name}-dialogue", "range": ">=1,<2"},
        {"adapter": f"{own}/{name}-reasoning", "weight": 0.5},
    ]
    body = {"layers": layers, "update": "propose", "visibility": "public"} | fields
    done(user.put(f"/stacks/{own}/{name}", body), 201)
    done(user.post(f"/stacks/{own}/{name}/lock"), 201)
    return f"{own}/{name}"


def with_proposal(user: User, stack: str) -> None:
    """A newer reasoning layer, and the proposal that a worker makes of it."""
    user.publish(f"{stack}-reasoning", make_adapter(9, base=base))
    wait_until(lambda: bool(done(user.get(f"/stacks/{stack}/proposals?state=open"))["items"]), "nothing was proposed")


def test_a_proposal_is_seen_compared_and_accepted(site: Site, signed_in: SignedIn) -> None:
    stella = site.user("stella")
    stack = make_stack(stella, "chat")
    with_proposal(stella, stack)
    page = signed_in(stella)
    page.goto(f"/{stack}")
    page.get_by_role("link", name="Locks", exact=True).click()
    expect(page.get_by_role("heading", name="Proposal 1 waits for a word")).to_be_visible()
    check_accessible(page)
    screenshot(page, "stack")
    page.get_by_role("link", name="See what it would change").click()
    changes = page.get_by_role("group", name="What proposal 1 would change")
    expect(changes.get_by_role("row").nth(2)).to_contain_text("1.0.0")
    expect(changes.get_by_role("row").nth(2)).to_contain_text("1.1.0")
    check_accessible(page)
    screenshot(page, "proposals")
    page.get_by_role("button", name="Accept and merge proposal 1").click()
    expect(page.get_by_role("heading", name="Lock 2")).to_be_visible()
    expect(page.get_by_role("group", name="Trunk")).to_contain_text("chat-instruct")
    check_accessible(page)
    screenshot(page, "lock")
    page.goto(f"/{stack}/locks/1...2")
    expect(page.get_by_role("row").nth(1)).to_contain_text("1.1.0")
    check_accessible(page)
    screenshot(page, "lock-difference")
    # an accepted one is merged, and then it is a version
    wait_until(lambda: done(stella.get(f"/stacks/{stack}/locks/2"))["version"] is not None, "the lock was not merged")
    page.goto(f"/{stack}/locks")
    page.get_by_role("link", name="merged as 2.0.0").click()
    expect(page.get_by_text("Version 2.0.0").first).to_be_visible()
    page.goto(f"/{stack}/locks/1")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Roll back to it").click()
    expect(page.get_by_role("heading", name="Lock 3")).to_be_visible()


def test_a_proposal_is_rejected(site: Site, signed_in: SignedIn) -> None:
    stella = site.user("stella")
    stack = make_stack(stella, "talk")
    with_proposal(stella, stack)
    page = signed_in(stella)
    page.goto(f"/{stack}/proposals")
    page.get_by_role("button", name="Reject proposal 1").click()
    expect(page.get_by_text("rejected", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Reject proposal 1")).to_have_count(0)
    assert [entry["state"] for entry in done(stella.get(f"/stacks/{stack}/proposals"))["items"]] == ["rejected"]


def test_what_does_not_resolve_is_told_on_the_page(site: Site, signed_in: SignedIn) -> None:
    stella = site.user("stella")
    stack = make_stack(stella, "odd")
    body = {"layers": [{"adapter": "stella/odd-dialogue", "range": ">=7"}], "update": "pin"}
    done(stella.put(f"/stacks/{stack}", body))
    page = signed_in(stella)
    page.goto(f"/{stack}/locks")
    page.get_by_role("button", name="Resolve now").click()
    expect(page.get_by_role("alert")).to_contain_text("stella/odd-dialogue >=7")
    check_accessible(page)


def test_a_reader_sees_the_stack_and_may_change_nothing(site: Site, page: Page) -> None:
    stack = make_stack(site.user("stella"), "open")
    page.goto(f"/{stack}/locks")
    expect(page.get_by_role("heading", name="Lock 1")).to_be_visible()
    expect(page.get_by_role("button", name="Resolve now")).to_have_count(0)
    page.get_by_role("link", name="Lock 1").click()
    expect(page.get_by_role("group", name="Layers")).to_contain_text("open-dialogue")
    expect(page.locator("main").get_by_role("button")).to_have_count(0)


def test_of_a_private_layer_others_see_only_that_it_is_there(site: Site, page: Page) -> None:
    stella = site.user("stella")
    stack = make_stack(stella, "half")
    done(stella.patch("/repositories/stella/half-reasoning", {"visibility": "private"}))
    for below in ("/locks", "/locks/1", "/proposals"):
        page.goto(f"/{stack}{below}")
        assert "half-reasoning" not in page.content()
    page.goto(f"/{stack}/locks/1")
    expect(page.get_by_role("group", name="Layers").get_by_text("hidden").first).to_be_visible()


def test_the_feed_of_recalls(site: Site, page: Page) -> None:
    stella = site.user("stella")
    stella.publish("stella/bad", make_adapter(7, base=base))
    recall = {"version": "stella/bad@1.0.0", "reason": "Trained on the test set", "severity": "high"}
    done(stella.post("/recalls", recall), 201)
    page.goto("/recalls")
    expect(page.get_by_text("Trained on the test set", exact=True)).to_be_visible()
    check_accessible(page)
    screenshot(page, "recalls")
    page.get_by_role("link", name="Undone").click()
    expect(page.get_by_text("Trained on the test set", exact=True)).to_have_count(0)


def test_the_list_of_merges(site: Site, signed_in: SignedIn) -> None:
    stella = site.user("stella")
    stella.publish("stella/left", make_adapter(11, base=base))
    stella.publish("stella/right", make_adapter(12, base=base))
    recipe = {"layers": [{"adapter": "stella/left@1.0.0"}, {"adapter": "stella/right@1.0.0", "weight": 0.5}]}
    merge = done(stella.post("/merges", recipe), 202)["id"]
    wait_until(lambda: done(stella.get(f"/merges/{merge}"))["state"] == "succeeded", "it was not merged")
    page = signed_in(stella)
    page.goto("/merges")
    check_accessible(page)
    screenshot(page, "merges")
    page.get_by_role("link", name="Failed").click()
    expect(page.get_by_text("None of your merges is failed")).to_be_visible()
    page.get_by_role("link", name="Succeeded").click()
    page.get_by_role("link", name="stella/left + stella/right").click()
    expect(page).to_have_url(f"{site.address}/merges/{merge}")


@pytest.mark.slow
def test_no_payload_runs_on_any_of_these_pages(site: Site, signed_in: SignedIn) -> None:
    xenia = site.user("xenia")
    everything = " ".join(payloads)
    tags = [one_line(payload).replace(",", " ")[:96] for payload in payloads[:64]]
    for place, begin in enumerate(range(0, len(payloads), 40)):
        words = "\n".join(payloads[begin : begin + 40])
        xenia.repository(
            f"xenia/x{place}", description=words[:9000], license=one_line(payloads[place])[:400], tags=tags
        )
    xenia.publish("xenia/x0", make_adapter(1, base=one_line(payloads[0])))
    done(xenia.post("/recalls", {"version": "xenia/x0@1.0.0", "reason": everything[:9900]}), 201)
    for payload in payloads[:40]:
        body = {"name": one_line(payload)[:200], "scopes": ["read"]}
        done(xenia.post("/tokens", body), 201)
    page = signed_in(xenia)
    addresses = ["/", "/search?namespace=xenia", "/xenia", "/recalls", "/settings/tokens", "/settings/audit?limit=200"]
    for address in addresses:
        page.goto(address)
        # whatever waits for somebody to come near
        page.locator("main").hover()
        for _ in range(5):
            page.keyboard.press("Tab")
        assert executed(page) == 0, address
    fields = ("q", "next", "subject", "action", "tag", "license", "base_model")
    for payload in payloads[::25]:
        query = urlencode(dict.fromkeys(fields, one_line(payload)[:90]))
        for address in ("/search", "/login", "/settings/audit"):
            page.goto(f"{address}?{query}")
            assert executed(page) == 0, (address, payload)
