"""What an attacker writes into files and fields stays text on the upload form, whoever looks at it."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.api.conftest import User, make_adapter
from tests.formats.files import json_file
from tests.web.conftest import Site
from tests.web.payloads import executed, one_line, payloads

pytestmark = pytest.mark.slow

rows_at_a_time = 60
"""A form has at most 200 fields."""
lines = [one_line(payload) for payload in payloads]
plain_post = """(values) => {
    const form = document.getElementById("upload");
    const row = document.querySelector("#parents li");
    for (const payload of values) {
        const more = row.cloneNode(true);
        more.querySelector("[name=builds_on]").value = payload;
        row.parentElement.append(more);
    }
    for (const [name, separator] of [["name", " "], ["description", " "], ["license", " "], ["tags", ", "], ["base_model", " "],
            ["version", " "], ["initialized_from", " "], ["notes", "\\n"], ["card", "\\n"]]) {
        form.elements[name].value = values.join(separator);
    }
    form.elements["kind"].value = values.join(" ");
    for (const radio of form.elements["visibility"]) radio.value = values.join(" ");
    // past the script: as a browser without one sends it
    HTMLFormElement.prototype.submit.call(form);
}"""


def as_file(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def test_nothing_that_was_typed_runs_on_the_page_that_comes_back(site: Site, signed_in: Callable[[User], Page]) -> None:
    page = signed_in(site.user("attacked-anna"))
    for start in range(0, len(lines), rows_at_a_time):
        some = lines[start : start + rows_at_a_time]
        page.goto("/upload")
        page.locator("#files").set_input_files([as_file(name.replace("/", "∕"), b"x") for name in some])
        with page.expect_navigation():
            page.evaluate(plain_post, some)
        expect(page.locator(".error[id$='-error']:visible")).to_have_count(1)
        assert page.locator("[name=builds_on]").count() >= len(some)
        assert page.get_by_label("Description").input_value() == " ".join(some).strip()
        assert executed(page) == 0


def test_nothing_in_the_files_runs(site: Site, signed_in: Callable[[User], Page]) -> None:
    """Names of files and tensors, metadata, configuration, card: shown, and text."""
    eve = site.user("attacked-eve")
    for number, base in enumerate(lines[:10]):
        eve.publish(f"attacked-eve/base-{number}", make_adapter(number, base=base[:500]))
    page = signed_in(eve)
    page.goto("/upload")
    good = make_adapter(1, base=" ".join(lines), config={"target_modules": lines, "modules_to_save": lines}).files
    named = [as_file(name.replace("/", "∕"), b"x") for name in lines]
    page.locator("#files").set_input_files([*named, *(as_file(path, data) for path, data in good.items())])
    expect(page.locator("#contents")).to_contain_text("onerror")
    assert page.locator("#chosen li").count() > 190
    card = as_file("README.md", "\n\n".join(payloads).encode())
    page.locator("#files").set_input_files([card])
    expect(page.locator("#card")).not_to_have_value("")
    page.get_by_role("tab", name="Preview").click()
    expect(page.locator("#card-preview")).to_contain_text("window.__xss")
    assert executed(page) == 0
    page.get_by_label("Adapter 1", exact=True).fill("attacked-eve")
    expect(page.locator(".suggestions li").first).to_be_visible()
    page.get_by_label("Adapter 1", exact=True).fill(" ".join(lines))
    expect(page.locator("#lineage-preview figcaption")).to_contain_text("onerror")
    assert executed(page) == 0
    # what stands in the way is told with the names in it
    header = {"__metadata__": {line: line for line in lines}, " ".join(lines): {"dtype": " ".join(lines)}}
    page.locator("#files").set_input_files([as_file("adapter_model.safetensors", json_file(header))])
    expect(page.locator("#chosen .error")).to_contain_text("unknown dtype")
    config = {"peft_type": "LORA", **dict.fromkeys(lines, 1)}
    page.locator("#files").set_input_files([as_file("adapter_config.json", json.dumps(config).encode())])
    expect(page.locator("#chosen .error").first).to_contain_text("no PEFT release writes")
    page.get_by_label("Name", exact=True).fill(" ".join(lines)[:96])
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#files-error")).to_be_visible()
    assert executed(page) == 0
    # and once more when all of it is put back
    page.reload()
    expect(page.get_by_label("Adapter 1", exact=True)).to_have_value(" ".join(lines).strip()[:500])
    assert executed(page) == 0


def test_nothing_in_a_refusal_runs(site: Site, signed_in: Callable[[User], Page]) -> None:
    page = signed_in(site.user("attacked-fred"))
    page.goto("/upload")
    page.locator("#files").set_input_files([as_file(path, data) for path, data in make_adapter(1).files.items()])
    page.get_by_label("Name", exact=True).fill("target")
    page.locator("[name=version]").evaluate(
        "(field, text) => { field.removeAttribute('maxlength'); field.value = text }", " ".join(lines)
    )
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#version-error")).to_be_visible()
    assert executed(page) == 0
