"""The base model of an adapter."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class BaseModel:
    """What an adapter was trained on: a name, and as much of revision, digest and quantization as is known."""

    name: str
    revision: str | None = None
    digest: str | None = None
    """Content digest of the model's version in a registry."""
    quantization: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}

    def canonical(self, aliases: Mapping[str, str]) -> "BaseModel":
        """The same with the name that the registry's alias table gives it; `aliases` maps lower-case names."""
        return replace(self, name=aliases.get(self.name.lower(), self.name))


def same_base(left: BaseModel, right: BaseModel) -> bool:
    """Whether two canonical bases are one: by digest when both have one, else by name and revision, a missing one matching any."""
    if left.digest is not None and right.digest is not None:
        return left.digest == right.digest
    if left.name.lower() != right.name.lower():
        return False
    return left.revision is None or right.revision is None or left.revision == right.revision
