"""What stands on the Hub's client: PEFT, transformers, diffusers and the `hf` command, each with its own calls."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.api.conftest import done, make_adapter
from tests.hub.conftest import Hub, environments
from tests.hub.talking import create, pushed
from tests.hub.test_clients import write_adapter

libraries = """
import json, sys, warnings
import torch
from transformers import LlamaConfig, LlamaForCausalLM, AutoModelForCausalLM
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from huggingface_hub import HfApi

api = HfApi()
torch.manual_seed(0)
config = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, vocab_size=64, tie_word_embeddings=False)
base = LlamaForCausalLM(config)
base.push_to_hub("alice/base", private=False)
base = AutoModelForCausalLM.from_pretrained("alice/base")
model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
model.push_to_hub("alice/pushed", private=False)
tokens = torch.arange(8)[None]
with torch.no_grad():
    expected = model.eval()(tokens).logits
    fresh = AutoModelForCausalLM.from_pretrained("alice/base", revision="1.0.0")
    loaded = PeftModel.from_pretrained(fresh, "alice/pushed", revision="1.0.0").eval()(tokens).logits
    fresh = AutoModelForCausalLM.from_pretrained("alice/base")
    fresh.load_adapter("alice/pushed")
    adapted = fresh.eval()(tokens).logits
    whole = AutoModelForCausalLM.from_pretrained("alice/pushed").eval()(tokens).logits
model.save_pretrained("saved")
api.upload_folder(repo_id="alice/pushed", folder_path="saved", path_in_repo="in/folder")
with torch.no_grad():
    fresh = AutoModelForCausalLM.from_pretrained("alice/base")
    lower = PeftModel.from_pretrained(fresh, "alice/pushed", subfolder="in/folder").eval()(tokens).logits
state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict("alice/diffused")
print(json.dumps({
    "base_model": PeftConfig.from_pretrained("alice/pushed").base_model_name_or_path,
    "peft": float((expected - loaded).abs().max()),
    "load_adapter": float((expected - adapted).abs().max()),
    "subfolder": float((expected - lower).abs().max()),
    "auto": float((expected - whole).abs().max()),
    "scale": float(expected.abs().max()),
    "diffusers": len(state),
    "tags": api.model_info("alice/pushed").tags,
}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_peft_transformers_and_diffusers_push_and_pull(hub: Hub) -> None:
    alice = hub.user("alice")
    unet = {
        f"unet.down_blocks.0.attentions.0.to_q.lora_{side}.weight": np.ones(shape, np.float32)
        for side, shape in (("A", (4, 8)), ("B", (8, 4)))
    }
    pushed(alice, create(alice, "diffused"), {"pytorch_lora_weights.safetensors": save(unet)})
    told = hub.run(libraries, user=alice)
    assert told["base_model"] == "alice/base"
    for way in ("peft", "subfolder", "load_adapter", "auto"):
        assert told[way] <= 1e-5 * told["scale"], way
    assert told["diffusers"] == 2
    assert {"peft", "lora", "base_model:adapter:alice/base"} <= set(told["tags"])
    kinds = [done(alice.get(f"/repositories/alice/{name}/versions/1.0.0"))["kind"] for name in ("base", "pushed")]
    assert kinds == ["model", "adapter"]


as_vllm = """
import json, os, sys
from huggingface_hub import HfApi, snapshot_download

def get_adapter_absolute_path(lora_path):
    return snapshot_download(repo_id=lora_path)

def resolve(base_model_name, lora_name, repository):
    files = HfApi().list_repo_files(repo_id=repository)
    folders = {os.path.dirname(name) for name in files if name.endswith("adapter_config.json")}
    folders |= {"."} & {"." for name in files if name == "adapter_config.json"}
    folder = lora_name[len(repository) + 1:].rstrip("/") or "."
    if folder not in folders:
        return None
    root = snapshot_download(repo_id=repository, allow_patterns="*" if folder == "." else f"{folder}/*")
    with open(os.path.join(root, folder, "adapter_config.json")) as file:
        config = json.load(file)
    if config["peft_type"] != "LORA" or config["base_model_name_or_path"] != base_model_name:
        return None
    return sorted(os.listdir(os.path.join(root, folder)))

base, repository = sys.argv[1:]
print(json.dumps({
    "path": sorted(os.listdir(get_adapter_absolute_path(repository))),
    "root": resolve(base, repository, repository),
    "folder": resolve(base, repository + "/other/", repository),
    "absent": resolve(base, repository + "/absent", repository),
    "other base": resolve("other/base", repository, repository),
}))
"""
"""What vLLM asks of the Hub: for a `lora_path` (vllm/lora/utils.py), and in its `lora_hf_hub_resolver`
(vllm/plugins/lora_resolvers)."""


@pytest.mark.slow
@pytest.mark.parametrize("client", ["0.36", "2.4"])
def test_an_adapter_is_found_as_vllm_looks_for_it_also_one_that_was_merged_here(hub: Hub, client: str) -> None:
    alice = hub.user("alice")
    for seed in (1, 2):
        alice.publish(f"alice/layer-{seed}", make_adapter(seed, base="org/base"))
    alice.repository("merged")
    layers = [{"adapter": f"alice/layer-{seed}@1.0.0"} for seed in (1, 2)]
    hub.registry.merge(alice, {"layers": layers, "publish": {"repository": "alice/merged"}})
    pushed(
        alice, "alice/merged", {f"other/{path}": data for path, data in make_adapter(3, base="org/base").files.items()}
    )
    python = str(environments / f"hub-{client}" / "bin" / "python")
    told = hub.run(as_vllm, "org/base", "alice/merged", user=alice, python=python)
    files = ["adapter_config.json", "adapter_model.safetensors"]
    assert set(told["path"]) > set(files)
    assert (told["root"], told["folder"]) == (told["path"], files)
    assert (told["absent"], told["other base"]) == (None, None)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_hf_command_uploads_and_downloads(hub: Hub, tmp_path: Path) -> None:
    alice = hub.user("alice")
    folder = write_adapter(tmp_path / "adapter")
    command = str(environments / "hub-2.4" / "bin" / "hf")

    def hf(*arguments: str) -> str:
        ended = subprocess.run(
            [command, *arguments], env=hub.environment(alice), capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    hf("auth", "login", "--token", str(alice.token))
    assert "alice" in hf("auth", "whoami")
    hf("upload", "alice/by-command", str(folder))
    hf("upload", "alice/by-command", str(folder), "again", "--revision", "dev")
    local = tmp_path / "local"
    hf("download", "alice/by-command", "--revision", "1.0.0", "--local-dir", str(local))
    for path in make_adapter(1).files:
        assert (local / path).read_bytes() == (folder / path).read_bytes()
    listed = json.loads(hf("models", "ls", "--author", "alice", "--format", "json"))
    assert [entry["id"] for entry in listed] == ["alice/by-command"]
    hf("repos", "delete", "alice/by-command", "--yes")
