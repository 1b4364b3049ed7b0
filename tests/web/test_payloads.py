"""The payloads are many, and they bite: a page that writes them as they are runs them."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext

from tests.web.payloads import executed, markup, payloads


def test_there_are_two_hundred_of_them() -> None:
    assert len(payloads) >= 200


@pytest.mark.parametrize("tag", ["<script>", "<img src=x onerror", "<svg onload", "<details open", "<input autofocus"])
def test_a_page_that_escapes_nothing_runs_them(new_context: Callable[..., BrowserContext], tag: str) -> None:
    payload = next(payload for payload in markup if payload.startswith(tag))
    page = new_context().new_page()
    page.route("**/careless", lambda route: route.fulfill(content_type="text/html", body=f"<p>{payload}</p>"))
    page.goto("/careless")
    page.wait_for_function("window.__xss > 0")
    assert executed(page)
