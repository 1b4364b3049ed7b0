"""A layer with PEFT adapters on it, and the same adapters as our kernel takes them."""

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from app.kernel.factors import Factors


class Layer(nn.Module):
    """The linear modules of one Llama-like layer; nothing is computed with them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner, kv = 7 * width // 2, width // 4
        shapes = {"q": (width, width), "k": (width, kv), "v": (width, kv), "o": (width, width)}
        shapes |= {"gate": (width, inner), "up": (width, inner), "down": (inner, width)}
        for name, (in_features, out_features) in shapes.items():
            self.add_module(f"{name}_proj", nn.Linear(in_features, out_features, bias=False))


def stacked(width: int, adapters: int, rank: int, targets: list[str]) -> tuple[Any, dict[str, list[Factors]]]:
    """A float32 PEFT model with random adapters "0", "1", …, and each module's stack with gain 1/adapters · scaling."""
    torch.manual_seed(0)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    model: Any = get_peft_model(Layer(width), config, adapter_name="0")
    for number in range(1, adapters):
        model.add_adapter(str(number), config)
    stacks: dict[str, list[Factors]] = {}
    decay = 0.9 ** torch.arange(rank)
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            factors: Any = layer
            for number in range(adapters):
                a, b = factors.lora_A[str(number)].weight.data, factors.lora_B[str(number)].weight.data
                a.normal_()
                b.normal_().mul_(decay)
                gain = layer.scaling[str(number)] / adapters
                stacks.setdefault(name.removeprefix("base_model.model."), []).append(Factors(a, b, gain))
    return model, stacks


def merged_by_peft(model: Any, adapters: int, combination: str, **options: Any) -> None:
    """Leaves the adapter `merged` in the model."""
    if "merged" in model.peft_config:
        model.delete_adapter("merged")
    names = [str(number) for number in range(adapters)]
    weights = [1 / adapters] * adapters
    model.add_weighted_adapter(names, weights, "merged", combination_type=combination, **options)


def delta_of_peft(model: Any, module: str) -> Tensor:
    layer = model.get_submodule(f"base_model.model.{module}")
    a, b = layer.lora_A["merged"].weight.data, layer.lora_B["merged"].weight.data
    delta: Tensor = layer.scaling["merged"] * (b.double() @ a.double())
    return delta
