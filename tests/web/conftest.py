"""A registry of real processes, and a real Chromium in front of it: one of each for every pytest worker."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.api.conftest import User, done
from tests.conftest import PostgresServer
from tests.crash.installation import Installation, Part, admin_token

root = Path(__file__).parents[2]
axe_source = root / "app" / "web" / "node_modules" / "axe-core" / "axe.min.js"
screenshots = root / "build" / "screenshots"
chromium = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
must_run = os.environ.get("BROWSER_TESTS") == "required"
flags = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
desktop, phone, wide = (1280, 900), (360, 740), (2000, 1100)
patience_ms = int(os.environ.get("BROWSER_PATIENCE_MS", "60000"))
"""What a browser waits for comes at last, also on a machine that is busy with other tests."""
expect.set_options(timeout=patience_ms)


@dataclass
class Site:
    """A server and a worker, and who uses them."""

    address: str
    http: httpx2.Client
    database_url: str
    users: dict[str, User] = field(default_factory=dict)

    @property
    def admin(self) -> User:
        return User(self.http, "admin", admin_token)

    @property
    def anonymous(self) -> User:
        return User(self.http, "", None)

    def user(self, name: str) -> User:
        """Made when it is first asked for: tests that change what is somebody's take names of their own."""
        if name not in self.users:
            done(self.admin.post("/users", {"name": name}), 201)
            body = {"name": "tests", "user": name, "scopes": ["read", "write", "merge"]}
            token = done(self.admin.post("/tokens", body), 201)["token"]
            self.users[name] = User(self.http, name, token)
        return self.users[name]


@pytest.fixture(scope="session")
def site(postgres: PostgresServer) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="glulam-web-") as folder:
        installation = Installation(Path(folder), postgres.create_migrated())
        try:
            # parts as large as people have them, or nearly
            installation.environment["GLULAM_UPLOAD_PART_BYTES"] = str(4 << 20)
            installation.begin([Part.SERVER, Part.WORKER])
            with httpx2.Client(base_url=installation.address, timeout=60) as http:
                yield Site(installation.address, http, installation.url)
            installation.stop()
        finally:
            installation.destroy()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not chromium.exists():
        if must_run:
            pytest.fail(f"there is no {chromium}")
        pytest.skip(f"there is no {chromium}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield launched
        launched.close()


@dataclass
class Watched:
    """What no page may ever do, whoever looks at it."""

    host: str
    faults: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        context.on("console", self.said)
        context.on("request", lambda request: self.asked(request.url))

    def said(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            self.faults.append(message.text)

    def asked(self, url: str) -> None:
        if urlsplit(url).netloc != self.host and not url.startswith(("blob:", "data:")):
            self.faults.append(f"another host was asked: {url}")


@pytest.fixture
def new_context(browser: Browser, site: Site) -> Iterator[Callable[..., BrowserContext]]:
    """Opens browsers without cookies; no page in them may meet an uncaught error, break the policy or ask another host."""
    opened: list[BrowserContext] = []
    watched = Watched(urlsplit(site.address).netloc)

    def open_context(**options: Any) -> BrowserContext:
        width, height = options.pop("size", desktop)
        context = browser.new_context(
            base_url=site.address, viewport={"width": width, "height": height}, reduced_motion="reduce", **options
        )
        context.set_default_timeout(patience_ms)
        watched.watch(context)
        opened.append(context)
        return context

    yield open_context
    for context in opened:
        context.close()
    assert watched.faults == []


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    return new_context().new_page()


def sign_in(page: Page, user: User, next: str = "/") -> Page:
    """By the form, as people do."""
    page.goto(f"/login?next={next}")
    page.get_by_label("Token").fill(user.token or "")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".site-nav summary")).to_have_text(user.name)
    return page


@pytest.fixture
def signed_in(page: Page) -> Callable[[User], Page]:
    """The page, in the hands of somebody who is signed in."""
    return lambda user: sign_in(page, user)


@cache
def axe_script() -> str:
    return axe_source.read_text()


def axe_violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is shown now, in the colours of the moment."""
    # past the page's own policy: axe is no part of it
    page.evaluate(axe_script())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {violation['help']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def check_accessible(page: Page) -> None:
    """axe-core finds nothing, in light and in dark; and nothing is wider than a phone."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        violations = axe_violations(page)
        assert violations == [], f"{page.url} in {scheme}:\n" + "\n".join(violations)
    check_fits(page)


def check_fits(page: Page) -> None:
    """The page does not scroll sideways, on a phone and on a wide screen."""
    before = page.viewport_size or {"width": desktop[0], "height": desktop[1]}
    for width, height in (phone, wide):
        page.set_viewport_size({"width": width, "height": height})
        broad = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert broad <= 0, f"{page.url} is {broad} px wider than {width} px"
    page.set_viewport_size(before)


def screenshot(page: Page, name: str) -> None:
    """In light, in dark and on a phone; for people to look at."""
    screenshots.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size or {"width": desktop[0], "height": desktop[1]}
    variants: tuple[tuple[str, tuple[int, int], Literal["dark", "light"]], ...] = (
        ("dark", desktop, "dark"),
        ("phone", phone, "light"),
        ("light", desktop, "light"),
    )
    for variant, (width, height), scheme in variants:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=screenshots / f"{name}-{variant}.png", full_page=True)
    page.set_viewport_size(before)


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
