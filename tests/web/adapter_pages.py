"""Adapters for the tests of their pages."""

from typing import Any

from tests.api.conftest import User, done, make_adapter

parts = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")
modules = tuple(f"model.layers.{layer}.{part}" for layer in range(12) for part in parts)
card = """---
license: apache-2.0
tags: [dialogue]
---
# Dialogue

Trained on **conversations**; [the code](https://example.org/code) is public, and [how to prompt it](docs/prompts.md) is here.

## Results

![The loss](plot.png) ![A badge](https://example.org/badge.png)

| Benchmark | Score |
|:--|--:|
| MT-Bench | 7.9 |
"""
pixel = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415478da63d85266050003460165fdcc1bb50000000049454e44ae426082"
)
"""A picture of one pixel."""


def files(seed: int, *, rank: int = 4, readme: str = card, **config: Any) -> dict[str, bytes]:
    made = make_adapter(seed, rank=rank, modules=modules, shape=(8, 8), readme=readme, config=config)
    return {**made.files, "plot.png": pixel, "docs/prompts.md": b"Ask nicely.\n"}


def publish_story(owner: User, other: User) -> None:
    """`instruct`, and `dialogue` in two versions on top of it, on which somebody else builds: openly, and in private."""
    owner.publish(f"{owner.name}/instruct", files(1))
    text = "Multi-turn dialogue on top of instruct"
    owner.repository("dialogue", description=text, license="apache-2.0", tags=["dialogue"])
    on = [f"{owner.name}/instruct@1.0.0"]
    dialogue = f"{owner.name}/dialogue"
    owner.publish(dialogue, files(2), builds_on=on, metrics={"mt_bench": 7.5}, notes="The first")
    further = {"metrics": {"mt_bench": 7.9, "alpaca": {"lc": 27.8}}, "notes": "A higher rank"}
    longer = card.replace("is public", "is open")
    owner.publish(dialogue, files(3, rank=8, readme=longer, lora_dropout=0.1), builds_on=on, **further)
    for version in ("1.0.0", "1.1.0"):
        done(owner.put(f"/repositories/{dialogue}/aliases/prod", {"version": version}))
    other.publish(f"{other.name}/tools", files(4), builds_on=[{"version": f"{dialogue}@1.1.0", "weight": 0.5}])
    other.repository("hidden", visibility="private")
    other.publish(f"{other.name}/hidden", files(5), builds_on=[f"{dialogue}@1.1.0"])
