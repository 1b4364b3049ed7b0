"""Merging in the browser: two adapters are laid beside each other, planned, merged, downloaded, published."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.api.conftest import User, done, make_adapter
from tests.web.conftest import Site, check_accessible, screenshot, sign_in
from tests.web.merging import merged
from tests.web.payloads import executed
from tests.web.test_repository_attacks import lines, weights

SignedIn = Callable[[User], Page]


@pytest.fixture(scope="module")
def team(site: Site) -> User:
    """instruct 1.0.0 and 2.0.0; dialogue and reasoning on the first, tools on the second; one on another base."""
    team = site.user("cabinet")
    team.publish("cabinet/instruct", make_adapter(1))
    team.publish("cabinet/dialogue", make_adapter(2), builds_on=["cabinet/instruct@1.0.0"])
    team.publish("cabinet/reasoning", make_adapter(3), builds_on=["cabinet/instruct@1.0.0"])
    team.publish("cabinet/instruct", make_adapter(4), version="2.0.0")
    team.publish("cabinet/tools", make_adapter(5), builds_on=["cabinet/instruct@2.0.0"])
    team.publish("cabinet/stranger", make_adapter(6, base="acme/other"))
    return team


def test_somebody_merges_two_adapters_and_downloads_the_result(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    page.locator(".site-nav summary").click()
    page.get_by_role("link", name="New merge").click()
    page.get_by_label("Search adapters, or give").fill("cabinet")
    page.get_by_role("button", name="Add cabinet/dialogue@1.0.0").click()
    expect(page.locator("#plan-state")).to_have_text("Ready")
    # what does not fit says why, and cannot be added
    unfit = page.locator(".candidates .unfit", has_text="cabinet/stranger")
    expect(unfit).to_contain_text("trained on another base model, acme/other")
    expect(unfit.get_by_role("button")).to_have_count(0)
    page.get_by_role("button", name="Add cabinet/reasoning@1.0.0").click()
    page.get_by_label("Weight of layer 2", exact=True).fill("0.7")
    trunk = page.locator(".plan-table tr", has_text="trunk")
    expect(trunk).to_contain_text("cabinet/instruct@1.0.0")
    expect(trunk).to_contain_text("Needed: cabinet/dialogue@1.0.0 and cabinet/reasoning@1.0.0 build on it")
    expect(page.locator(".plan-table tr", has_text="cabinet/reasoning@1.0.0").last).to_contain_text("0.7")
    expect(page).to_have_url(re.compile(r"layer=cabinet/reasoning@1\.0\.0&weight=0\.7"))
    screenshot(page, "compose")
    check_accessible(page)
    # the URL is the state
    page.reload()
    expect(page.get_by_label("Weight of layer 2", exact=True)).to_have_value("0.7")
    page.get_by_role("button", name="Start the merge").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is done")
    screenshot(page, "merge-done")
    check_accessible(page)
    id = page.url.rsplit("/", 1)[1]
    merge = done(team.get(f"/merges/{id}"))
    for file in merge["result"]["files"]:
        with page.expect_download() as download:
            page.get_by_role("link", name=file["path"]).click()
        data = Path(download.value.path()).read_bytes()
        assert data == team.get(f"/merges/{id}/files/{file['path']}").content
        assert "sha256:" + hashlib.sha256(data).hexdigest() == file["digest"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all as a tar").click()
    with tarfile.open(fileobj=io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        names = {member.name.partition("/")[2] for member in archive}
    assert names == {file["path"] for file in merge["result"]["files"]}


def test_a_conflict_is_shown_with_both_paths_and_solved_by_a_pin(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    page.goto("/merges/new?layer=cabinet/dialogue@1.0.0&layer=cabinet/tools@1.0.0")
    plan = page.locator("#plan")
    expect(plan).to_contain_text("Two versions of one adapter")
    expect(plan.locator(".paths li")).to_have_text(
        [
            re.compile(r"cabinet/dialogue@1\.0\.0 → stands on →\s+cabinet/instruct@1\.0\.0"),
            re.compile(r"cabinet/tools@1\.0\.0 → stands on →\s+cabinet/instruct@2\.0\.0"),
        ]
    )
    expect(plan.locator("svg .box")).to_have_count(4)
    expect(plan.locator("svg .culprit")).to_have_count(2)
    expect(page.get_by_role("button", name="Start the merge")).to_have_count(0)
    screenshot(page, "compose-conflict")
    check_accessible(page)
    page.get_by_role("button", name="Use cabinet/instruct@2.0.0").click()
    expect(page.locator("#plan-state")).to_have_text("Ready")
    expect(page.locator("#layers")).to_contain_text("uses cabinet/instruct@2.0.0")
    expect(page).to_have_url(re.compile("pin=cabinet/instruct@2.0.0"))
    expect(plan).to_contain_text("cabinet/instruct@2.0.0 stands in for cabinet/instruct@1.0.0")
    page.go_back()
    expect(plan).to_contain_text("Two versions of one adapter")
    page.go_forward()
    expect(page.locator("#plan-state")).to_have_text("Ready")
    page.get_by_role("button", name="Start the merge").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is done")
    merge = done(team.get(f"/merges/{page.url.rsplit('/', 1)[1]}"))
    assert merge["recipe"]["conflicts"] == {"cabinet/instruct": "2.0.0"}
    assert [entry["reference"] for entry in merge["plan"]["trunk"]] == ["cabinet/instruct@2.0.0"]


def test_a_truncated_result_is_told_by_plots_and_published(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    page.goto("/merges/new?layer=cabinet/dialogue@1.0.0&layer=cabinet/reasoning@1.0.0")
    page.get_by_label("How the layers are put together").select_option("ties")
    expect(page.locator("#plan")).to_contain_text("No exact adapter exists")
    page.get_by_label("density").fill("2")
    expect(page.locator("#refusal")).to_contain_text("from 0.0001 to 1")
    expect(page.get_by_label("density")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("density").fill("0.5")
    expect(page.locator("#plan")).to_contain_text("No exact adapter exists")
    page.get_by_role("button", name="The best adapter of rank 64").click()
    page.get_by_label("Rank", exact=True).fill("3")
    expect(page.locator("#plan-state")).to_have_text("Ready")
    expect(page.locator("#plan dl")).to_contain_text("up to 3")
    page.get_by_role("button", name="Start the merge").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is done")
    report = done(team.get(f"/merges/{page.url.rsplit('/', 1)[1]}"))["report"]
    expect(page.locator("#merge")).to_contain_text(f"Kept {report['energy_kept'] * 100:.4f} % of the energy")
    expect(page.locator(".table-wrap.tall tbody tr")).to_have_count(len(report["per_module"]))
    screenshot(page, "merge-truncated")
    check_accessible(page)
    other = page.locator(".table-wrap.tall tbody a:not([aria-current])")
    name = other.inner_text()
    other.click()
    expect(page.locator("#spectrum strong")).to_have_text(name)
    expect(page).to_have_url(re.compile("module="))

    page.get_by_role("textbox", name="Repository").fill("cabinet/dialogue")
    page.get_by_role("textbox", name="Version").fill("1.0.0")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("The version number is taken")
    expect(page.get_by_role("textbox", name="Repository")).to_have_value("cabinet/dialogue")
    check_accessible(page)
    page.get_by_role("textbox", name="Repository").fill("cabinet/chat")
    page.get_by_role("textbox", name="Version").fill("")
    page.get_by_role("button", name="Publish").click()
    expect(page).to_have_url(re.compile(r"/cabinet/chat\?version=1\.0\.0"))
    made = done(team.get("/repositories/cabinet/chat/versions/1.0.0"))
    assert {entry["reference"] for entry in made["merged_from"]} == {
        "cabinet/instruct@1.0.0",
        "cabinet/dialogue@1.0.0",
        "cabinet/reasoning@1.0.0",
    }


def test_it_all_goes_without_javascript(site: Site, team: User, new_context: Callable[..., BrowserContext]) -> None:
    page = sign_in(new_context(java_script_enabled=False).new_page(), team)
    page.goto("/merges/new?q=cabinet")
    page.get_by_role("button", name="Add cabinet/dialogue@1.0.0").click()
    page.get_by_role("button", name="Add cabinet/tools@1.0.0").click()
    expect(page.locator("#refusal")).to_contain_text("Two versions of one adapter")
    page.get_by_role("button", name="Use cabinet/instruct@1.0.0").click()
    page.get_by_label("Weight of layer 1", exact=True).fill("0.25")
    page.get_by_role("button", name="Move cabinet/tools@1.0.0 up").click()
    expect(page.get_by_label("Weight of layer 2", exact=True)).to_have_value("0.25")
    page.get_by_label("How large").select_option("energy")
    page.get_by_role("button", name="Show the plan").last.click()
    page.get_by_label("Share to keep").fill("0.9")
    # as Enter in a field does
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("energy=0.9"))
    page.get_by_role("button", name="Start the merge").click()
    expect(page).to_have_url(re.compile("/merges/[0-9a-f-]{36}"))
    heading = page.get_by_role("heading", level=1)
    while "is done" not in heading.inner_text():
        assert re.search("waits|being merged", heading.inner_text())
        page.get_by_role("link", name="Look again").click()
    merge = done(team.get(f"/merges/{page.url.rsplit('/', 1)[1]}"))
    assert [(layer["adapter"], layer["weight"]) for layer in merge["recipe"]["layers"]] == [
        ("cabinet/tools@1.0.0", 1),
        ("cabinet/dialogue@1.0.0", 0.25),
    ]
    assert merge["recipe"]["output"]["rank"] == {"energy": 0.9}


def test_the_composer_is_worked_with_the_keyboard_alone(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    page.goto("/merges/new")
    page.get_by_label("Search adapters, or give").focus()
    page.keyboard.type("cabinet/reasoning@1.0.0")
    # the search follows while it is typed, and the focus stays in the field
    add = page.get_by_role("button", name="Add cabinet/reasoning@1.0.0")
    expect(page.locator(".candidates li")).to_have_count(1)
    expect(page.get_by_label("Search adapters, or give")).to_be_focused()
    while not add.evaluate("element => element === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#plan-state")).to_have_text("Ready")
    slider = page.get_by_label("Weight of layer 1, roughly")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Weight of layer 1", exact=True)).to_have_value("0.95")
    expect(page).to_have_url(re.compile(r"weight=0\.95"))
    start = page.get_by_role("button", name="Start the merge")
    expect(start).to_be_enabled()
    start.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("is done")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Merge")


def test_the_same_request_is_shown_as_command_python_and_rest(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    page.goto(
        "/merges/new?layer=cabinet/dialogue@prod&layer=cabinet/dialogue@1.0.0&weight=0.5&method=slerp&slerp.t=0.25"
    )
    page.locator("#same-request summary").click()
    rest = page.get_by_role("region", name="REST").inner_text()
    recipe = json.loads(rest[rest.index("{") : rest.rindex("}") + 1])
    assert recipe == {
        "layers": [{"adapter": "cabinet/dialogue@prod"}, {"adapter": "cabinet/dialogue@1.0.0", "weight": 0.5}],
        "method": {"name": "slerp", "t": 0.25},
    }
    command = page.get_by_role("region", name="Command line").inner_text()
    assert "--method slerp --parameter t=0.25" in command
    assert f"Registry('{site.address}')" in page.get_by_role("region", name="Python").inner_text()
    # and the refusal stands at the layer that it is about
    expect(page.get_by_label("Layer 1", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("button", name="Leave out cabinet/dialogue@prod")).to_be_visible()


def test_a_token_that_may_not_merge_plans_and_does_not_start(
    site: Site, team: User, new_context: Callable[..., BrowserContext]
) -> None:
    token = done(team.post("/tokens", {"name": "reader", "scopes": ["read"]}), 201)["token"]
    page = sign_in(new_context().new_page(), User(site.http, "cabinet", token))
    page.goto("/merges/new?layer=cabinet/dialogue@1.0.0")
    expect(page.locator("#plan")).to_contain_text("a token that may not merge")
    expect(page.get_by_role("button", name="Start the merge")).to_have_count(0)


def test_who_was_signed_out_elsewhere_signs_in_and_goes_on_where_they_were(
    site: Site, team: User, signed_in: SignedIn
) -> None:
    page = signed_in(team)
    page.goto("/merges/new?layer=cabinet/dialogue@1.0.0")
    page.context.clear_cookies()
    page.get_by_label("Weight of layer 1", exact=True).fill("0.5")
    expect(page).to_have_url(re.compile("/login"))
    page.get_by_label("Token").fill(team.token or "")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Weight of layer 1", exact=True)).to_have_value("0.5")
    expect(page.locator("#plan-state")).to_have_text("Ready")


def test_a_waiting_merge_is_withdrawn(site: Site, team: User, signed_in: SignedIn) -> None:
    page = signed_in(team)
    merge = team.post("/merges", {"layers": [{"adapter": "cabinet/tools@1.0.0", "weight": 0.123}]}).json()
    page.goto(f"/merges/{merge['id']}")
    # the worker may be faster than anybody can be
    form = page.locator(f"form[action='/merges/{merge['id']}/cancel']")
    token = page.locator("meta[name=csrf-token]").get_attribute("content")
    answer = page.request.post(f"/merges/{merge['id']}/cancel", form={"csrf_token": token or ""}, max_redirects=0)
    assert answer.status == 303
    page.goto(f"/merges/{merge['id']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("was cancelled|is done"))
    expect(form).to_have_count(0)


def test_no_text_of_an_adapter_and_none_in_a_url_runs(site: Site, signed_in: SignedIn) -> None:
    attacker = site.user("merge-attacker")
    attacker.repository("adapter", description="".join(lines)[:9_000])
    base = {"name": lines[0], "revision": lines[5], "quantization": lines[6]}
    attacker.publish("merge-attacker/adapter", weights(), base_model=base)
    attacker.publish("merge-attacker/other", make_adapter(9, base=lines[1]))
    page = signed_in(attacker)
    # as something that fits, as something that does not, as a plan, and as a refusal
    for query in (
        "q=merge-attacker",
        "q=merge-attacker&layer=merge-attacker/other@1.0.0",
        "layer=merge-attacker/adapter@1.0.0&size=rank&rank=1",
        "layer=merge-attacker/adapter@1.0.0&layer=merge-attacker/other@1.0.0",
    ):
        page.goto(f"/merges/new?{query}")
        expect(page.locator("#plan-title")).to_be_visible()
        assert "__xss" in page.locator("main").inner_text(), "it is shown, as text"
        assert executed(page) == 0
    # each module of the result is called by a payload
    recipe = {"layers": [{"adapter": "merge-attacker/adapter@1.0.0"}], "output": {"rank": 1}}
    merge = merged(attacker, recipe)
    assert len(merge["report"]["per_module"]) > 150
    page.goto(f"/merges/{merge['id']}")
    expect(page.locator(".table-wrap.tall tbody tr")).to_have_count(len(merge["report"]["per_module"]))
    assert executed(page) == 0
    page.goto("/merge-attacker/adapter/lineage")
    expect(page.locator("#graph")).to_have_attribute("data-state", "drawn")
    assert executed(page) == 0
    for start in range(0, len(lines), 30):
        some = lines[start : start + 30]
        fields = [("layer", text) for text in some] + [("weight", some[0]), ("q", some[-1]), ("method", some[1])]
        fields += [("pin", text) for text in some[:5]] + [("rank", some[2]), ("size", "rank"), ("ranks", some[3])]
        page.goto(f"/merges/new?{urlencode(fields)}")
        expect(page.locator("#plan-title")).to_be_visible()
        assert executed(page) == 0
