"""What no page of this registry leaves out, and what no other site can do with somebody's session."""

import re
from collections.abc import Iterable, Iterator
from uuid import uuid4

import httpx2
import psycopg
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from app.api import accounts, merges, recalls, repositories, stacks, uploads, versions, webhooks
from app.api.auth import OpenToAll
from app.hub import face as hub
from app.lineage.engine import libpq_url
from app.web import face
from tests.api.conftest import make_adapter
from tests.web.conftest import Site

token_in_form = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')
token_in_head = re.compile(r'name="csrf-token" content="([0-9a-f]{64})"')
words = {
    "namespace": "greta",
    "name": "kept",
    "id": str(uuid4()),
    "number": "1",
    "first": "1",
    "second": "2",
    "path": "x",
    "pair": "1.0.0...1.1.0",
    "ref": "1.0.0",
}


def routes_of(routers: Iterable[APIRouter], methods: frozenset[str], prefix: str = "") -> list[tuple[str, str]]:
    """(method, path) of every route that the routers have, in a fixed order."""
    found = {
        (method, prefix + route.path)
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
        if method in methods and (method == "GET" or not looks_at_nobody(route))
    }
    return sorted(found)


def looks_at_nobody(route: APIRoute) -> bool:
    """Whether whoever asks is the same to it, session or not."""
    return any(isinstance(found.call, OpenToAll) for found in route.dependant.dependencies)


unsafe = frozenset({"POST", "PUT", "PATCH", "DELETE"})
of_pages = routes_of((*face.first, *face.routers), frozenset({"GET"}))
forms = routes_of(face.routers, unsafe)
"""All but the one that signs in, which has a token of its own."""
of_programs = routes_of(
    (
        accounts.router,
        accounts.tokens,
        repositories.router,
        uploads.router,
        uploads.streams,
        versions.router,
        versions.streams,
        merges.router,
        stacks.router,
        recalls.router,
        webhooks.router,
        webhooks.secrets,
    ),
    unsafe,
    "/api/v1",
)
# whoever knows an upload's id may send its bytes, signed in or not
of_the_hub = [(method, path) for method, path in routes_of(hub.routers, unsafe) if not path.startswith("/uploads/")]


def filled(path: str) -> str:
    return re.sub(r"{(\w+)(:path)?}", lambda match: words.get(match.group(1), "x"), path)


def signed_in(site: Site, name: str) -> tuple[httpx2.Client, str]:
    """A client that holds a session's cookie and no token, and the form token of its pages."""
    browser = httpx2.Client(base_url=site.address, timeout=60, headers={"Accept": "text/html"})
    found = token_in_form.search(browser.get("/login").text)
    assert found is not None
    answer = browser.post("/login", data={"token": site.user(name).token, "csrf_token": found.group(1)})
    assert answer.status_code == 303
    in_head = token_in_head.search(browser.get("/").text)
    assert in_head is not None
    return browser, in_head.group(1)


@pytest.fixture(scope="module")
def greta(site: Site) -> Iterator[tuple[httpx2.Client, str]]:
    """Greta's browser, and the form token of her pages; she owns a repository with a version."""
    site.user("greta").publish("greta/kept", make_adapter(1))
    browser, form_token = signed_in(site, "greta")
    yield browser, form_token
    browser.close()


def events(site: Site) -> int:
    with psycopg.connect(libpq_url(site.database_url), autocommit=True) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM audit_events").fetchall()
        return int(count)


def test_there_are_many_of_each() -> None:
    assert len(of_pages) > 25
    assert len(forms) > 15
    assert len(of_programs) > 25
    assert len(of_the_hub) > 5


@pytest.mark.parametrize(("method", "path"), of_pages)
def test_every_page_has_its_headers(site: Site, greta: tuple[httpx2.Client, str], method: str, path: str) -> None:
    for client in (greta[0], site.http):
        for accept in ("text/html", "*/*"):
            answer = client.request(method, filled(path), headers={"Accept": accept}, follow_redirects=False)
            assert answer.status_code < 500
            headers = answer.headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "same-origin"
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "*" not in policy
            assert "default-src 'none'" in policy
            if headers.get("content-type", "").startswith("text/html"):
                assert "script-src 'self';" in policy
                assert "frame-ancestors 'none'" in policy
                assert "form-action 'self'" in policy
                assert "base-uri 'none'" in policy
                assert headers["cache-control"] in {"private, no-cache", "no-store"}
                assert not re.search(r"<[^>]+\s(on\w+|style)=", answer.text), "a handler or a style stands in the page"
                assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", answer.text)


ways_in = {
    "no token": ({}, None),
    "a token of another session": ({}, "0" * 64),
    "a token in the address": ({}, None),
    "another origin": ({"Origin": "https://evil.example"}, "its own"),
    "no origin": ({"Origin": "null"}, "its own"),
    "the same host on another port": ({"Origin": "http://127.0.0.1:1"}, "its own"),
    "a browser that says so": ({"Sec-Fetch-Site": "cross-site"}, "its own"),
    "another site of the same owner": ({"Sec-Fetch-Site": "same-site"}, "its own"),
}


@pytest.mark.parametrize("way", sorted(ways_in))
def test_no_other_site_changes_anything_by_a_form(site: Site, greta: tuple[httpx2.Client, str], way: str) -> None:
    browser, own = greta
    headers, given = ways_in[way]
    before = events(site)
    for method, path in forms:
        fields = {"name": "stolen", "user": "mallory", "role": "owner", "visibility": "public", "confirmation": "kept"}
        if given is not None:
            fields["csrf_token"] = own if given == "its own" else given
        params = {"csrf_token": own} if way == "a token in the address" else {}
        answer = browser.request(method, filled(path), data=fields, params=params, headers={**headers, "Accept": "*/*"})
        assert answer.status_code in {403, 422}, (method, path, answer.text[:300])
        # what is sent as no file form is refused by the upload form before it looks for the token
        is_other_form = path == "/upload" and answer.status_code == 422
        assert is_other_form or answer.json()["type"] == "/problems/cross-site-request", (method, path, answer.text)
        sent_as_files = browser.request(
            method,
            filled(path),
            data=fields,
            files={"files": ("x", b"x")},
            params=params,
            headers={**headers, "Accept": "*/*"},
        )
        assert sent_as_files.status_code == 403, (method, path, sent_as_files.text[:300])
    assert events(site) == before


@pytest.mark.parametrize("way", sorted(set(ways_in) - {"a token in the address"}))
def test_no_other_site_changes_anything_by_a_request(site: Site, greta: tuple[httpx2.Client, str], way: str) -> None:
    browser, own = greta
    headers, given = ways_in[way]
    token = {} if given is None else {"X-CSRF-Token": own if given == "its own" else given}
    before = events(site)
    for method, path in (*of_programs, *of_the_hub):
        answer = browser.request(method, filled(path), json={}, headers={**headers, **token, "Accept": "*/*"})
        assert answer.status_code in {401, 403}, (method, path, answer.status_code, answer.text[:300])
    assert events(site) == before


def test_its_own_page_may(site: Site, greta: tuple[httpx2.Client, str]) -> None:
    browser, own = greta
    body = {"namespace": "greta", "name": "made-by-a-page"}
    headers = {"X-CSRF-Token": own, "Origin": site.address, "Sec-Fetch-Site": "same-origin", "Accept": "*/*"}
    assert browser.post("/api/v1/repositories", json=body, headers=headers).status_code == 201


def test_over_https_the_cookie_is_secure_and_of_this_host_alone(site: Site) -> None:
    # as a proxy on this machine says it
    over_tls = {"X-Forwarded-Proto": "https", "Host": "glulam.example", "Accept": "text/html"}
    form = site.http.get("/login", headers=over_tls)
    [cookie] = form.headers.get_list("set-cookie")
    found = token_in_form.search(form.text)
    assert found is not None
    sent = {**over_tls, "Cookie": cookie.partition(";")[0], "Origin": "https://glulam.example"}
    fields = {"token": site.user("greta").token, "csrf_token": found.group(1)}
    answer = site.http.post("/login", data=fields, headers=sent)
    assert answer.status_code == 303
    session = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-glulam="))
    attributes = {part.strip().lower() for part in session.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
    assert not any(attribute.startswith("domain") for attribute in attributes)
    kept = {**over_tls, "Cookie": session.partition(";")[0]}
    assert site.http.get("/api/v1/whoami", headers=kept).json()["name"] == "greta"
    # the same over plain http is no session
    assert site.http.get("/api/v1/whoami", headers={"Cookie": session.partition(";")[0]}).status_code == 401


@pytest.mark.parametrize(
    "path", ["../site.py", "assets/../../site.py", "assets/%2e%2e", ".vite/manifest.json", "x" * 300]
)
def test_nothing_but_built_files_is_given_out(site: Site, path: str) -> None:
    assert site.http.get(f"/static/{path}").status_code == 404


def test_built_files_are_kept_by_browsers_and_sent_compressed(site: Site) -> None:
    address = re.search(r"/static/assets/base-[\w-]+\.js", site.http.get("/").text)
    assert address is not None
    answer = site.http.get(address.group())
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    plain = site.http.get(address.group(), headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
