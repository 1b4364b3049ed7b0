"""A repository: `namespace/name` with a uuid."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.base_model import BaseModel
from app.domain.lineage import Kind
from app.domain.recall import OnRecall


class Visibility(StrEnum):
    PUBLIC = "public"
    PRIVATE = "private"


class Derivatives(StrEnum):
    """Whether results made of a repository's versions are as hidden as it is."""

    INHERIT = "inherit"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A user or an organisation."""

    id: UUID
    name: str
    kind: str
    is_admin: bool
    created_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Repository:
    id: UUID
    namespace_id: UUID
    namespace: str
    name: str
    kind: Kind
    visibility: Visibility
    derivatives: Derivatives
    on_recall: OnRecall
    base_model: BaseModel | None
    description: str | None
    license: str | None
    tags: tuple[str, ...]
    created_by: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"
