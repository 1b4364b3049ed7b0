"""What a version's files say: the weights and the configuration are read, everything else is an opaque attachment."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.adapter import Adapter, Checkpoint
from app.domain.base_model import BaseModel
from app.domain.digest import Digest
from app.domain.lineage import Kind
from app.errors import InvalidConfig, MissingFile, PickleRefused
from app.formats.card import card_file, read_card
from app.formats.checkpoint import read_checkpoint
from app.formats.inspection import Inspection
from app.formats.peft import read_adapter
from app.lineage.blobs import BlobRecord
from app.objects.store import ByteStore

adapter_config = "adapter_config.json"
adapter_weights = "adapter_model.safetensors"
pickled_adapter = "adapter_model.bin"
model_config = "config.json"
model_index = "model.safetensors.index.json"
pickled_models = ("pytorch_model.bin", "pytorch_model.bin.index.json")
largest_readme_bytes = 1024 * 1024
longest_searched = 100_000
"""Characters of a README: Postgres takes so many words at least, however different they are."""
largest_text_bytes = 64 * 1024 * 1024
"""Of an index: a checkpoint of a thousand shards has one of some megabytes. The readers have limits of their own below it."""


@dataclass(frozen=True, slots=True)
class Content:
    """Weights and configuration, understood."""

    facts: Adapter | Checkpoint
    weights: Mapping[str, str]
    """Path → digest of every weight file."""
    config: str
    """Digest of the configuration file."""
    configured_base: BaseModel | None
    summary: dict[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    """The data at the head of README.md; none, where that is not there or says nothing that can be read."""
    readme: str = ""
    """The text of README.md, as far as it is searched."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's bytes, wherever they are."""

    digest: Digest
    inspection: Inspection
    read: Callable[[], bytes]


def stored(blob: BlobRecord, store: ByteStore) -> Source:
    return Source(blob.digest, Inspection.from_json(blob.inspection), lambda: b"".join(store.read(blob.digest)))


def read_content(kind: Kind, sources: Mapping[str, Source]) -> Content:
    """What the files (by path) say. Raises: MissingFile, and every other InvalidContent."""
    card, readme = card_of(sources)
    return replace(read_weights(kind, sources), card=card, readme=readme)


def card_of(sources: Mapping[str, Source]) -> tuple[dict[str, Any], str]:
    """The data of the README, and its text; a README is the publisher's own affair, so that a faulty one has no data and
    stops nothing."""
    file = sources.get(card_file)
    if file is None or file.inspection.size_bytes > largest_readme_bytes:
        return {}, ""
    readme = file.read()
    text = readme.decode(errors="replace").replace("\0", " ")[:longest_searched]
    with suppress(InvalidConfig):
        return read_card(readme), text
    return {}, text


def read_weights(kind: Kind, sources: Mapping[str, Source]) -> Content:
    """As `read_content`, without the card."""
    files = {path: source.digest for path, source in sources.items()}

    def text_of(path: str) -> bytes:
        size_bytes = sources[path].inspection.size_bytes
        if size_bytes > largest_text_bytes:
            raise InvalidConfig(path, f"{size_bytes} bytes are too many for a configuration")
        return sources[path].read()

    def inspection_of(path: str) -> Inspection:
        return sources[path].inspection

    if kind is Kind.MODEL:
        if model_config not in files:
            raise MissingFile(model_config, "a model needs its configuration")
        shards = {path: inspection_of(path) for path in files if path.endswith(".safetensors")}
        if not shards:
            if any(path in files for path in pickled_models):
                raise PickleRefused(next(path for path in pickled_models if path in files))
            raise MissingFile("model.safetensors", "a model needs its weights, whole or in shards with an index")
        index = text_of(model_index) if model_index in files else None
        checkpoint = read_checkpoint(text_of(model_config), index, shards)
        return content_of_model(checkpoint, files)
    if adapter_weights not in files:
        if pickled_adapter in files:
            raise PickleRefused(pickled_adapter)
        raise MissingFile(adapter_weights, "an adapter needs its weights")
    if adapter_config not in files:
        raise MissingFile(adapter_config, "an adapter needs its configuration")
    adapter = read_adapter(text_of(adapter_config), inspection_of(adapter_weights), adapter_weights)
    return content_of_adapter(adapter, files)


def content_of_adapter(adapter: Adapter, files: Mapping[str, str]) -> Content:
    weights = {adapter.weight_file: files[adapter.weight_file]}
    return Content(adapter, weights, files[adapter_config], adapter.base_model, summary_of_adapter(adapter))


def content_of_model(checkpoint: Checkpoint, files: Mapping[str, str]) -> Content:
    weights = {path: files[path] for path in checkpoint.weight_files}
    return Content(checkpoint, weights, files[model_config], None, summary_of_model(checkpoint))


def summary_of_adapter(adapter: Adapter) -> dict[str, Any]:
    """The member `adapter` of a version's answer. `ranks` lists the different ranks of its modules, ascending; `features` what
    there is beyond plain LoRA, and `unsupported` what of it no merge does yet."""
    ranks = sorted({module.rank for module in adapter.modules})
    scalings = sorted({module.scaling for module in adapter.modules})
    return {
        "peft_type": adapter.peft_type,
        "rank": ranks[-1] if ranks else adapter.rank,
        "ranks": ranks,
        "alpha": adapter.alpha,
        "scaling": scalings[-1] if scalings else None,
        "use_rslora": adapter.use_rslora,
        "use_dora": adapter.use_dora,
        "target_modules": list(adapter.target_modules) if adapter.target_pattern is None else adapter.target_pattern,
        "dtype": adapter.dtype,
        "parameters": adapter.parameters,
        "modules": len(adapter.modules),
        "features": list(adapter.features),
        "unsupported": list(adapter.unsupported),
    }


def summary_of_model(checkpoint: Checkpoint) -> dict[str, Any]:
    """The member `model` of a version's answer."""
    return {
        "architectures": list(checkpoint.architectures),
        "model_type": checkpoint.model_type,
        "dtype": checkpoint.dtype,
        "parameters": checkpoint.parameters,
        "weight_files": len(checkpoint.weight_files),
    }
