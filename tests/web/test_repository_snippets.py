"""What an adapter's page says to copy does what it says: each snippet is run as it stands, against the real server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.api.conftest import User, make_adapter
from tests.web.conftest import Site, sign_in

commands = Path(sys.executable).parent

train = """
import sys, torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                     num_key_value_heads=1, vocab_size=32, tie_word_embeddings=False)
base = LlamaForCausalLM(config)
base.save_pretrained("base")
base.config._name_or_path = base.name_or_path = "page-snippets/base"
model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"))
model.save_pretrained("adapter")
with torch.no_grad():
    save_file({"logits": model.eval()(torch.arange(8)[None]).logits}, "expected.safetensors")
"""
compare = """
import torch
from safetensors.torch import load_file

expected = load_file("expected.safetensors")["logits"]
with torch.no_grad():
    found = {name}.eval()(torch.arange(8)[None]).logits
assert torch.allclose(found, expected, atol=1e-5), (found - expected).abs().max()
"""


def run(command: list[str], folder: Path, *, typed: str | None = None, **variables: str) -> str:
    """As somebody does whose machine knows nothing of this registry but what it is told here."""
    foreign = ("HF_", "HUGGING_FACE", "GLULAM_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    own = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{commands}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | own | variables,
        input=typed,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def shell(text: str, folder: Path, *, typed: str | None = None, **variables: str) -> str:
    return run(["bash", "-euo", "pipefail", "-c", text], folder, typed=typed, **variables)


def python(text: str, folder: Path, **variables: str) -> str:
    return run([sys.executable, "-c", text], folder, **variables)


def snippets(page: Page, address: str) -> dict[str, str]:
    """What the page shows, by tool."""
    page.goto(address)
    tools = page.locator(".use > div")
    return {tool.get_attribute("data-tool") or "": tool.locator("pre").text_content() or "" for tool in tools.all()}


@pytest.fixture(scope="module")
def user(site: Site) -> User:
    return site.user("page-snippets")


def test_an_open_adapter_is_fetched_by_every_tool_without_a_token(page: Page, user: User, tmp_path: Path) -> None:
    files = make_adapter(11, readme="# Open").files
    user.publish("page-snippets/open", files)
    told = snippets(page, "/page-snippets/open")
    assert list(told) == ["glulam", "curl", "Python", "PEFT", "transformers", "vLLM", "hf"]
    shell(told["glulam"], tmp_path)
    assert read(tmp_path / "open") == files
    (tmp_path / "python").mkdir()
    python(told["Python"], tmp_path / "python")
    assert read(tmp_path / "python" / "open") == files
    (tmp_path / "curl").mkdir()
    shell(told["curl"], tmp_path / "curl")
    assert read(tmp_path / "curl" / "page-snippets-open-1.0.0") == files
    assert (tmp_path / "curl" / "adapter_model.safetensors").read_bytes() == files["adapter_model.safetensors"]
    (tmp_path / "by-hf").mkdir()
    shell(told["hf"], tmp_path / "by-hf")
    assert read(tmp_path / "by-hf" / "open") == files


def read(folder: Path) -> dict[str, bytes]:
    """The files of a version in a folder, without what clients put beside them."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if path != "glulam.json" and not path.startswith(".cache")}


def test_a_private_adapter_on_top_of_another_is_fetched_and_merged_with_a_token(
    page: Page, user: User, tmp_path: Path
) -> None:
    files = make_adapter(13, rank=3).files
    user.publish("page-snippets/below", make_adapter(12))
    user.repository("above", visibility="private")
    user.publish("page-snippets/above", files, builds_on=["page-snippets/below@1.0.0"])
    sign_in(page, user)
    told = snippets(page, "/page-snippets/above")
    token = {"GLULAM_TOKEN": user.token or ""}
    shell(told["glulam"], tmp_path, typed=f"{user.token}\n")
    assert read(tmp_path / "above") == files
    merged = json.loads((tmp_path / "above-merged" / "adapter_config.json").read_bytes())
    assert merged["r"] == 4 + 3
    (tmp_path / "python").mkdir()
    python(told["Python"], tmp_path / "python", **token)
    assert read(tmp_path / "python" / "above-merged") == read(tmp_path / "above-merged")
    (tmp_path / "curl").mkdir()
    shell(told["curl"], tmp_path / "curl", **token)
    assert read(tmp_path / "curl" / "page-snippets-above-1.0.0") == files
    (tmp_path / "by-hf").mkdir()
    shell(told["hf"], tmp_path / "by-hf", **token)
    assert read(tmp_path / "by-hf" / "above") == files
    # what a model is given is the merge: half of what was trained would be loaded without a word
    assert 'registry.merge(["page-snippets/above@1.0.0"])' in told["PEFT"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_peft_and_transformers_load_what_was_trained(page: Page, site: Site, user: User, tmp_path: Path) -> None:
    python(train, tmp_path)
    user.repository("base", kind="model")
    user.publish("page-snippets/base", read(tmp_path / "base"))
    adapter = {path: data for path, data in read(tmp_path / "adapter").items() if path.startswith("adapter_")}
    user.publish("page-snippets/trained", adapter)
    told = snippets(page, "/page-snippets/trained")
    by_peft = told["PEFT"] + compare.replace("{name}", "model")
    by_transformers = told["transformers"] + compare.replace("{name}", "base")
    # the base model is in this registry, and the page says how it comes from here
    python(by_peft + "\n" + by_transformers, tmp_path, HF_ENDPOINT=site.address)
    whole = snippets(page, "/page-snippets/base")
    python(whole["transformers"] + "\nassert model.config.hidden_size == 16", tmp_path)


def test_nothing_of_a_name_is_run_by_what_is_copied(page: Page, user: User, tmp_path: Path) -> None:
    base = '"; touch planted; $(touch planted) `touch planted` \'"\n'.strip() + '"""'
    user.publish("page-snippets/planted", make_adapter(14, base=base))
    told = snippets(page, "/page-snippets/planted")
    fake = tmp_path / "bin"
    fake.mkdir()
    for command in ("hf", "vllm"):
        (fake / command).write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> "$HOME/asked"\n')
        (fake / command).chmod(0o755)
    shell(told["vLLM"], tmp_path, PATH=f"{fake}:/usr/bin:/bin")
    assert base in (tmp_path / "asked").read_text()
    assert not (tmp_path / "planted").exists()
    for tool in ("PEFT", "transformers"):
        strings = python(f"import ast, json\n{collect}\nprint(json.dumps(strings({told[tool]!r})))", tmp_path)
        assert base in json.loads(strings)


collect = """
def strings(text):
    return [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
"""


def test_an_adapter_of_an_image_model_is_used_by_diffusers(page: Page, user: User) -> None:
    modules = ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",)
    user.publish("page-snippets/style", make_adapter(15, modules=modules, base="acme/stable"))
    told = snippets(page, "/page-snippets/style")
    assert list(told) == ["glulam", "curl", "Python", "diffusers", "hf"]
    assert 'DiffusionPipeline.from_pretrained("acme/stable")' in told["diffusers"]
    assert "pipeline.unet = PeftModel.from_pretrained(pipeline.unet, folder)" in told["diffusers"]
