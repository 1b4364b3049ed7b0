"""Recipes and references in the forms that people write them in, as the JSON that the registry takes."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from glulam.errors import InvalidArgument

Layers = Mapping[str, float] | Sequence[str | tuple[str, float] | Mapping[str, Any]]
"""`{reference: weight}`, or references, (reference, weight) pairs and recipe layers in a row."""


def recipe_of(
    layers: Layers,
    method: str | Mapping[str, Any] | None = None,
    output: str | Mapping[str, Any] | None = None,
    conflicts: Mapping[str, str] | None = None,
    overlaps: str | None = None,
    ancestors: str | None = None,
    publish: str | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The recipe; what is None is left to the registry's defaults.

    `method` and `output` may be a name (`"linear"`, `"model"`), `publish` a reference (`"alice/chat@2.0.0"` or `"alice/chat"`).
    Raises: InvalidArgument.
    """
    recipe = {
        "layers": layers_of(layers),
        "method": {"name": method} if isinstance(method, str) else method,
        "output": {"kind": output} if isinstance(output, str) else output,
        "conflicts": conflicts,
        "overlaps": overlaps,
        "ancestors": ancestors,
        "publish": publication(publish) if isinstance(publish, str) else publish,
    }
    return {key: value for key, value in recipe.items() if value is not None}


def layers_of(layers: Layers) -> list[dict[str, Any]]:
    if isinstance(layers, str):
        raise InvalidArgument("layers are a mapping or a list; one layer is a list of one")
    entries = list(layers.items()) if isinstance(layers, Mapping) else list(layers)
    return [layer_of(entry) for entry in entries]


def layer_of(entry: str | tuple[str, float] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"adapter": entry}
    if isinstance(entry, Mapping):
        return dict(entry)
    reference, weight = entry
    return {"adapter": reference, "weight": weight}


def publication(reference: str) -> dict[str, str]:
    repository, at, version = reference.partition("@")
    return {"repository": repository, "version": version} if at else {"repository": repository}


def split_reference(reference: str) -> tuple[str, str | None]:
    """(`ns/name`, what stands after the @ or None). Raises: InvalidArgument."""
    repository, at, version = reference.partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")) or (at and not version):
        raise InvalidArgument(f"{reference!r} is no reference: namespace/name@version expected")
    return repository, version if at else None


def repository_path(repository: str) -> str:
    """Its path below `/api/v1`. Raises: InvalidArgument."""
    name, version = split_reference(repository)
    if version is not None:
        raise InvalidArgument(f"{repository!r}: a repository is expected, without @{version}")
    namespace, _, name = name.partition("/")
    return f"/repositories/{quote(namespace, safe='')}/{quote(name, safe='')}"


def quoted(part: str) -> str:
    """A part of a path; slashes stay."""
    return quote(part, safe="/:")
