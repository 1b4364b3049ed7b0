"""Tensors that an adapter brings whole: saved modules, trained biases, trained rows of an embedding, and whole embeddings.

Saved modules are `base_model.model.<module>.<parameter>`, biases of a target `….<module>.base_layer.bias`, and rows
`….<module>.token_adapter.trainable_tokens_delta`, which holds the rows themselves and no delta. Of an embedding that is a target
PEFT saves what it wraps, `….<module>.base_layer.weight`, and of a resized vocabulary `….<module>.weight`.
Source: PEFT 0.21.2, `utils/other.py`, `tuners/trainable_tokens/layer.py` and `tuners_utils._get_learnable_bias_state_dict`.
"""

from app.domain.adapter import Replacement, ReplacementKind, TensorFact
from app.errors import FactorShape, StrayTensor
from app.formats.adapter_config import LoraConfig

embedding_names = frozenset(
    {"embed_in", "embed_out", "embed_tokens", "lm_head", "shared", "tok_embeddings", "word_embeddings", "wte"}
)
"""Modules whose whole weight PEFT saves unasked when they are targets or the vocabulary was resized."""
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
    is_wrapped = name.endswith(".base_layer.weight") and config.targets.takes(owner)
    if not config.saves(owner) and leaf == "weight" and (is_wrapped or owner.rpartition(".")[2] in embedding_names):
        kind = ReplacementKind.EMBEDDING
    elif not config.saves(owner):
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
