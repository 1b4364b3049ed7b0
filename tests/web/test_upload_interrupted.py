"""An upload that is cut and loaded again goes on where it was: what has arrived is not sent twice."""

import hashlib
import json
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, expect

from tests.api.conftest import done
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
