"""Whatever an attacker writes into an adapter, its pages show it and run none of it."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from safetensors.numpy import save

from app.domain.paths import check_path
from app.errors import InvalidPath
from app.web.markdown import Files, render
from tests.api.conftest import User, done
from tests.web.conftest import Site, sign_in
from tests.web.payloads import executed, one_line, payloads

at = "/page-attacker/adapter"
lines = tuple(dict.fromkeys(one_line(payload)[:400] for payload in payloads))


def paths() -> Iterator[str]:
    """Names of files, as far as payloads can be any; each in a folder of its own, for what is a folder in another."""
    for number, payload in enumerate(lines):
        try:
            yield check_path(f"{number}/" + payload.strip("/").replace("//", "/"))
        except InvalidPath:
            continue


def weights() -> dict[str, bytes]:
    """An adapter each of whose modules is called by a payload."""
    # no name may look like a path, no two may differ in case alone, and what stands after the last dot is targeted
    names = [
        f"{payload.translate(str.maketrans('./', '· ', chr(92)))}{number}"
        for number, payload in enumerate(lines)
        if payload.isprintable()
    ]
    tensors = {}
    for name in names:
        tensors[f"base_model.model.{name}.lora_A.weight"] = np.ones((1, 2), np.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = np.ones((2, 1), np.float32)
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": lines[0],
        "r": 1,
        "lora_alpha": 1,
        "target_modules": names,
        "bias": "none",
        "task_type": lines[1],
    }
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": save(tensors)}


@pytest.fixture(scope="module")
def attacker(site: Site) -> User:
    """With an adapter whose every field holds payloads, in two versions that differ in all of them."""
    attacker = site.user("page-attacker")
    everything = "\n".join(payloads)
    described = "".join(lines)[:9_000]
    attacker.repository(
        "adapter", description=described, license=lines[2], tags=[line.replace(",", "")[:96] for line in lines[:64]]
    )
    files = weights()
    # some of the 200 differ in signs alone that a line cannot hold
    assert len(payloads) >= 200
    assert len(lines) >= 190
    named = dict.fromkeys(paths(), b"x")
    assert len(named) >= 20
    # a card's own markup is nested however its author likes: each payload is a card of its own in another test
    card = "---\n" + json.dumps({"license": lines[3], "tags": list(lines)}) + "\n---\n" + "\n\n".join(payloads)
    fields = {
        "metrics": {payload: payload for payload in lines[:200]},
        "datasets": [{"name": payload} for payload in lines[:200]],
        "notes": everything[:9_000],
        "message": everything[:9_000],
        "base_model": {"name": lines[0], "revision": lines[5], "quantization": lines[6]},
    }
    attacker.publish("page-attacker/adapter", {**files, "README.md": card.encode(), **named}, **fields)
    done(attacker.post("/repositories/page-attacker/adapter/versions", {"files": second(attacker, files)}), 201)
    done(attacker.put("/repositories/page-attacker/adapter/aliases/onerror", {"version": "1.0.0"}))
    return attacker


def second(attacker: User, files: dict[str, bytes]) -> dict[str, str]:
    return {path: attacker.upload(data) for path, data in files.items()}


@pytest.mark.parametrize(
    "path",
    [
        "/compare/1.0.0...1.0.1",
        "/compare/1.0.1...1.0.0",
        "/files?version=1.0.0",
        "/settings",
        "/tensors?version=1.0.0",
        "/versions?alias=onerror",
        "?version=1.0.0",
    ],
)
def test_no_field_of_an_adapter_runs_on_its_pages(page: Page, attacker: User, path: str) -> None:
    sign_in(page, attacker)
    response = page.goto(at + path)
    assert response is not None
    assert response.status == 200
    # whatever waits for a pointer or for the focus
    page.mouse.move(300, 300)
    page.keyboard.press("Tab")
    assert executed(page) == 0
    shown = page.content()
    assert "__xss" in shown, "the payloads are shown, as text"


def test_no_query_runs_on_a_page(page: Page, attacker: User) -> None:
    for payload in lines[::8]:
        page.goto(
            f"{at}/tensors?version=1.0.0&q=" + page.evaluate("text => encodeURIComponent(text.slice(0, 200))", payload)
        )
        assert executed(page) == 0


def test_no_card_runs_even_where_no_policy_stops_it(browser: Browser) -> None:
    """What sanitises cards is enough by itself: here no Content-Security-Policy stands behind it."""
    page = browser.new_page()
    beside = Files(frozenset({"x"}), "/files/", "/images/")
    for start in range(0, len(payloads), 40):
        cards = [render(payload, beside) for payload in payloads[start : start + 40]]
        page.set_content("".join(f"<section>{card}</section>" for card in cards))
        page.mouse.move(200, 200)
        for link in page.locator("a[href]").all():
            assert (link.get_attribute("href") or "").startswith(("#card-", "http", "/files/"))
        page.evaluate("for (const found of document.querySelectorAll('*')) found.focus && found.focus()")
        assert executed(page) == 0, payloads[start : start + 40]
    page.close()


def test_a_recall_s_reason_runs_nowhere(page: Page, attacker: User) -> None:
    reason = "\n".join(payloads)[:9_000]
    attacker.publish("page-attacker/recalled", {"README.md": b"x", **weights()})
    done(attacker.post("/recalls", {"version": "page-attacker/recalled@1.0.0", "reason": reason}), 201)
    page.goto("/page-attacker/recalled")
    assert executed(page) == 0
    assert "was recalled" in page.content()
