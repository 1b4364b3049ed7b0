"""The lineage of a version in the browser: walked along, collapsed, searched, and as a picture."""

import random
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from sqlalchemy import text

from app.lineage.engine import Database
from tests.api.conftest import User, done, make_adapter
from tests.lineage.dags import Dag
from tests.web.conftest import Site, check_accessible, screenshot, sign_in
from tests.web.merging import merged
from tests.web.payloads import executed

SignedIn = Callable[[User], Page]
svg = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def team(site: Site) -> User:
    """hidden ← instruct ← dialogue, reasoning; chat merged from all three; roleplay continues dialogue; tools is recalled, gone
    deleted, and after stands on gone."""
    team, secret = site.user("joinery"), site.user("recluse")
    secret.repository("hidden", visibility="private")
    secret.publish("recluse/hidden", make_adapter(31))
    done(site.admin.post("/organizations", {"name": "shared", "members": [{"user": "recluse", "role": "owner"}]}), 201)
    secret.publish("shared/instruct", make_adapter(32), initialized_from="recluse/hidden@1.0.0")
    team.publish("joinery/dialogue", make_adapter(33), builds_on=["shared/instruct@1.0.0"])
    team.publish("joinery/reasoning", make_adapter(34), builds_on=[{"version": "shared/instruct@1.0.0"}])
    team.repository("chat")
    layers = [{"adapter": "joinery/dialogue@1.0.0"}, {"adapter": "joinery/reasoning@1.0.0", "weight": 0.5}]
    merged(team, {"layers": layers, "publish": {"repository": "joinery/chat"}})
    team.publish("joinery/roleplay", make_adapter(35), initialized_from="joinery/dialogue@1.0.0")
    team.publish("joinery/tools", make_adapter(36), builds_on=["joinery/dialogue@1.0.0"])
    team.publish("joinery/gone", make_adapter(37), builds_on=["joinery/dialogue@1.0.0"])
    team.publish("joinery/after", make_adapter(38), builds_on=["joinery/gone@1.0.0"])
    assert team.delete("/repositories/joinery/gone/versions/1.0.0").status_code == 204
    done(team.post("/recalls", {"version": "joinery/tools@1.0.0", "reason": "trained on the test set"}), 201)
    return team


def labelled(page: Page, name: str) -> Locator:
    """The box of a repository."""
    return page.locator("#graph a.box", has=page.locator(f"text.label:text-is('{name}')"))


def shown(page: Page) -> None:
    expect(page.locator("#graph")).to_have_attribute("data-state", "drawn")


def test_somebody_walks_along_a_lineage(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    page.goto("/joinery/dialogue")
    page.get_by_role("link", name="Lineage", exact=True).click()
    shown(page)
    expect(page.locator("#graph a.box")).to_have_count(8)
    root = labelled(page, "joinery/dialogue")
    expect(root).to_have_class(re.compile("root"))
    # a hidden ancestor is there and says nothing else
    hidden = labelled(page, "hidden")
    expect(hidden).to_have_count(1)
    assert hidden.get_attribute("href") is None
    assert hidden.get_attribute("aria-label") == "An adapter that you may not read"
    assert "recluse" not in page.content()
    expect(labelled(page, "joinery/tools")).to_have_class(re.compile("recalled"))
    gone = labelled(page, "joinery/gone")
    expect(gone).to_have_class(re.compile("deleted"))
    assert gone.get_attribute("href") is None
    # each relation has its stroke
    for relation in ("builds_on", "initialized_from", "merged_from"):
        assert page.locator(f"#graph path.{relation}").count() > 0
    strokes = {
        relation: page.locator(f"#graph path.{relation}").first.evaluate(
            "line => getComputedStyle(line).strokeDasharray"
        )
        for relation in ("builds_on", "initialized_from", "merged_from")
    }
    assert len(set(strokes.values())) == 3
    screenshot(page, "lineage")
    check_accessible(page)

    # the keyboard goes along the edges
    page.get_by_role("button", name="This version").click()
    expect(root).to_be_focused()
    page.keyboard.press("ArrowLeft")
    instruct = labelled(page, "shared/instruct")
    expect(instruct).to_be_focused()
    page.keyboard.press(" ")
    expect(hidden).to_have_count(0)
    expect(instruct.locator("desc")).to_contain_text("collapsed, 1 hidden")
    expect(labelled(page, "shared/instruct")).to_be_focused()
    page.keyboard.press(" ")
    expect(hidden).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    expect(root).to_be_focused()
    # by the pointer
    toggle = page.locator("#graph .toggle").last
    before = page.locator("#graph a.box").count()
    toggle.click()
    expect(page.locator("#graph a.box")).not_to_have_count(before)
    expect(page.locator("#graph .behind")).to_have_text("1")
    page.locator("#graph .toggle").last.click()
    expect(page.locator("#graph a.box")).to_have_count(before)
    # found by its name
    page.get_by_label("Find in this graph").fill("joinery roleplay")
    expect(page.locator("#graph-found")).to_contain_text("1 version found")
    page.keyboard.press("Enter")
    expect(labelled(page, "joinery/roleplay")).to_be_focused()
    expect(page.locator("#graph a.found")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.address}/joinery/roleplay?version=1.0.0")


def test_trunk_and_branches_of_a_merge_stand_out(site: Site, team: User, page: Page) -> None:
    page.goto("/joinery/chat/lineage")
    shown(page)
    expect(page.locator("#graph a.box.trunk")).to_have_count(1)
    expect(page.locator("#graph a.box.branch")).to_have_count(2)
    expect(labelled(page, "joinery/chat").locator("desc")).to_contain_text(
        "merged from joinery/reasoning@1.0.0 at weight 0.5, as branch"
    )
    expect(page.locator(".legend")).to_contain_text("a layer of this merge")
    screenshot(page, "lineage-merge")


def test_it_is_dragged_and_zoomed(site: Site, team: User, page: Page) -> None:
    page.goto("/joinery/dialogue/lineage?depth=1")
    shown(page)
    drawing = page.locator("#graph > svg")
    before, size = drawing.bounding_box(), drawing.get_attribute("width")
    assert before is not None
    graph = page.locator("#graph").bounding_box()
    assert graph is not None
    page.mouse.move(graph["x"] + 20, graph["y"] + 20)
    page.mouse.down()
    page.mouse.move(graph["x"] + 60, graph["y"] + 50, steps=4)
    page.mouse.up()
    after = drawing.bounding_box()
    assert after is not None
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (40, 30)
    page.get_by_role("button", name="Zoom in").click()
    assert float(drawing.get_attribute("width") or 0) == pytest.approx(float(size or 0) * 1.25)
    page.mouse.move(graph["x"] + 100, graph["y"] + 100)
    page.keyboard.down("Control")
    page.mouse.wheel(0, 300)
    page.keyboard.up("Control")
    expect(drawing).not_to_have_attribute("width", f"{float(size or 0) * 1.25:g}")
    # dragging a version is no click on it
    box = labelled(page, "joinery/dialogue").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 30, steps=5)
    page.mouse.up()
    assert "/lineage" in page.url


def test_without_a_script_there_is_the_list(site: Site, team: User, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/joinery/chat/lineage")
    expect(page.locator("#graph-section")).to_be_hidden()
    row = page.locator("#list tr", has_text="this version")
    expect(row).to_contain_text("merged from joinery/reasoning@1.0.0 at weight 0.5 branch")
    expect(row).to_contain_text("merged from shared/instruct@1.0.0 trunk")
    expect(page.locator("#list tr", has_text="a hidden adapter").last).to_contain_text("You may not read it")
    page.get_by_label("Direction").select_option("descendants")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#list tbody tr")).to_have_count(1)
    check_fitting = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert check_fitting


def test_the_picture_shows_what_everybody_may_see_and_to_its_owner_more(
    site: Site, team: User, new_context: Callable[..., BrowserContext]
) -> None:
    path = "/shared/instruct/lineage.svg?version=1.0.0"
    public = site.anonymous.request("GET", path)
    assert public.status_code == 200
    assert public.headers["content-type"].startswith("image/svg+xml")
    assert public.headers["cache-control"] == "public, max-age=300"
    assert "'unsafe-inline'" not in public.headers["content-security-policy"]
    assert "recluse" not in public.text
    assert "you may not read it" in public.text
    drawing = ElementTree.fromstring(public.text)
    labels = [text.text for text in drawing.iter(f"{svg}text") if text.get("class") == "label"]
    assert {"hidden", "shared/instruct", "joinery/dialogue"} <= set(labels)
    own = site.user("recluse").request("GET", path)
    assert own.headers["cache-control"] == "private, no-cache"
    assert "recluse/hidden" in own.text
    assert own.headers["etag"] != public.headers["etag"]
    again = site.anonymous.request("GET", path, headers={"If-None-Match": public.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert site.anonymous.request("GET", "/recluse/hidden/lineage.svg").status_code == 404
    assert site.user("recluse").request("GET", "/recluse/hidden/lineage.svg").status_code == 200
    # opened by itself it has its colours, and its policy lets nothing else in
    page = new_context().new_page()
    page.goto(path)
    stroke = page.locator("g.root rect").evaluate("box => getComputedStyle(box).strokeWidth")
    assert stroke == "2.5px"
    assert executed(page) == 0


def test_a_deleted_version_and_a_private_one_have_no_graph(site: Site, team: User, page: Page) -> None:
    answer = page.goto("/joinery/gone/lineage?version=1.0.0")
    assert answer is not None
    assert answer.status == 410
    answer = page.goto("/recluse/hidden/lineage")
    assert answer is not None
    assert answer.status == 404


def test_a_private_lineage_is_for_those_who_may_read_it(
    site: Site, team: User, new_context: Callable[..., BrowserContext]
) -> None:
    page = sign_in(new_context().new_page(), site.user("recluse"))
    page.goto("/recluse/hidden/lineage")
    shown(page)
    expect(labelled(page, "recluse/hidden")).to_have_count(1)
    expect(page.locator("main")).to_contain_text("this repository is private, so that they see nothing")


def test_a_thousand_versions_are_drawn_and_moved(site: Site, team: User, page: Page) -> None:
    """How fast is printed, for people to compare; what is asserted holds on any machine."""
    dice = random.Random(4)
    size = 1_000
    parents: list[list[tuple[int, str]]] = [[]]
    for place in range(1, size):
        before = {dice.randrange(max(0, place - 200), place) for _ in range(dice.choice([1, 1, 1, 2, 2, 3]))}
        parents.append(
            [(parent, dice.choice(["builds_on", "builds_on", "initialized_from"])) for parent in sorted(before)]
        )
    dag = Dag(parents, [place // 4 for place in range(size)])
    database = Database.open(site.database_url, pool_size=2)
    dag.write(database)
    with database.begin() as tx:
        # what its files say is a real version's
        tx.execute(
            text(
                "UPDATE versions SET summary = known.summary, facts = known.facts FROM versions known"
                " JOIN repositories ON repositories.id = known.repository_id AND repositories.key = 'dialogue'"
                " WHERE versions.id = ANY(:ids)"
            ),
            {"ids": dag.ids},
        )
    database.close()
    tools = page.context.new_cdp_session(page)
    # of the page's main thread, whoever else is at work on the machine
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(f"/{dag.name(0)}/lineage?version={dag.number(0)}")
    shown(page)
    assert page.locator("#graph a.box").count() == size
    edges = sum(len(found) for found in parents)
    pieces = page.evaluate(
        "Array.from(document.querySelectorAll('#graph path.line'), line => line.getAttribute('d')).join('')"
    )
    # an edge is cut where it passes a layer
    assert pieces.count("M") >= edges
    took = page.evaluate("performance.getEntriesByName('graph-drawn')[0].duration")
    since = page.evaluate("performance.getEntriesByName('graph-drawn')[0].startTime")
    spent = {found["name"]: found["value"] for found in tools.send("Performance.getMetrics")["metrics"]}
    page.evaluate(
        """() => {
            window.frames_seen = [];
            const tick = (at) => { window.frames_seen.push(at); requestAnimationFrame(tick); };
            requestAnimationFrame(tick);
        }"""
    )
    for zoom in ("as it opens", "all of it"):
        if zoom == "all of it":
            page.get_by_role("button", name="All", exact=True).click()
        graph = page.locator("#graph").bounding_box()
        assert graph is not None
        before = page.evaluate("window.frames_seen.length")
        transform = page.locator("#graph > svg").evaluate("drawing => drawing.style.transform")
        page.mouse.move(graph["x"] + graph["width"] - 5, graph["y"] + graph["height"] / 2)
        page.mouse.down()
        # there and back, as a hand does
        for turn in range(3):
            x = graph["x"] + (5 if turn % 2 == 0 else graph["width"] - 5)
            page.mouse.move(x, graph["y"] + 40 + 60 * turn, steps=60)
        page.mouse.up()
        assert page.locator("#graph > svg").evaluate("drawing => drawing.style.transform") != transform
        seen = page.evaluate("window.frames_seen")[before:]
        gaps = sorted(later - earlier for earlier, later in pairwise(seen))
        rate = 1000 * len(gaps) / sum(gaps)
        sys.stdout.write(
            f"panning {size} versions, {zoom}: {rate:.0f} frames/s, 95 % within {gaps[len(gaps) * 95 // 100]:.0f} ms\n"
        )
        assert len(seen) > 10
    told = (
        f"{size} versions, {edges} edges: laid out and drawn in {took:.0f} ms, begun {since:.0f} ms after the page was asked for;"
        f" {spent['TaskDuration'] * 1000:.0f} ms of the page's CPU time"
    )
    sys.stdout.write(told + "\n")
    page.get_by_role("button", name="All", exact=True).click()
    screenshot(page, "lineage-1000")
