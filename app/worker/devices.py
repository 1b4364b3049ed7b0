"""The device that a setting names."""

import torch


def device_named(name: str) -> str:
    """`auto` is the first CUDA device, or the CPU where there is none."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
