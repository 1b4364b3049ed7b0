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
state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict("alice/diffused")
print(json.dumps({
    "base_model": PeftConfig.from_pretrained("alice/pushed").base_model_name_or_path,
    "peft": float((expected - loaded).abs().max()),
    "load_adapter": float((expected - adapted).abs().max()),
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
    for way in ("peft", "load_adapter", "auto"):
        assert told[way] <= 1e-5 * told["scale"], way
    assert told["diffusers"] == 2
    assert {"peft", "lora", "base_model:adapter:alice/base"} <= set(told["tags"])
    kinds = [done(alice.get(f"/repositories/alice/{name}/versions/1.0.0"))["kind"] for name in ("base", "pushed")]
    assert kinds == ["model", "adapter"]


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
