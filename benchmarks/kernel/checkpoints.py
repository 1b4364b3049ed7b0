"""A Llama checkpoint with LoRAs of all its linear modules, as folders on disk: what every tool reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.kernel.factors import Branch, Factors
from benchmarks.kernel.inputs import factors

attention = ["q_proj", "k_proj", "v_proj", "o_proj"]
feed_forward = ["gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Llama:
    """The sizes of a checkpoint with random weights in bfloat16."""

    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int

    def modules(self) -> dict[str, tuple[int, int]]:
        """(out, in) of each linear module of the layers, by name."""
        kv = self.width // self.heads * self.kv_heads
        shapes = {"q_proj": (self.width, self.width), "o_proj": (self.width, self.width)}
        shapes |= {"k_proj": (kv, self.width), "v_proj": (kv, self.width), "down_proj": (self.width, self.inner)}
        shapes |= {"gate_proj": (self.inner, self.width), "up_proj": (self.inner, self.width)}
        return {
            f"model.layers.{layer}.{part}.{name}": shapes[name]
            for layer in range(self.layers)
            for part, names in [("self_attn", attention), ("mlp", feed_forward)]
            for name in names
        }

    def save(self, folder: Path) -> None:
        tensors = {"model.embed_tokens.weight": (self.vocabulary, self.width), "model.norm.weight": (self.width,)}
        tensors |= {"lm_head.weight": (self.vocabulary, self.width)}
        for layer in range(self.layers):
            norms = ["input_layernorm", "post_attention_layernorm"]
            tensors |= {f"model.layers.{layer}.{norm}.weight": (self.width,) for norm in norms}
        tensors |= {f"{name}.weight": shape for name, shape in self.modules().items()}
        random = torch.Generator().manual_seed(1)
        values = {name: torch.randn(shape, generator=random).mul_(0.02).bfloat16() for name, shape in tensors.items()}
        folder.mkdir()
        save_file(values, folder / "model.safetensors", metadata={"format": "pt"})
        config: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16"}
        config |= {"hidden_size": self.width, "intermediate_size": self.inner, "num_hidden_layers": self.layers}
        config |= {"num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads}
        config |= {"vocab_size": self.vocabulary, "tie_word_embeddings": False}
        (folder / "config.json").write_text(json.dumps(config))


def save_adapter(folder: Path, llama: Llama, rank: int, alpha: int, seed: int) -> None:
    """As PEFT does, in float32."""
    tensors = {}
    for number, (name, shape) in enumerate(llama.modules().items()):
        a, b = factors(*shape, rank, 1000 * seed + number)
        tensors[f"base_model.model.{name}.lora_A.weight"] = a
        tensors[f"base_model.model.{name}.lora_B.weight"] = b
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha}
    config |= {"target_modules": attention + feed_forward, "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def save_all(folder: Path, llama: Llama, adapters: int, rank: int, alpha: int) -> list[Path]:
    """base/ and adapter-0/, …; returns the adapters' folders."""
    llama.save(folder / "base")
    folders = [folder / f"adapter-{seed}" for seed in range(adapters)]
    for seed, one in enumerate(folders):
        save_adapter(one, llama, rank, alpha, seed)
    return folders


def branches_of(llama: Llama, module: str, adapters: int, rank: int, scaling: float, weight: float) -> list[Branch]:
    """One module's, as they are in the files."""
    number = list(llama.modules()).index(module)
    shape = llama.modules()[module]
    return [
        Branch(Factors(*factors(*shape, rank, 1000 * seed + number), scaling), weight, str(seed))
        for seed in range(adapters)
    ]


def base_weights(llama: Llama, folder: Path, modules: Sequence[str]) -> dict[str, Tensor]:
    """As `Llama.save` makes them."""
    llama.save(folder)
    found = load_file(folder / "model.safetensors")
    return {module: found[f"{module}.weight"].clone() for module in modules}


def model_of(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
