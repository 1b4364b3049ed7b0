"""What several routes send and receive, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.domain.base_model import BaseModel as BaseModelValue
from app.domain.lineage import Kind, Relation
from app.domain.recall import OnRecall
from app.domain.repository import Derivatives, Repository, Visibility
from app.domain.version import File, Parent, Version

Text = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]
Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    # told, and checked with the other rules of names, which say more than that a pattern does not match
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9._-]+$", "maxLength": 96}),
]
Weight = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Item = TypeVar("Item")


class Body(BaseModel):
    """A request's body: what it does not know it refuses, so that no misspelt field is lost."""

    model_config = ConfigDict(extra="forbid")


def example(value: dict[str, Any]) -> ConfigDict:
    """A body as it may be sent, for whoever reads the document: to be merged into a body's `model_config`."""
    return ConfigDict(json_schema_extra={"examples": [value]})


example_digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""Of no bytes at all."""


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BaseModelBody(Body):
    name: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
    revision: Line | None = None
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    quantization: Line | None = None

    def to_value(self) -> BaseModelValue:
        return BaseModelValue(self.name, self.revision, self.digest, self.quantization)

    @classmethod
    def of(cls, value: BaseModelValue | None) -> "BaseModelBody | None":
        if value is None:
            return None
        return cls.model_construct(
            name=value.name, revision=value.revision, digest=value.digest, quantization=value.quantization
        )


BaseModelAsked = (
    BaseModelBody | Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
)


def base_model_of(asked: BaseModelBody | str | None) -> BaseModelValue | None:
    """A base by name alone, or by all that is known of it."""
    if isinstance(asked, BaseModelBody):
        return asked.to_value()
    return None if asked is None else BaseModelValue(asked)


class RepositoryBody(Answer):
    uuid: UUID
    namespace: str
    name: str
    repository: str
    kind: Kind
    visibility: Visibility
    derivatives: Derivatives
    on_recall: OnRecall
    base_model: BaseModelBody | None
    description: str | None
    license: str | None
    tags: list[str]
    created_by: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, value: Repository) -> "RepositoryBody":
        return cls(
            uuid=value.id,
            namespace=value.namespace,
            name=value.name,
            repository=value.full_name,
            kind=value.kind,
            visibility=value.visibility,
            derivatives=value.derivatives,
            on_recall=value.on_recall,
            base_model=BaseModelBody.of(value.base_model),
            description=value.description,
            license=value.license,
            tags=list(value.tags),
            created_by=value.created_by,
            created_at=value.created_at,
            updated_at=value.updated_at,
        )


class FileBody(Answer):
    path: str
    digest: str
    size: int = Field(description="Bytes")
    pickle: bool = Field(description="Can run code when it is loaded")

    @classmethod
    def of(cls, value: File) -> "FileBody":
        return cls(path=value.path, digest=value.digest, size=value.size_bytes, pickle=value.is_pickle)


def files_of(files: tuple[File, ...]) -> list[FileBody]:
    return [FileBody.of(file) for file in files]


ParentJson = dict[str, Any]
"""`{"reference", "digest", …}`, or `{"id": "hidden-1", "hidden": true, …}` of a parent that the reader may not read."""


def parents_of(version: Version) -> dict[Relation, list[ParentJson]]:
    """A version's parents by relation; a hidden one has one number wherever it stands in this answer."""
    hidden: dict[UUID, str] = {}
    found: dict[Relation, list[ParentJson]] = {relation: [] for relation in Relation}
    for parent in version.parents:
        body = name_of(parent, hidden)
        if parent.relation is not Relation.INITIALIZED_FROM:
            body["weight"] = parent.weight
        if parent.relation in {Relation.MERGED_FROM, Relation.EXTRACTED_FROM}:
            body["role"] = None if parent.role is None else parent.role.value
        found[parent.relation].append(body)
    return found


def name_of(parent: Parent, hidden: dict[UUID, str]) -> ParentJson:
    if parent.is_readable:
        return {"reference": parent.reference, "digest": parent.digest}
    return {"id": hidden.setdefault(parent.version, f"hidden-{len(hidden) + 1}"), "hidden": True}


class VersionBody(Answer):
    repository: str
    kind: Kind
    version: str
    digest: str
    content_digest: str
    commit: str
    reference: str
    base_model: BaseModelBody | None
    files: list[FileBody]
    builds_on: list[ParentJson]
    initialized_from: ParentJson | None
    merged_from: list[ParentJson]
    extracted_from: list[ParentJson]
    adapter: dict[str, Any] | None
    model: dict[str, Any] | None
    license: str | None
    datasets: list[Any]
    metrics: dict[str, Any]
    notes: str | None
    created_by: str
    created_at: datetime
    state: Literal["published", "recalled", "deleted"]
    warnings: list[str] = Field(default_factory=list, description="Of a publication: what its publisher should know")

    @classmethod
    def of(cls, value: Version, warnings: list[str] | None = None) -> "VersionBody":
        parents = parents_of(value)
        return cls(
            repository=value.repository,
            kind=value.kind,
            version=str(value.number),
            digest=value.digest,
            content_digest=value.content_digest,
            commit=value.commit,
            reference=value.reference,
            base_model=BaseModelBody.of(value.base_model),
            files=files_of(value.files),
            builds_on=parents[Relation.BUILDS_ON],
            initialized_from=next(iter(parents[Relation.INITIALIZED_FROM]), None),
            merged_from=parents[Relation.MERGED_FROM],
            extracted_from=parents[Relation.EXTRACTED_FROM],
            adapter=None if value.kind is Kind.MODEL else value.summary,
            model=value.summary if value.kind is Kind.MODEL else None,
            license=value.license,
            datasets=list(value.datasets),
            metrics=value.metrics,
            notes=value.notes,
            created_by=value.created_by,
            created_at=value.created_at,
            state=value.state.value,
            warnings=warnings or [],
        )


class Listed(Answer, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None
