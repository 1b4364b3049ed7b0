"""What a model card says of a version: tags to find it by, its base, its parents."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.base_model import BaseModel
from app.domain.lineage import Kind
from app.formats.card import texts

longest_tag = 200
most_tags = 200
formats_of: Mapping[Kind, tuple[str, ...]] = {
    Kind.ADAPTER: ("peft", "safetensors", "lora"),
    Kind.MODEL: ("transformers", "safetensors"),
    Kind.STACK: ("peft", "safetensors", "lora"),
}


def tags_of(
    kind: Kind, card: Mapping[str, Any], base_model: BaseModel | None = None, *, is_version: bool = True
) -> tuple[str, ...]:
    """What clients of the Hub filter by: the card's own tags, and those that the Hub makes of the rest."""
    own = formats_of[kind] if is_version else ()
    found = dict.fromkeys(tag for tag in (*own, *said_by(kind, card, base_model)) if len(tag) <= longest_tag)
    return tuple(found)[:most_tags]


def said_by(kind: Kind, card: Mapping[str, Any], base_model: BaseModel | None) -> Iterator[str]:
    yield from texts(card.get("tags"))
    for key in ("library_name", "pipeline_tag"):
        yield from texts(card.get(key))
    for key in ("license", "language", "datasets"):
        for value in texts(card.get(key)):
            yield f"{key.removesuffix('s') if key == 'datasets' else key}:{value}"
    # what the weights' own configuration names, where the card does not
    bases = texts(card.get("base_model")) or ([] if base_model is None else [base_model.name])
    relation = card.get("base_model_relation")
    if not isinstance(relation, str):
        relation = "adapter" if kind is Kind.ADAPTER else "finetune"
    for base in bases:
        yield f"base_model:{base}"
        yield f"base_model:{relation}:{base}"
