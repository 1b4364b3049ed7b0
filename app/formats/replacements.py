"""Tensors that an adapter brings whole: saved modules, trained biases, and trained rows of an embedding.

Saved modules are `base_model.model.<module>.<parameter>`, biases of a target `….<module>.base_layer.bias`, and rows
`….<module>.token_adapter.trainable_tokens_delta`, which holds the rows themselves and no delta.
Source: PEFT 0.21.2, `utils/other.py`, `tuners/trainable_tokens/layer.py` and `tuners_utils._get_learnable_bias_state_dict`.
"""

from app.domain.adapter import Replacement, ReplacementKind, TensorFact
from app.errors import FactorShape, StrayTensor
from app.formats.adapter_config import LoraConfig

tokens_end = ".token_adapter.trainable_tokens_delta"


def read_replacement(config: LoraConfig, tensor: TensorFact, name: str, path: str) -> Replacement:
    """What a tensor that is no factor replaces; `name` is without PEFT's prefix.

    Raises: StrayTensor, FactorShape.
    """
    if name.endswith(tokens_end):
        return read_tokens(config, tensor, name.removesuffix(tokens_end), path)
    owner, _, leaf = name.rpartition(".")
    owner = owner.removesuffix(".base_layer")
    replaced = f"{owner}.{leaf}" if owner else leaf
    kind = ReplacementKind.MODULE
    if not config.saves(owner):
        is_trained = config.bias == "all" or (config.bias == "lora_only" and config.targets.takes(owner))
        if leaf != "bias" or not is_trained:
            raise StrayTensor(path, tensor.name, "neither a factor nor anything else that the configuration names")
        kind = ReplacementKind.BIAS
    return Replacement(replaced, kind, tensor.name, tensor.shape, tensor.dtype)


def read_tokens(config: LoraConfig, tensor: TensorFact, module: str, path: str) -> Replacement:
    """Raises: StrayTensor, FactorShape."""
    rows = config.tokens.of(module)
    if rows is None:
        raise StrayTensor(path, tensor.name, "trainable_token_indices must name its module once")
    if len(tensor.shape) != 2 or tensor.shape[0] != len(rows):
        raise FactorShape(path, tensor.name, tensor.shape, f"{len(rows)} rows are trained")
    return Replacement(f"{module}.weight", ReplacementKind.TOKENS, tensor.name, tensor.shape, tensor.dtype, rows)
