"""The first page, the search with its facets, and what belongs to an owner."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.api.conftest import User, done, make_adapter
from tests.web.conftest import Site, check_accessible, phone, screenshot

SignedIn = Callable[[User], Page]
adapters = {
    "instruct-8b": ("acme/llama-8b", "Follows instructions in English and German", "apache-2.0", ["chat", "german"]),
    "dialogue-8b": ("acme/llama-8b", "Long dialogues that stay on their topic", "mit", ["chat"]),
    "reasoning-8b": ("acme/llama-8b", "Reasons step by step", "apache-2.0", ["reasoning"]),
    "watercolour": ("acme/diffusion", "Paints as with watercolours", "cc-by-4.0", ["image"]),
}


@pytest.fixture(scope="module")
def library(site: Site) -> Site:
    """Of flora's, four that are public and one that is not."""
    flora = site.user("flora")
    for seed, (name, (base, description, license, tags)) in enumerate(adapters.items()):
        flora.repository(f"flora/{name}", description=description, license=license, tags=tags)
        flora.publish(f"flora/{name}", make_adapter(seed, base=base))
    flora.repository("flora/secret-8b", visibility="private", license="secret-licence", tags=["chat", "secret-tag"])
    flora.publish("flora/secret-8b", make_adapter(9, base="acme/secret-base"))
    return site


def names(page: Page) -> list[str]:
    return [name.removeprefix("flora/") for name in page.locator(".entry-title").all_inner_texts()]


def test_what_is_found_is_narrowed_by_facets_and_each_list_is_an_address(library: Site, page: Page) -> None:
    page.goto("/search?namespace=flora&sort=name")
    assert names(page) == ["dialogue-8b", "instruct-8b", "reasoning-8b", "watercolour"]
    check_accessible(page)
    screenshot(page, "search")
    page.get_by_role("region", name="Base model").get_by_role("link", name="acme/llama-8b 3").click()
    assert names(page) == ["dialogue-8b", "instruct-8b", "reasoning-8b"]
    page.get_by_role("region", name="Tag").get_by_role("link", name="chat 2").click()
    assert names(page) == ["dialogue-8b", "instruct-8b"]
    # the others of a facet stay to be chosen instead
    expect(page.get_by_role("region", name="Base model").get_by_role("link")).to_have_count(1)
    page.get_by_role("region", name="Licence").get_by_role("link", name="mit 1").click()
    assert names(page) == ["dialogue-8b"]
    expect(page.get_by_role("region", name="Licence").get_by_role("link")).to_have_count(2)
    address = page.url
    page.get_by_role("region", name="Licence").get_by_role("link", name="mit").click()
    page.get_by_role("region", name="Tag").get_by_role("link", name="chat").click()
    assert names(page) == ["dialogue-8b", "instruct-8b", "reasoning-8b"]
    page.goto(address)
    assert names(page) == ["dialogue-8b"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("reason", ["reasoning-8b"]),
        ("reasoned", ["reasoning-8b"]),
        ("flora dialog", ["dialogue-8b"]),
        ("instructions german", ["instruct-8b"]),
        ("watercolour", ["watercolour"]),
        ("8b chat", ["dialogue-8b", "instruct-8b"]),
        ("secret", []),
        ("%", []),
    ],
)
def test_words_are_found_in_names_descriptions_and_tags(
    library: Site, page: Page, words: str, found: list[str]
) -> None:
    page.goto("/search?namespace=flora")
    page.get_by_role("searchbox").fill(words)
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(words)
    assert sorted(name for name in names(page) if name in adapters) == found


def test_words_are_found_in_the_newest_card_that_one_may_read(library: Site, page: Page, signed_in: SignedIn) -> None:
    flora = library.user("flora")
    card = b"# Watercolour\n\nGlazes and washes, on *cold-pressed* paper.\n"
    flora.publish("flora/watercolour", make_adapter(20, base="acme/diffusion").files | {"README.md": card})
    page.goto("/search?q=glaze+paper&namespace=flora")
    assert names(page) == ["watercolour"]
    flora.publish("flora/secret-8b", make_adapter(21).files | {"README.md": b"A zugzwang and a windmill"})
    page.goto("/search?q=zugzwang")
    assert names(page) == []
    whose = signed_in(flora)
    whose.goto("/search?q=zugzwang")
    assert names(whose) == ["secret-8b"]
    flora.publish("flora/watercolour", make_adapter(22, base="acme/diffusion").files | {"README.md": b"Empty"})
    page.goto("/search?q=glaze&namespace=flora")
    assert names(page) == []


def test_the_best_match_comes_first(library: Site, page: Page) -> None:
    library.user("flora").repository("flora/topic", description="Nothing in particular")
    page.goto("/search?q=topic&namespace=flora")
    assert names(page)[:2] == ["topic", "dialogue-8b"]


def test_what_somebody_may_not_read_is_nowhere_and_counts_for_nothing(library: Site, page: Page) -> None:
    page.goto("/search?namespace=flora")
    assert "secret" not in page.locator("main").inner_text()
    counted = page.get_by_role("region", name="Tag").get_by_role("link", name="chat")
    expect(counted).to_have_text("chat2")
    anonymous = page.locator("main").inner_text()
    outsider = library.user("outsider-of-flora")
    told = outsider.request("GET", "/search?namespace=flora").text
    assert "secret" not in told
    assert "chat" in told
    assert anonymous


def test_who_may_read_it_finds_it_with_its_facets(library: Site, signed_in: SignedIn) -> None:
    page = signed_in(library.user("flora"))
    page.goto("/search?namespace=flora")
    assert "secret-8b" in names(page)
    expect(page.get_by_role("region", name="Tag").get_by_role("link", name="chat")).to_have_text("chat3")
    page.get_by_role("region", name="Base model").get_by_role("link", name="acme/secret-base").click()
    assert names(page) == ["secret-8b"]


def test_pages_of_a_list_hold_everything_once(library: Site, page: Page) -> None:
    for sort in ("updated", "created", "name"):
        page.goto(f"/search?namespace=flora&sort={sort}&limit=2")
        seen = names(page)
        while page.get_by_role("link", name="Next page").count():
            page.get_by_role("link", name="Next page").click()
            seen += names(page)
        assert len(seen) == len(set(seen))
        assert set(adapters) <= set(seen)


def test_an_owner_has_a_page_where_there_is_something_to_read(library: Site, page: Page) -> None:
    page.goto("/flora")
    assert set(adapters) <= set(names(page))
    assert "secret-8b" not in names(page)
    check_accessible(page)
    screenshot(page, "owner")
    library.user("hidden-flora").repository("hidden-flora/x", visibility="private")
    shown = []
    for name in ("hidden-flora", "absent-flora"):
        answer = library.http.get(f"/{name}")
        assert answer.status_code == 404
        shown.append({**answer.json(), "request_id": ""} | {"detail": answer.json()["detail"].replace(name, "")})
    assert shown[0] | {"reference": ""} == shown[1] | {"reference": ""}


def test_the_first_page_says_what_this_is_and_what_is_new(library: Site, page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    check_accessible(page)
    screenshot(page, "home")


def test_the_first_page_of_somebody_begins_with_what_is_theirs(library: Site, signed_in: SignedIn) -> None:
    page = signed_in(library.user("flora"))
    expect(page.get_by_role("heading", name="Yours")).to_be_visible()
    expect(page.get_by_role("link", name="flora/secret-8b").first).to_be_visible()
    check_accessible(page)
    screenshot(page, "home-signed-in")


def test_on_a_phone_the_facets_are_folded(library: Site, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(size=phone).new_page()
    page.goto("/search?namespace=flora&kind=")
    expect(page.get_by_text("Narrow down")).to_be_visible()
    page.goto("/search")
    expect(page.get_by_role("region", name="Tag")).not_to_be_visible()
    page.get_by_text("Narrow down").click()
    expect(page.get_by_role("region", name="Tag")).to_be_visible()


def test_without_a_script_every_list_works(library: Site, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/search?namespace=flora&sort=name")
    page.get_by_role("region", name="Kind").get_by_role("link", name="adapter").click()
    assert "instruct-8b" in names(page)
    assert done(library.http.get("/api/v1/repositories?namespace=flora"))["items"]


def test_the_reference_of_the_api_comes_from_this_server(site: Site, page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="REST API").click()
    operation = page.locator(".operation", has_text="/api/v1/merges/plan")
    expect(operation).to_be_visible()
    operation.locator("summary").click()
    expect(operation.get_by_role("heading", name="Answers")).to_be_visible()
    document = done(site.http.get("/api/openapi.json"))
    assert page.locator(".operation").count() == sum(len(methods) for methods in document["paths"].values())
