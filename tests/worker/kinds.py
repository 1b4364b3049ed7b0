"""Adapters of every kind, trained a little by PEFT one on top of another, and read as the registry reads them."""

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from app.domain.digest import Digest
from app.domain.lineage import Role
from app.domain.plan import Member
from app.formats.inspection import Inspector
from app.formats.peft import read_adapter
from app.worker.stacks import MemberFiles
from app.worker.tensors import place_file
from tests.worker.made import Bench


class Pixels(torch.nn.Module):
    """Convolutions of one, two and three dimensions, with a kernel of one point, and with groups; biases, also of the whole."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.config = {"tie_word_embeddings": False}
        self.plane = torch.nn.Conv2d(3, 8, (3, 5), padding=(1, 2))
        self.point = torch.nn.Conv2d(8, 6, 1)
        self.grouped = torch.nn.Conv2d(6, 8, 3, padding=1, groups=2)
        self.line = torch.nn.Conv1d(8, 4, 3)
        self.volume = torch.nn.Conv3d(1, 3, (2, 3, 1))
        self.head = torch.nn.Linear(4, 5)
        self.bias = torch.nn.Parameter(torch.randn(1))

    def forward(self, pixels: Tensor) -> Tensor:
        """[batch, 3, 7, 9] → [batch, …]."""
        planes = self.grouped(torch.tanh(self.point(torch.tanh(self.plane(pixels)))))
        lines = self.line(planes.mean(dim=2))
        volumes = self.volume(lines.unsqueeze(1).unsqueeze(-1))
        return torch.cat([self.head(lines.mT).flatten(1), volumes.flatten(1)], dim=1) + self.bias


pixels_seen = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


@dataclass
class Kind:
    """One adapter, and the model as it was when it had been trained: all adapters below it applied, and it."""

    files: MemberFiles
    folder: Path
    trained: dict[str, Tensor]
    """Float64, by the base's names."""
    before: dict[str, Tensor]
    """The same without it."""
    foundation: tuple[tuple[Digest, float], ...] = ()
    identity: Digest | None = None

    @property
    def content(self) -> Digest:
        """What names it among the members: its weights, unless it stands for others."""
        return self.identity or self.files.weights.digest

    @property
    def change(self) -> dict[str, Tensor]:
        """Δ on its own foundation."""
        return {name: value - self.before[name] for name, value in self.trained.items()}


def merged(model: Any) -> dict[str, Tensor]:
    """What PEFT 0.21.2 makes of the adapter itself, by merge_and_unload of a float64 copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = copy.deepcopy(model).double().merge_and_unload().state_dict()
    return {name: value.double() for name, value in values.items()}


def train(
    base: Any, bench: Bench, seed: int, on: Sequence["Kind"] = (), *, saves_embeddings: bool = False, **options: Any
) -> Kind:
    """A PEFT LoRA whose every trainable value was moved; `on` are the adapters below it, each on those before it.

    `saves_embeddings`: as PEFT does unasked, where an embedding is a target of a model that it knows.
    PEFT does not merge a convolution with groups, so that `trained` lacks what one would change.
    """
    start = copy.deepcopy(base)
    if on:
        start.load_state_dict({name: value.to(base.state_dict()[name].dtype) for name, value in on[-1].trained.items()})
    # a copy: PEFT trains the biases of the model itself
    before = {name: value.double().clone() for name, value in start.state_dict().items()}
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 6} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(start, LoraConfig(**settings))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                moved = 0.3 * torch.randn(parameter.shape, generator=random)
                parameter.add_(moved.to(parameter.dtype))
    folder = bench.folder / f"kind-{seed}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(str(folder), save_embedding_layers=saves_embeddings)
    files = read_files(bench, folder)
    is_grouped = any(module.groups > 1 for module in files.adapter.modules)
    foundation = tuple(sorted((below.content, 1.0) for below in on)) if files.adapter.stands_on_values else ()
    return Kind(files, folder, {} if is_grouped else merged(model), before, foundation)


def read_files(bench: Bench, folder: Path) -> MemberFiles:
    content = (folder / "adapter_model.safetensors").read_bytes()
    weights = place_file(bench.store, "adapter_model.safetensors", content)
    inspector = Inspector()
    inspector.feed(content)
    config = json.loads((folder / "adapter_config.json").read_bytes())
    if "tests" in str(config.get("auto_mapping")):
        # PEFT names the library of the base's class, and only known ones are read
        config["auto_mapping"] = None
        (folder / "adapter_config.json").write_text(json.dumps(config))
    return MemberFiles(read_adapter(json.dumps(config).encode(), inspector.finish(), weights.path), weights)


def members(bench: Bench, kinds: Sequence[tuple[Kind, float]], trunk: Sequence[Kind] = ()) -> list[Member]:
    """Branches at their weights, and the trunk at weight 1."""
    voting = [(kind, weight, Role.BRANCH) for kind, weight in kinds]
    found = []
    for kind, weight, role in [*voting, *((kind, 1.0, Role.TRUNK) for kind in trunk)]:
        member = bench.member(kind.files, weight, role)
        found.append(replace(member, content_digest=kind.content, foundation=kind.foundation))
    return found


def expected(base: Any, weighted: Sequence[tuple[Kind, float]]) -> dict[str, Tensor]:
    """base + Σ weight·Δ in float64, as the rules of lineage define it."""
    total = {name: value.double().clone() for name, value in base.state_dict().items()}
    for kind, weight in weighted:
        for name, change in kind.change.items():
            total[name] += weight * change
    return total
