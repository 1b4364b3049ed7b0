"""A refusal stands at the field that it concerns, and what was typed stays: with a script and without one."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from httpx2 import Response
from playwright.sync_api import Page, expect

from app.api.problems import statuses
from app.web import refusals
from tests.api.conftest import User, done, refused
from tests.web.conftest import Site, check_accessible, screenshot
from tests.web.upload_cases import Case, cases, mine, owner, prepare

pytestmark = pytest.mark.slow

shown_error = re.compile(r'<span class="error" id="([a-z_]+)-error">(.+?)</span>', re.DOTALL)


def test_without_script_the_page_comes_back_with_the_refusal_at_its_field(site: Site) -> None:
    prepare(site)
    rosa = site.user(owner)
    wrong = {}
    for name, case in sorted(cases().items()):
        response = send(rosa, case)
        errors = shown_error.findall(response.text)
        if response.status_code != case.status or [field for field, _ in errors] != [case.at]:
            wrong[name] = f"{response.status_code} {errors}"
        typed = [value for field, value in case.typed.items() if field not in {"visibility", "namespace"}]
        for value in [*typed, *(reference for reference, _ in case.parents)]:
            assert value in unescape(response.text), name
    assert wrong == {}
    refused(rosa.get(f"/repositories/{owner}/fresh"), 404, "not-found")
    assert [version["version"] for version in done(rosa.get(f"/repositories/{mine}/versions"))["items"]] == ["1.0.0"]


def send(user: User, case: Case) -> Response:
    fields = {"namespace": owner, "name": mine.partition("/")[2]} | dict(case.typed)
    parts: list[tuple[str, tuple[str | None, str | bytes]]] = [(name, (None, value)) for name, value in fields.items()]
    for reference, weight in case.parents:
        parts += [("builds_on", (None, reference)), ("weights", (None, weight))]
    parts += [("files", (path, data)) for path, data in case.files.items()]
    return user.request("POST", "/upload", files=parts, headers={"Accept": "text/html"})


def test_with_a_script_the_field_is_gone_to(site: Site, signed_in: Callable[[User], Page], tmp_path: Path) -> None:
    """All of them in one browser: each is filled in, refused, and seen."""
    prepare(site)
    page = signed_in(site.user(owner))
    wrong: dict[str, str] = {}
    for name, case in sorted(cases().items()):
        if case.is_for_forms:
            continue
        page.evaluate("sessionStorage.clear()")
        page.goto(f"/upload?repository={mine}")
        fill(page, case, tmp_path / re.sub(r"\W", "-", name))
        page.get_by_role("button", name="Publish").click()
        error = page.locator(".error[id$='-error']:visible, #form-error:visible")
        expect(error, name).to_have_count(1)
        field = (error.get_attribute("id") or "").removesuffix("-error")
        focused = page.evaluate("document.activeElement.getAttribute('aria-describedby') ?? ''")
        if field != case.at or f"{case.at}-error" not in focused.split():
            wrong[name] = f"{field}, focus on {focused!r}: {error.inner_text()}"
    assert wrong == {}
    screenshot(page, "upload-refused")
    check_accessible(page)
    assert site.user(owner).get(f"/repositories/{mine}/versions").json()["items"][0]["version"] == "1.0.0"


def fill(page: Page, case: Case, folder: Path) -> None:
    folder.mkdir()
    for path, data in case.files.items():
        (folder / path).write_bytes(data)
    page.locator("#files").set_input_files([folder / path for path in case.files])
    expect(page.locator("#chosen li")).to_have_count(len(case.files))
    for field, value in case.typed.items():
        page.locator(f"[name={field}]").fill(value)
        # what it is decides which of the others are asked for
        page.locator(f"[name={field}]").dispatch_event("change")
    for index, (reference, weight) in enumerate(case.parents):
        if index > 0:
            page.get_by_role("button", name="Add another").click()
        page.locator("[name=builds_on]").nth(index).fill(reference)
        page.locator("[name=weights]").nth(index).fill(weight)


def test_the_table_knows_only_problems_that_there_are() -> None:
    assert refusals.problems.keys() <= {kind.kebab_name() for kind in statuses}
