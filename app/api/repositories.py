"""Repositories, and the other names of base models."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints

from app.api.auth import Administrator, Anyone, ServicesDep, Writer
from app.api.bodies import (
    Answer,
    BaseModelAsked,
    Body,
    Line,
    Listed,
    Name,
    RepositoryBody,
    Text,
    base_model_of,
    example,
)
from app.api.paging import PageDep, plain_text, time_and_id
from app.api.route import JsonRoute
from app.domain.lineage import Kind
from app.domain.names import RepositoryName
from app.domain.recall import OnRecall
from app.domain.repository import Derivatives, Repository, Visibility
from app.services.registering import NewRepository, RepositoryChange

router = APIRouter(route_class=JsonRoute)

Tag = Annotated[str, StringConstraints(min_length=1, max_length=96, pattern=r"^[^\x00-\x1f\x7f,]+$")]
Tags = Annotated[list[Tag], Field(max_length=64)]


class RepositoryFields(Body):
    """What is said of a repository when it is made, beside its name."""

    kind: Kind = Kind.ADAPTER
    base_model: BaseModelAsked | None = None
    description: Text | None = None
    license: Line | None = None
    tags: Tags = []
    visibility: Visibility | None = None
    derivatives: Derivatives | None = Field(None, description="`inherit` unless said otherwise")

    def to_value(self, name: RepositoryName) -> NewRepository:
        return NewRepository(
            name=name,
            kind=self.kind,
            base_model=base_model_of(self.base_model),
            description=self.description,
            license=self.license,
            tags=tuple(self.tags),
            visibility=self.visibility,
            derivatives=self.derivatives,
        )


class NewRepositoryBody(RepositoryFields):
    model_config = example(
        {
            "namespace": "alice",
            "name": "reasoning",
            "kind": "adapter",
            "base_model": "acme/tiny",
            "visibility": "public",
        }
    )

    namespace: Name
    name: Name


class RepositoryChangeBody(Body):
    model_config = example({"description": "It follows instructions", "tags": ["chat"]})

    namespace: Name | None = Field(None, description="Moves the repository; its old name leads to it")
    name: Name | None = Field(None, description="Renames the repository; its old name leads to it")
    base_model: BaseModelAsked | None = None
    description: Text | None = None
    license: Line | None = None
    tags: Tags | None = None
    visibility: Visibility | None = None
    derivatives: Derivatives | None = None
    on_recall: OnRecall | None = Field(None, description="Whether aliases move back from a recalled version")

    def to_value(self) -> RepositoryChange:
        """Only what was sent; null clears what may be empty, and says nothing of the rest."""
        sent = self.model_fields_set
        values: dict[str, Any] = {key: getattr(self, key) for key in ("description", "license") if key in sent}
        if "base_model" in sent:
            base = base_model_of(self.base_model)
            values["base_model"] = None if base is None else base.as_json()
        if self.tags is not None:
            values["tags"] = list(self.tags)
        if self.visibility is not None:
            values["visibility"] = self.visibility.value
        if self.derivatives is not None:
            values["derivatives"] = self.derivatives.value
        if self.on_recall is not None:
            values["on_recall"] = self.on_recall.value
        return RepositoryChange(values, self.namespace, self.name)


class AliasOfBaseBody(Body):
    model_config = example({"name": "acme/tiny-mirror", "canonical": "acme/tiny"})

    name: Line
    canonical: Line


class AliasOfBaseAnswer(Answer):
    name: str
    canonical: str
    created_at: datetime


@router.post("/repositories", status_code=201)
def create_repository(
    body: NewRepositoryBody, services: ServicesDep, caller: Writer, response: Response
) -> RepositoryBody:
    """Make a repository, or open the caller's deleted one of this name again."""
    made = services.registering.create(caller, body.to_value(RepositoryName.parse(f"{body.namespace}/{body.name}")))
    response.headers["Location"] = f"/api/v1/repositories/{made.full_name}"
    return RepositoryBody.of(made)


@router.get("/repositories")
def list_repositories(
    services: ServicesDep,
    caller: Anyone,
    page: PageDep,
    q: Annotated[str | None, Query(max_length=200, description="Words of the name, description or tags")] = None,
    kind: Kind | None = None,
    namespace: Annotated[str | None, Query(max_length=200)] = None,
    base_model: Annotated[str | None, Query(max_length=500)] = None,
    tag: Annotated[list[str] | None, Query(max_length=10)] = None,
    license: Annotated[str | None, Query(max_length=200)] = None,
    sort: Literal["updated", "created", "name"] = "updated",
) -> Listed[RepositoryBody]:
    """Repositories that the caller may read."""

    def parse(value: Any) -> tuple[datetime | str, UUID]:
        return (plain_text(value[0]), UUID(value[1])) if sort == "name" else time_and_id(value)

    found = services.registering.search(
        caller,
        q=q,
        kind=kind,
        namespace=namespace,
        base_model=base_model,
        tag=tag or [],
        license=license,
        sort=sort,
        after=page.after(parse),
        limit=page.wanted,
    )

    def key(row: Repository) -> list[Any]:
        if sort == "name":
            return [row.full_name.lower(), row.id]
        return [(row.updated_at if sort == "updated" else row.created_at).isoformat(), row.id]

    shown, cursor = page.cut(found, key)
    return Listed[RepositoryBody](items=[RepositoryBody.of(row) for row in shown], next_cursor=cursor)


@router.get("/repositories/{namespace}/{name}")
def get_repository(namespace: str, name: str, services: ServicesDep, caller: Anyone) -> RepositoryBody:
    """One repository; a name that a move left behind leads to it."""
    return RepositoryBody.of(services.registering.get(caller, RepositoryName(namespace, name)))


@router.patch("/repositories/{namespace}/{name}")
def change_repository(
    namespace: str, name: str, body: RepositoryChangeBody, services: ServicesDep, caller: Writer
) -> RepositoryBody:
    """Change what is sent, and nothing else."""
    return RepositoryBody.of(services.registering.change(caller, RepositoryName(namespace, name), body.to_value()))


@router.delete("/repositories/{namespace}/{name}", status_code=204, response_class=Response)
def delete_repository(namespace: str, name: str, services: ServicesDep, caller: Writer) -> None:
    """Delete a repository; its name stays its owner's, who may open it again."""
    services.registering.delete(caller, RepositoryName(namespace, name))


@router.get("/base-models")
def list_base_models(services: ServicesDep, caller: Anyone) -> Listed[AliasOfBaseAnswer]:
    """Names of base models that mean the same as another one."""
    items = [
        AliasOfBaseAnswer(name=name, canonical=canonical, created_at=at)
        for name, canonical, at in services.registering.base_model_aliases()
    ]
    return Listed[AliasOfBaseAnswer](items=items, next_cursor=None)


@router.put("/base-models", status_code=204, response_class=Response)
def name_base_model(body: AliasOfBaseBody, services: ServicesDep, caller: Administrator) -> None:
    """From now on both names are one base model."""
    services.registering.set_base_model_alias(caller, body.name, body.canonical)


@router.delete("/base-models", status_code=204, response_class=Response)
def unname_base_model(
    name: Annotated[str, Query(max_length=500)], services: ServicesDep, caller: Administrator
) -> None:
    """A name stands for itself again."""
    services.registering.remove_base_model_alias(caller, name)
