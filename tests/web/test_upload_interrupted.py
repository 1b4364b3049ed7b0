"""An upload that is cut and loaded again goes on where it was: what has arrived is not sent twice."""

import hashlib
import json
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.api.conftest import User, done, make_adapter
from tests.api.cutting_proxy import CuttingProxy, Pair
from tests.web.conftest import Site, desktop, sign_in

pytestmark = pytest.mark.slow

MIB = 1 << 20
size = 200 * MIB


@dataclass(eq=False)
class GatedProxy(CuttingProxy):
    """Lets no more of a request's body through, once so many bytes have come, until the gate is opened."""

    gate_bytes: int = 0
    opened: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def is_cut(self, pair: Pair, size: int) -> bool:
        if self.received > self.gate_bytes and pair.sent > MIB:
            self.reached.set()
            self.opened.wait(60)
        return super().is_cut(pair, size)


def large_adapter(folder: Path) -> dict[str, Path]:
    """200 MB of zeros, which take no room on the disk, under a header of eight modules."""
    rank, width = 64, size // (8 * 2 * 64 * 4)
    header, position, modules = {}, 0, [f"model.layers.{number}.q_proj" for number in range(8)]
    for module in modules:
        for factor, shape in (("lora_A", [rank, width]), ("lora_B", [width, rank])):
            end = position + rank * width * 4
            name = f"base_model.model.{module}.{factor}.weight"
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
            position = end
    text = json.dumps(header).encode()
    weights = folder / "adapter_model.safetensors"
    with weights.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + position)
    config = folder / "adapter_config.json"
    values = {"peft_type": "LORA", "r": rank, "lora_alpha": 64, "target_modules": ["q_proj"]}
    config.write_text(json.dumps(values | {"base_model_name_or_path": "acme/large"}))
    return {file.name: file for file in (weights, config)}


def test_an_adapter_of_200_mb_survives_a_cut_and_a_reload(site: Site, browser: Browser, tmp_path: Path) -> None:
    files = large_adapter(tmp_path)
    paths = list(files.values())
    carol = site.user("upload-carol")
    proxy = GatedProxy(
        site.address, every=size // 4, window=range(2 * MIB, size), all_at_once=True, cuts=1, gate_bytes=size * 3 // 5
    )
    with proxy:
        context = browser.new_context(base_url=proxy.url, viewport={"width": desktop[0], "height": desktop[1]})
        page = sign_in(context.new_page(), carol, "/upload")
        page.on("dialog", Dialog.accept)
        page.locator("#files").set_input_files(paths)
        page.get_by_label("Name").fill("large")
        page.get_by_label("Public").check()
        page.get_by_label("Notes on this version").fill("It is large")
        expect(page.locator("#chosen .state").last).to_have_text("Read")
        began = proxy.received
        page.get_by_role("button", name="Publish").click()
        expect(page.locator("#figures")).to_contain_text("left")
        # in the midst of it, after the cut
        assert proxy.reached.wait(60)
        assert proxy.done == 1
        page.reload()
        proxy.opened.set()
        notice = page.locator("#resume")
        expect(notice).to_contain_text("adapter_model.safetensors")
        # what was typed is still there
        expect(page.get_by_label("Name")).to_have_value("large")
        expect(page.get_by_label("Public")).to_be_checked()
        expect(page.get_by_label("Notes on this version")).to_have_value("It is large")
        page.locator("#files").set_input_files(paths)
        expect(page.locator("#chosen .state").last).to_have_text("Read")
        page.get_by_role("button", name="Publish").click()
        page.wait_for_url("**/upload-carol/large?version=1.0.0")
        sent = proxy.received - began
        context.close()
    assert size <= sent < 1.2 * size
    made = done(carol.get("/repositories/upload-carol/large/versions/1.0.0"))
    with files["adapter_model.safetensors"].open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    assert {each["path"]: each["digest"] for each in made["files"]}["adapter_model.safetensors"] == digest
    assert made["notes"] == "It is large"


kept_handles = """async ([owner, name, files]) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
    for (const [path, bytes] of Object.entries(files)) {
        const writing = await (await folder.getFileHandle(path, { create: true })).createWritable();
        await writing.write(new Uint8Array(bytes));
        await writing.close();
    }
    const opening = indexedDB.open("glulam-upload", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("handles");
    await new Promise((resolve) => { opening.onsuccess = resolve; });
    const putting = opening.result.transaction("handles", "readwrite").objectStore("handles").put([folder], owner);
    await new Promise((resolve) => { putting.onsuccess = resolve; });
    opening.result.close();
    const going = { paths: Object.keys(files), bytes: 1 };
    sessionStorage.setItem(`glulam.upload.${owner}.interrupted`, JSON.stringify(going));
}"""


def test_a_folder_that_was_dropped_is_taken_again_after_a_reload(site: Site, signed_in: Callable[[User], Page]) -> None:
    """What a drop gives a page is made by hand here: a folder's handle, where the page keeps it."""
    gina = site.user("upload-gina")
    page = signed_in(gina)
    page.goto("/upload")
    files = {path: list(data) for path, data in make_adapter(1).files.items()}
    page.evaluate(kept_handles, [gina.name, "out", files])
    page.reload()
    page.get_by_role("button", name="Take the same files again").click()
    expect(page.locator("#chosen .path")).to_have_text(["adapter_config.json", "adapter_model.safetensors"])
    page.get_by_label("Name").fill("dropped")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/upload-gina/dropped?version=1.0.0")
    assert {
        file["path"] for file in done(gina.get("/repositories/upload-gina/dropped/versions/1.0.0"))["files"]
    } == set(files)
