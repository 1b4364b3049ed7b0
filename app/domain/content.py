"""The two digests of a version: of what it is called and stands on, and of the delta it holds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from app.domain.adapter import Adapter
from app.domain.base_model import BaseModel
from app.domain.digest import Digest, digest_of_json
from app.domain.number import VersionNumber

schema = 1
known_without_base = frozenset({"conv1d", "conv2d", "conv3d", "loha", "lokr", "lora_bias", "target_parameters"})
"""Features whose delta the files alone decide. With any other (DoRA, trained biases, saved modules, PiSSA, …) it is only known
beside the base's own values, so that the base is part of what they are."""


def adapter_content_digest(
    adapter: Adapter,
    weight_digests: Iterable[str],
    foundation: Sequence[tuple[Digest, float]],
    base_model: BaseModel | None,
) -> Digest:
    """Names the delta: weight files, what scales and places them, and the foundation; not the README, the name or the number."""
    modules = [
        [module.name, module.scaling, module.rank, module.is_transposed, module.kind.value]
        for module in adapter.modules
    ]
    features = adapter.features
    needs_base = not known_without_base.issuperset(features)
    content: dict[str, Any] = {
        "schema": schema,
        "weights": sorted(weight_digests),
        "modules": sorted(modules),
        "features": list(features),
        "foundation": [[digest, weight] for digest, weight in sorted(foundation)],
        "base_model": base_model.as_json() if needs_base and base_model is not None else None,
    }
    if adapter.replacements:
        # the configuration alone says which rows of the base a tensor replaces
        content["replacements"] = [
            [replacement.tensor, replacement.key, None if replacement.rows is None else list(replacement.rows)]
            for replacement in adapter.replacements
        ]
    return digest_of_json(content)


def model_content_digest(weight_digests: Mapping[str, str], config_digest: str) -> Digest:
    """Names a full model: its weight files by path, and its config.json."""
    return digest_of_json({"schema": schema, "weights": dict(weight_digests), "config": config_digest})


def version_digest(
    repository: UUID,
    number: VersionNumber,
    files: Mapping[str, str],
    base_model: BaseModel | None,
    parents: Sequence[tuple[Digest, str, float, str | None]],
    licence: str | None,
) -> Digest:
    """Names a version and, through its parents' digests, all that came before; notes, metrics, aliases and state are outside it.

    `parents`: (version digest, relation, weight, role) of every edge.
    """
    edges: list[list[Any]] = [[digest, relation, weight, role] for digest, relation, weight, role in parents]
    return digest_of_json(
        {
            "schema": schema,
            "repository": str(repository),
            "version": str(number),
            "files": dict(files),
            "base_model": None if base_model is None else base_model.as_json(),
            "parents": sorted(edges, key=lambda edge: (edge[1], edge[0], edge[3] or "", edge[2])),
            "licence": licence,
        }
    )
