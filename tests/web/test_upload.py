"""The upload form, as people use it: files chosen, what they say, parents, publication; cut and loaded again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.conftest import User, done, make_adapter
from tests.web.conftest import Site, check_accessible, screenshot

pytestmark = pytest.mark.slow

SignedIn = Callable[[User], Page]


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for path, data in files.items():
        (folder / path).write_bytes(data)
    return [folder / path for path in files]


def test_an_adapter_that_builds_on_another_is_uploaded(site: Site, signed_in: SignedIn, tmp_path: Path) -> None:
    alice, bob = site.user("upload-alice"), site.user("upload-bob")
    alice.publish("upload-alice/instruct", make_adapter(1, rank=16))
    alice.publish("upload-alice/elsewhere", make_adapter(2, base="acme/other"))
    page = signed_in(bob)
    page.get_by_role("link", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="Upload an adapter")).to_be_visible()
    files = make_adapter(3, rank=8, readme="# Dialogue\n\nIt **talks**.").files
    page.get_by_label("Files of the adapter").set_input_files(written(tmp_path / "out", files))
    expect(page.locator("#contents")).to_contain_text("acme/tiny")
    names, values = (page.locator(f"#contents {tag}").all_inner_texts() for tag in ("dt", "dd"))
    facts = dict(zip(names, values, strict=True))
    assert facts == {
        "Kind": "LoRA",
        "Rank": "8",
        "Alpha": "8",
        "Targets": "q_proj, v_proj",
        "Base model": "acme/tiny",
        "Modules": "2",
        "Parameters": "640",
        "Dtype": "F32",
    }
    page.get_by_label("Name").fill("dialogue")
    page.get_by_label("Public").check()
    page.get_by_label("Description").fill("It talks")
    page.get_by_label("Licence").fill("apache-2.0")
    page.get_by_label("Tags").fill("chat, small")
    page.get_by_label("Adapter 1").fill("instruct")
    offered = page.get_by_role("option", name="upload-alice/instruct@1.0.0")
    expect(offered).to_contain_text("same base · rank 16")
    offered.click()
    expect(page.get_by_label("Adapter 1")).to_have_value("upload-alice/instruct@1.0.0")
    page.get_by_label("Weight").fill("0.5")
    expect(page.locator("#lineage-preview figcaption")).to_have_text(
        "upload-bob/dialogue builds on upload-alice/instruct@1.0.0, weight 0.5."
    )
    page.get_by_role("tab", name="Preview").click()
    expect(page.locator("#card-preview strong")).to_have_text("talks")
    screenshot(page, "upload")
    check_accessible(page)
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/upload-bob/dialogue?version=1.0.0")
    made = done(site.anonymous.get("/repositories/upload-bob/dialogue/versions/1.0.0"))
    assert [(parent["reference"], parent["weight"]) for parent in made["builds_on"]] == [
        ("upload-alice/instruct@1.0.0", 0.5)
    ]
    assert (made["license"], made["base_model"]["name"]) == ("apache-2.0", "acme/tiny")
    assert {file["path"] for file in made["files"]} == set(files)
    assert (
        site.anonymous.get("/repositories/upload-bob/dialogue/versions/1.0.0/files/README.md").content
        == files["README.md"]
    )
    repository = done(site.anonymous.get("/repositories/upload-bob/dialogue"))
    assert (repository["tags"], repository["description"]) == (["chat", "small"], "It talks")


def test_the_next_version_goes_into_what_is_there(site: Site, signed_in: SignedIn, tmp_path: Path) -> None:
    """Of an organisation's repository: nothing is asked that is known already."""
    hans = site.user("upload-hans")
    done(hans.post("/organizations", {"name": "upload-lab"}), 201)
    hans.publish("upload-lab/root", make_adapter(1))
    hans.publish("upload-lab/shared", make_adapter(2))
    page = signed_in(hans)
    page.goto("/upload?repository=upload-lab/shared")
    expect(page.get_by_label("Owner")).to_have_value("upload-lab")
    expect(page.locator("#repository-help")).to_have_text(
        "upload-lab/shared is there (adapter, public): this becomes its next version, after 1.0.0."
    )
    expect(page.get_by_label("Description")).to_be_hidden()
    page.get_by_label("Name").fill("other")
    page.get_by_label("Name").blur()
    expect(page.get_by_label("Description")).to_be_visible()
    page.get_by_label("Name").fill("shared")
    page.get_by_label("Name").blur()
    expect(page.get_by_label("Description")).to_be_hidden()
    page.locator("#files").set_input_files(written(tmp_path / "out", make_adapter(3, readme="# Old").files))
    expect(page.get_by_label("Card")).to_have_value("# Old")
    page.get_by_label("Card").fill("# New\n\nSaid here.")
    # the versions of one repository are offered by its name
    page.get_by_label("Adapter 1").fill("upload-lab/shared@")
    expect(page.locator(".suggestion")).to_have_text(["upload-lab/shared@1.0.0"])
    page.get_by_label("Adapter 1").fill("")
    page.get_by_label("Initialized from", exact=True).fill("upload-lab/shared@1.0.0")
    page.get_by_label("Notes on this version").fill("Trained further")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/upload-lab/shared?version=1.1.0")
    made = done(site.anonymous.get("/repositories/upload-lab/shared/versions/1.1.0"))
    assert made["initialized_from"]["reference"] == "upload-lab/shared@1.0.0"
    assert (made["builds_on"], made["notes"]) == ([], "Trained further")
    card = site.anonymous.get("/repositories/upload-lab/shared/versions/1.1.0/files/README.md")
    assert card.text == "# New\n\nSaid here."


def test_a_stopped_upload_goes_on_when_it_is_asked_for_again(site: Site, signed_in: SignedIn, tmp_path: Path) -> None:
    ines = site.user("upload-ines")
    page = signed_in(ines)
    page.goto("/upload")
    files = make_adapter(1).files | {"attachment.dat": bytes(12 << 20)}
    page.locator("#files").set_input_files(written(tmp_path / "out", files))
    page.get_by_label("Name").fill("stopped")
    parts: list[str] = []

    def held(route: Route) -> None:
        parts.append(route.request.url)
        if len(parts) > 1:
            # stays unanswered: in the midst of it
            return
        route.continue_()

    page.route("**/api/v1/uploads/*/parts/*", held)
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#chosen")).to_contain_text("Sending")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_contain_text("Stopped")
    page.unroute("**/api/v1/uploads/*/parts/*")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/upload-ines/stopped?version=1.0.0")
    assert len(done(ines.get("/repositories/upload-ines/stopped/versions/1.0.0"))["files"]) == 3


def test_an_answer_that_was_lost_makes_no_second_version(site: Site, signed_in: SignedIn, tmp_path: Path) -> None:
    jana = site.user("upload-jana")
    jana.publish("upload-jana/once", make_adapter(1))
    page = signed_in(jana)
    page.goto("/upload?repository=upload-jana/once")
    page.locator("#files").set_input_files(written(tmp_path / "out", make_adapter(2).files))
    lost: list[int] = []

    def lose_the_first(route: Route) -> None:
        if route.request.method != "POST" or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort("connectionreset")

    page.route("**/api/v1/repositories/upload-jana/once/versions", lose_the_first)
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/upload-jana/once?version=1.1.0")
    assert lost == [201]
    versions = done(jana.get("/repositories/upload-jana/once/versions"))["items"]
    assert [version["version"] for version in versions] == ["1.1.0", "1.0.0"]


def test_a_session_that_ended_costs_nothing_that_was_typed(site: Site, signed_in: SignedIn, tmp_path: Path) -> None:
    kurt = site.user("upload-kurt")
    page = signed_in(kurt)
    page.goto("/upload")
    paths = written(tmp_path / "out", make_adapter(1).files)
    page.locator("#files").set_input_files(paths)
    page.get_by_label("Name").fill("kept")
    page.get_by_label("Notes on this version").fill("Typed before")
    # in another tab
    other = page.context.new_page()
    other.goto("/")
    other.locator(".site-nav summary").click()
    other.get_by_role("button", name="Sign out").click()
    expect(other.locator(".site-nav").get_by_role("link", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    page.locator("#form-error").get_by_role("link", name="Sign in again").click()
    page.get_by_label("Token").fill(kurt.token or "")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#resume")).to_contain_text("adapter_config.json")
    expect(page.get_by_label("Notes on this version")).to_have_value("Typed before")
    page.locator("#files").set_input_files(paths)
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/upload-kurt/kept?version=1.0.0")
