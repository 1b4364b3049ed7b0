"""What a merge is worth: its logits against the float64 sum, and its loss on every task of the story."""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaForCausalLM

from examples.story import Story, logits_of, loss_of, skills

wanted = {"instruct": 1, "dialogue": 1, "reasoning": 1, "tool-use": 1}
"""What `[dialogue, tool use]` means: each with all that it stands on, and what they share once."""
files_alone = {"dialogue": 1, "tool-use": 1}
"""What a script sums that knows files and no history: nothing that they stand on."""
chains_added = {"instruct": 2, "dialogue": 1, "reasoning": 1, "tool-use": 1}
"""What comes out when each is first merged with what it stands on, and the results are added."""


@dataclass(frozen=True)
class Measured:
    """One model beside the float64 sum."""

    name: str
    logit_difference: float
    """Largest absolute difference over all tasks, sequences, tokens and words; no unit."""
    largest_logit: float
    """Of the float64 sum, absolute: what the difference is to be seen against."""
    losses: dict[str, float]
    """Task → mean cross-entropy per wanted token, in nats."""


def deltas(folder: Path) -> dict[str, Tensor]:
    """ΔW = scaling·B·A of each module of a PEFT folder, [out, in], float64, by the name of the weight it changes.

    Source: LoRA, arXiv:2106.09685, section 4.1; rsLoRA, arXiv:2312.03732.
    """
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    scaling = config["lora_alpha"] / (math.sqrt(config["r"]) if config["use_rslora"] else config["r"])
    return {
        name.removeprefix("base_model.model.").replace(".lora_A.", "."): scaling
        * (tensors[name.replace(".lora_A.", ".lora_B.")].double() @ tensors[name].double())
        for name in tensors
        if ".lora_A." in name
    }


def summed(base: torch.nn.Module, story: Story, counts: Mapping[str, int]) -> torch.nn.Module:
    """A copy of a float64 base with each adapter's delta added so many times."""
    model = copy.deepcopy(base)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for skill, count in counts.items():
            for name, delta in deltas(story.folders[skill]).items():
                parameters[name].add_(count * delta)
    return model


def compare(story: Story, adapter: Path, model: Path) -> list[Measured]:
    """The registry's merged adapter (loaded by PEFT) and merged model (loaded by transformers), the two naive merges and the
    bare base, each beside the float64 sum. Everything computes in float64, so that only the weights differ.
    """
    base = load(story.folders["base"])
    expected = summed(base, story, wanted)
    candidates: dict[str, torch.nn.Module] = {
        "merged adapter (PEFT)": PeftModel.from_pretrained(load(story.folders["base"]), adapter).double(),
        "merged model": load(model),
        "float64 sum": expected,
        "naive: instruct missing": summed(base, story, files_alone),
        "naive: instruct twice": summed(base, story, chains_added),
        "base": base,
    }
    reference = {skill.name: logits_of(expected, skill.task) for skill in skills}
    return [
        Measured(
            name,
            max(float((logits_of(module, s.task) - reference[s.name]).abs().max()) for s in skills),
            max(float(logits.abs().max()) for logits in reference.values()),
            {s.name: loss_of(module, s.task) for s in skills},
        )
        for name, module in candidates.items()
    ]


def load(folder: Path) -> LlamaForCausalLM:
    """A checkpoint in float64, which holds every float32 exactly."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64)
